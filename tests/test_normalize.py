"""What is done to texts before they are learnt or scored is what is said."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.normalize import describe_scoring, normalize_text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  Don’t -- STOP, (now)!\n", "don't stop now"),
        ("'quoted' and rock 'n' roll", "quoted and rock n roll"),
        ("well-known 3 € 50%", "well known 3 50"),
        ("cafe\u0301 ¿qué?", "café qué"),
        ("हिन्दी।", "हिन्दी"),
        ("a =\u0338 b", "a b"),
        ("...", ""),
    ],
)
def test_punctuation_is_dropped_but_for_apostrophes_inside_words(text: str, wanted: str) -> None:
    assert normalize_text(text, drop_punctuation=True) == wanted


def test_nothing_more_is_done_than_asked() -> None:
    assert normalize_text("A,  b’s") == "a, b’s"
    assert normalize_text("A,  b", lowercase=False) == "A, b"
    assert describe_scoring(lowercase=True, drop_punctuation=False).endswith("lower case, punctuation kept")
    assert describe_scoring(lowercase=False, drop_punctuation=True).endswith("case kept, punctuation dropped")


@given(st.text(), st.booleans())
def test_scored_text_has_single_spaces_and_no_punctuation(text: str, lowercase: bool) -> None:
    found = normalize_text(text, lowercase=lowercase, drop_punctuation=True)
    assert found == " ".join(found.split())
    assert not {letter for letter in found if unicodedata.category(letter)[0] in "PS"} - {"'"}
