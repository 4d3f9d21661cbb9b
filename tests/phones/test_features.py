"""Features of phones are PanPhon's, whatever way a phone is written in."""

from __future__ import annotations

import csv
import gzip
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.phones import FEATURES, distance, distances, features

# Features in which panphon 0.22.2 has two segments differ (hamming_substitution_cost, times 24).
PANPHON = [
    ("t", "d", 1), ("p", "a", 10), ("ã", "a", 1), ("tʰ", "t", 1), ("kʷ", "k", 1), ("t͡ʃ", "ʃ", 2), ("aː", "a", 1),
    ("ɡ͡b", "b", 3), ("ǃ", "k", 5), ("˥", "˩", 2), ("nˤ", "n", 1), ("l̩", "l", 1), ("ˀm", "m", 1),
]  # fmt: skip
PHONES = ["a", "ã", "aɪ", "aɪə", "e˥˩", "i", "t", "tʃ", "d͡ʒ", "h͡w", "k", "ç", "˥", "☃", "a☃"]


@pytest.mark.parametrize(("phone", "other", "differing"), PANPHON)
def test_segments_are_as_far_apart_as_in_panphon(phone: str, other: str, differing: int) -> None:
    assert distance(phone, other) == differing / 24


def test_features_have_the_names_and_values_of_panphon() -> None:
    (tʃ,) = features("t͡ʃ")
    marked = {name for name, value in zip(FEATURES, tʃ, strict=True) if value == 1}
    assert marked == {"cons", "delrel", "strid", "cor", "distr"}
    assert dict(zip(FEATURES, tʃ, strict=True))["tense"] == 0
    with pytest.raises(ValueError, match="read-only"):
        tʃ[0] = 1


def test_the_whole_table_of_panphon_follows_from_letters_and_modifiers(corpora: Path) -> None:
    with gzip.open(corpora / "lexicon" / "panphon_ipa_features.csv.gz", "rt", encoding="utf-8") as file:
        table = {row.pop("ipa"): row for row in csv.DictReader(file)}
    assert tuple(table["a"]) == FEATURES
    signs = {-1: "-", 0: "0", 1: "+"}
    found = {phone: features(phone) for phone in table}
    assert {len(one) for one in found.values()} == {1}
    differing = {phone for phone in table if [signs[value] for value in found[phone][0]] != list(table[phone].values())}
    assert len(table) == 6367
    # PanPhon gives places of articulation to a tone, and an advanced root of the tongue that is not tense.
    assert differing == {*(tone + "ˤ" for tone in "˩˨˧˦˥"), "ɜ̘", "ɜ̘ː", "ɜ̘ˠ"}


@pytest.mark.parametrize(
    ("phone", "same"),
    [
        ("tʃ", "t͡ʃ"), ("t͜ʃ", "t͡ʃ"), ("ʧ", "t͡ʃ"), ("t̠ʃ", "t͡ʃ"), ("tʃʰ", "t͡ʃʰ"), ("tˢ", "t͡s"), ("t̪s̪", "t̪͡s̪"),
        ("tθ", "t̪͡θ"), ("g", "ɡ"), ("a:", "aː"), ("k'", "kʼ"), ("ŋ̊", "ŋ̥"), ("ŋ̍", "ŋ̩"), ("ɚ", "ə˞"), ("bʱ", "b̤"),
        ("á", "a˦"), ("â", "a˥˩"), ("ã́", "a˦̃"), ("kʲʷ", "kʷʲ"), ("ⁿd", "d̃"), ("ˈa", "a"), ("a̝", "a"),
    ],
)  # fmt: skip
def test_what_is_written_differently_has_the_same_features(phone: str, same: str) -> None:
    assert features(phone).tolist() == features(same).tolist()
    assert distance(phone, same) == 0


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_normalisation_changes_nothing(form: str) -> None:
    for phone in ("ç", "ã", "ḛ̃", "ǽ"):
        assert distance(unicodedata.normalize(form, phone), phone) == 0
        assert features(unicodedata.normalize(form, phone)).tolist() == features(phone).tolist()


def test_tones_are_levels_of_their_segment() -> None:
    plain, high, falling = (features(phone)[0] for phone in ("a", "a˥", "a˥˩"))
    assert (high[:-2] == plain[:-2]).all()
    assert high[-2:].tolist() == [1, 1]
    assert falling.tolist() == features("a˧")[0].tolist() == plain.tolist()  # the mean of a contour
    assert features("˥").tolist() == [[0] * 22 + [1, 1]]
    assert len(features("˨˩˦")) == 1


@pytest.mark.parametrize("phone", ["", "☃", "a☃", "ʰ", "͡", "ː̃", "◌̃", ",", "ʜ", "7", "\0"])
def test_a_phone_with_an_unknown_sign_has_no_features(phone: str) -> None:
    assert features(phone) is None
    assert distance(phone, phone) == 0
    assert distance(phone, "a") == distance("a", phone) == 1
    assert distance(phone, "☂") == 1


def test_phones_of_several_segments_are_aligned() -> None:
    assert [len(features(phone)) for phone in ("aɪ", "h͡w", "aɪ̯ə̯", "tʃ", "pʰt")] == [2, 2, 3, 1, 1]
    assert distance("aɪ", "a") == 1 / 2
    assert distance("aɪ", "ai") == distance("ɪ", "i") / 2
    assert distance("aɪ", "ɪ") == 1 / 2
    assert distance("aɪə", "aʊ") == pytest.approx((distance("ɪ", "ʊ") + 1) / 3, abs=1e-12)


def test_distances_are_those_of_single_pairs() -> None:
    found = distances(PHONES, PHONES[::-1])
    assert found.tolist() == [[distance(one, other) for other in PHONES[::-1]] for one in PHONES]
    assert distances([], PHONES).shape == (0, len(PHONES))
    assert distances(PHONES, []).shape == (len(PHONES), 0)


def test_distances_are_symmetric_and_bounded() -> None:
    found = distances(PHONES, PHONES)
    assert (found == found.T).all()
    assert (found.diagonal() == 0).all()
    assert ((found >= 0) & (found <= 1)).all()


@settings(max_examples=200, deadline=None)
@given(st.text("tʃaɪçã˥ʰ͡ː̪☃g'", max_size=6), st.text(max_size=4))
def test_any_text_has_features_or_none(phone: str, other: str) -> None:
    for text in (phone, other):
        found = features(text)
        assert found is None or (found.shape[1] == 24 and len(found) and np.isin(found, (-1, 0, 1)).all())
    assert distance(phone, other) == distance(other, phone)
    assert 0 <= distance(phone, other) <= 1


def test_real_transcriptions_have_features(corpora: Path) -> None:
    for name, types in (("voxangeles", 212), ("speechocean762", 41), ("kokoro_english", 52)):
        rows = map(json.loads, (corpora / name / "manifest.jsonl").read_text("utf-8").splitlines())
        phones = {phone for row in rows for phone in (row["phones"] or "").split()}
        assert len(phones) == types
        assert {phone for phone in phones if features(phone) is None} == set()
