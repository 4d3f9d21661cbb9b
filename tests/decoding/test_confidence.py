"""The evidence for words: by hand on drawn log-probabilities, and by what must not change it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.decoding.confidence import EVIDENCE, frame_certainty, token_log_probs, word_evidence
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.decoding.hypothesis import Hypothesis, TokenSpan, words_of
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "|", "a", "b", "c"])
PHONES = Tokenizer.from_symbols(["<pad>", "t͡ʃ", "iː", "z"], is_phones=True)
GREEDY = GreedyDecoder(TOKENIZER.blank_id)
COLUMN = {name: number for number, name in enumerate(EVIDENCE)}


def log_probs_of(*frames: dict[str, float]) -> np.ndarray:
    """Frames by the probabilities of their symbols; what is left goes to all symbols that are not named."""
    rows = []
    for frame in frames:
        rest = (1 - sum(frame.values())) / (TOKENIZER.size - len(frame))
        rows.append([frame.get(symbol, rest) for symbol in ("<pad>", "|", "a", "b", "c")])
    return np.log(rows).astype(np.float32)


def random_log_probs(frames: int, seed: int) -> np.ndarray:
    logits = 3 * np.random.default_rng(seed).standard_normal((frames, TOKENIZER.size))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def log_odds(probability: float) -> float:
    return math.log(probability) - math.log(1 - probability)


FRAMES = log_probs_of(
    {"a": 0.9, "<pad>": 0.04, "b": 0.02, "c": 0.02},
    {"a": 0.7, "<pad>": 0.1, "b": 0.05, "c": 0.05},
    {"<pad>": 0.6, "c": 0.25, "a": 0.05, "b": 0.06},
    {"b": 0.8, "<pad>": 0.1, "c": 0.05, "a": 0.02},
    {"|": 0.9, "<pad>": 0.05, "a": 0.02, "b": 0.01},
    {"c": 0.95, "<pad>": 0.02, "a": 0.01, "b": 0.01},
)


def test_evidence_of_a_hand_computed_case() -> None:
    hypotheses = GREEDY.decode(FRAMES)
    assert [word.text for word in words_of(hypotheses[0], TOKENIZER)] == ["ab", "c"]
    rows = word_evidence(hypotheses, FRAMES, TOKENIZER)
    assert rows.shape == (2, len(EVIDENCE))
    first = {name: rows[0, column] for name, column in COLUMN.items()}
    a, b = math.sqrt(0.9 * 0.7), 0.8  # the a has two frames
    assert first["mean"] == pytest.approx(log_odds(math.sqrt(a * b)), rel=1e-5)
    assert first["weakest"] == pytest.approx(log_odds(a), rel=1e-5)
    # Frame 2, the blank between a and b: "c" and "|" have 0.25 + 0.04; elsewhere others have 0.2 at most.
    assert first["rivals"] == pytest.approx(log_odds(1 - 0.29), rel=1e-5)
    certainty = frame_certainty(FRAMES)
    assert first["certainty"] == pytest.approx(log_odds(certainty[[0, 1, 3]].mean()))
    assert first["doubt"] == pytest.approx(log_odds(certainty[2]))
    assert first["length"] == math.log(2)
    assert first["agreement"] == pytest.approx(log_odds(1 - 1e-5))
    assert rows[1, COLUMN["rivals"]] == pytest.approx(log_odds(0.97), rel=1e-4)


def test_certainty_is_none_for_even_frames_and_all_for_one_symbol() -> None:
    even = np.full((1, 5), math.log(1 / 5), np.float32)
    sure = np.array([[0, -np.inf, -np.inf, -np.inf, -np.inf]], np.float32)
    assert frame_certainty(even)[0] == pytest.approx(0, abs=1e-6)
    assert frame_certainty(sure)[0] == 1
    wanted = (5 ** (2 / 3) - sum(p ** (1 / 3) for p in (0.04, 0.02, 0.9, 0.02, 0.02))) / (5 ** (2 / 3) - 1)
    assert frame_certainty(FRAMES[:1])[0] == pytest.approx(wanted, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000), st.integers(1, 9))
def test_evidence_is_local_to_its_word(frames: int, seed: int, ahead: int) -> None:
    log_probs = random_log_probs(frames, seed)
    alone = word_evidence(GREEDY.decode(log_probs), log_probs, TOKENIZER)
    pause = np.log(np.array([[0.001, 0.996, 0.001, 0.001, 0.001]], np.float32))
    other = random_log_probs(ahead, seed + 1)
    joined = np.concatenate([other, pause, log_probs])
    found = word_evidence(GREEDY.decode(joined), joined, TOKENIZER)
    assert len(found) >= len(alone)
    np.testing.assert_allclose(found[len(found) - len(alone) :], alone, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_a_row_for_each_word_and_at_temperature_one_the_scores_of_the_decoder(frames: int, seed: int) -> None:
    log_probs = random_log_probs(frames, seed)
    best = GREEDY.decode(log_probs)[0]
    rows = word_evidence([best], log_probs, TOKENIZER)
    words = words_of(best, TOKENIZER)
    assert len(rows) == len(words)
    assert np.isfinite(rows).all()
    scores = [word.score for word in words]
    assert 1 / (1 + np.exp(-rows[:, COLUMN["mean"]])) == pytest.approx(scores, abs=1e-5)
    found = token_log_probs(best.spans, log_probs, [1.0, 1e6])
    assert found[:, 0] == pytest.approx([span.score for span in best.spans], abs=1e-5)
    assert found[:, 1] == pytest.approx(math.log(1 / TOKENIZER.size), abs=1e-4)


def test_the_other_hypotheses_count_by_their_probability_and_place() -> None:
    def spelt(score: float, *spans: tuple[str, int]) -> Hypothesis:
        return Hypothesis(tuple(TokenSpan(TOKENIZER.vocab[s], at, at + 1, -0.1) for s, at in spans), score)

    log_probs = random_log_probs(12, 0)
    best = spelt(math.log(0.5), ("a", 0), ("|", 3), ("b", 6))
    others = [
        spelt(math.log(0.3), ("a", 0), ("|", 3), ("c", 6)),  # another second word
        spelt(math.log(0.1), ("b", 6), ("|", 8), ("a", 9)),  # the same words elsewhere: only the b is where it was
        spelt(math.log(0.1)),
    ]
    found = word_evidence([best, *others], log_probs, TOKENIZER)[:, COLUMN["agreement"]]
    assert found == pytest.approx([log_odds(0.8), log_odds(0.6)])


def test_nothing_heard_has_no_rows() -> None:
    log_probs = np.log(np.array([[0.9, 0.025, 0.025, 0.025, 0.025]], np.float32))
    assert word_evidence(GREEDY.decode(log_probs), log_probs, TOKENIZER).shape == (0, len(EVIDENCE))
    assert word_evidence(GREEDY.decode(log_probs[:0]), log_probs[:0], TOKENIZER).shape == (0, len(EVIDENCE))
    assert token_log_probs((), log_probs, [1.0, 2.0]).shape == (0, 2)


def test_phones_are_words_of_one_token() -> None:
    log_probs = np.log(np.array([[0.1, 0.8, 0.05, 0.05], [0.1, 0.1, 0.7, 0.1]], np.float32))
    rows = word_evidence(GreedyDecoder(PHONES.blank_id).decode(log_probs), log_probs, PHONES)
    assert rows[:, COLUMN["length"]] == pytest.approx([0, 0])
    assert rows[:, COLUMN["mean"]] == pytest.approx([log_odds(0.8), log_odds(0.7)], rel=1e-5)
