"""The best readings of the whole are made of the best readings of its stretches."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from xlsr.decoding.hypothesis import Hypothesis, TokenSpan
from xlsr.decoding.nbest import NBest
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "|", "a", "b"])


def hypothesis(text: str, acoustic: float, lm: float) -> Hypothesis:
    ids = [TOKENIZER.vocab[symbol] for symbol in text.replace(" ", "|")]
    spans = tuple(TokenSpan(id, place, place + 1, -0.1) for place, id in enumerate(ids))
    return Hypothesis(spans, acoustic + lm, acoustic, lm)


READINGS = st.lists(
    st.builds(hypothesis, st.text("ab", max_size=3), st.integers(-40, 0), st.integers(-40, 0)), min_size=1, max_size=4
).map(lambda found: sorted(found, key=lambda one: -one.score))


@given(stretches=st.lists(READINGS, min_size=1, max_size=4), count=st.integers(2, 5))
def test_they_are_those_of_an_exhaustive_search(stretches, count) -> None:
    found = NBest(count)
    for stretch in stretches:
        found.add(stretch, TOKENIZER)
    scores = sorted((sum(part.score for part in parts) for parts in product(*stretches)), reverse=True)
    assert [one.score for one in found.alternatives] == scores[:count]
    for one in found.alternatives:
        assert one.score == one.acoustic_score + one.lm_score


def test_texts_are_joined_and_silence_adds_nothing() -> None:
    found = NBest(3)
    for stretch in ([("a b", -1, -2), ("b", -4, 0)], [("", -1, 0)], [("ab", -1, 0), ("b", -2, -1)]):
        found.add([hypothesis(*one) for one in stretch], TOKENIZER)
    assert [(one.text, one.score) for one in found.alternatives] == [("a b ab", -5), ("b ab", -6), ("a b b", -7)]


def test_one_reading_is_no_alternative() -> None:
    found = NBest(1)
    found.add([hypothesis("a", -1, 0)], TOKENIZER)
    assert found.alternatives == ()
