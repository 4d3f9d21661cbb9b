"""From evidence to probabilities: the fit is the optimum, files are read as written, scores change and no text does."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.decoding.test_confidence import FRAMES, GREEDY, TOKENIZER, random_log_probs
from xlsr.decoding.calibration import TEMPERATURES, Calibration, fit_temperature, fit_words
from xlsr.decoding.confidence import EVIDENCE, token_log_probs, word_evidence
from xlsr.decoding.hypothesis import Hypothesis, TokenSpan, words_of
from xlsr.errors import ConfigError
from xlsr.tokenizer import Tokenizer

TRUTH = np.array([0.8, 0.3, 0.0, -0.5, 0.2, -1.0, 0.0])


def simulated(words: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Evidence of words, and whether they are right, which follows `TRUTH` by chance; the last column never varies."""
    rng = np.random.default_rng(seed)
    evidence = rng.normal(1, 2, (words, len(EVIDENCE)))
    evidence[:, -1] = 11.5
    chances = 1 / (1 + np.exp(-(evidence @ TRUTH + 0.4)))
    return evidence, rng.random(words) < chances


def test_the_fit_is_the_optimum_of_the_regularised_likelihood() -> None:
    evidence, right = simulated(300)
    bias, weights = fit_words(evidence, right)
    good = right.sum()
    targets = np.where(right, (good + 1) / (good + 2), 1 / (len(right) - good + 2))
    scale = evidence.std(axis=0)

    def loss(bias: float, weights: np.ndarray) -> float:
        odds = bias + evidence @ weights
        penalty = ((weights * scale)[:-1] ** 2).sum() / 2
        return float(np.sum(np.log1p(np.exp(odds)) - targets * odds) + penalty)

    found = np.array([weights.get(name, 0.0) for name in EVIDENCE])
    best = loss(bias, found)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1, 1.0):  # strictly convex: whatever lies beside the optimum costs more
        for _ in range(50):
            change = rng.normal(0, size, len(EVIDENCE))
            change[-1] = 0
            assert loss(bias + rng.normal(0, size), found + change) > best
    assert "agreement" not in weights  # it never varied


def test_many_words_teach_the_truth() -> None:
    evidence, right = simulated(40_000)
    bias, weights = fit_words(evidence, right)
    # Standard errors are about 0.01 a weight.
    assert [weights[name] for name in EVIDENCE[:-1]] == pytest.approx(TRUTH[:-1], abs=0.05)
    chances = Calibration(bias, weights).word_probabilities(evidence)
    assert chances.mean() == pytest.approx(right.mean(), abs=1e-3)


@pytest.mark.parametrize("right", [True, False])
def test_a_corpus_of_one_outcome_makes_no_word_certain(right: bool) -> None:
    evidence, _ = simulated(60)
    bias, weights = fit_words(evidence, np.full(60, right))
    chances = Calibration(bias, weights).word_probabilities(evidence)
    assert chances == pytest.approx(61 / 62 if right else 1 / 62, abs=0.01)


def test_separable_words_and_one_word_are_no_trouble() -> None:
    evidence, _ = simulated(60)
    bias, weights = fit_words(evidence, evidence[:, 0] > 1)
    assert all(math.isfinite(weight) for weight in (bias, *weights.values()))
    bias, weights = fit_words(evidence[:1], np.array([True]))
    assert weights == {}
    assert 1 / (1 + math.exp(-bias)) == pytest.approx(2 / 3)


def test_the_temperature_is_the_one_that_made_the_tokens_too_sure() -> None:
    rng = np.random.default_rng(0)
    honest = random_log_probs(6000, 3)
    chosen = honest.argmax(axis=1)
    right = rng.random(len(honest)) < np.exp(honest[np.arange(len(honest)), chosen])
    boastful = 2.5 * honest.astype(np.float64)
    boastful -= np.log(np.exp(boastful).sum(axis=1, keepdims=True))
    spans = [TokenSpan(int(best), at, at + 1, -1.0) for at, best in enumerate(chosen)]
    found = fit_temperature(token_log_probs(spans, boastful, TEMPERATURES), right)
    assert found == pytest.approx(2.5, rel=0.1)  # a step is nine percent
    assert fit_temperature(np.zeros((0, len(TEMPERATURES))), np.zeros(0, bool)) == 1


def calibration(**changes) -> Calibration:
    return Calibration(**{"bias": -1.0, "weights": {"mean": 0.5, "length": -0.3}, "temperature": 2.0} | changes)


def test_words_and_characters_get_calibrated_scores_and_keep_the_rest() -> None:
    hypotheses = GREEDY.decode(FRAMES)
    words = words_of(hypotheses[0], TOKENIZER)
    found = calibration()(words, hypotheses, FRAMES, TOKENIZER)
    evidence = word_evidence(hypotheses, FRAMES, TOKENIZER)
    odds = -1 + 0.5 * evidence[:, EVIDENCE.index("mean")] - 0.3 * evidence[:, EVIDENCE.index("length")]
    assert [word.score for word in found] == pytest.approx(1 / (1 + np.exp(-odds)))
    assert [(word.text, word.start, word.end) for word in found] == [
        (word.text, word.start, word.end) for word in words
    ]
    spans = [hypotheses[0].spans[place] for place in (0, 1, 3)]  # without the delimiter
    wanted = np.exp(token_log_probs(spans, FRAMES, [2.0])[:, 0])
    characters = [character for word in found for character in word.characters]
    assert [character.text for character in characters] == ["a", "b", "c"]
    assert [character.score for character in characters] == pytest.approx(wanted)
    assert all(a.score < b.score for a, b in zip(characters, (c for w in words for c in w.characters), strict=True))


def test_words_of_another_language_or_decoder_keep_their_scores() -> None:
    hypotheses = GREEDY.decode(FRAMES)
    words = words_of(hypotheses[0], TOKENIZER)
    assert calibration(language="deu")(words, hypotheses, FRAMES, TOKENIZER) == words
    best = hypotheses[0]
    searched = [Hypothesis(best.spans, best.score, acoustic_score=best.score, lm_score=0.0)]
    assert calibration()(words, searched, FRAMES, TOKENIZER) == words
    assert calibration(searched=True)(words, hypotheses, FRAMES, TOKENIZER) == words
    assert calibration(searched=True)(words, searched, FRAMES, TOKENIZER) != words


def test_nothing_heard_stays_nothing() -> None:
    silence = FRAMES[:0]
    assert calibration()([], GREEDY.decode(silence), silence, TOKENIZER) == []


def test_what_was_written_is_read(tmp_path) -> None:
    one = calibration(searched=True, language="deu", fitted_on={"manifest": "a.jsonl", "words": 12})
    extras = json.loads(json.dumps({"calibration": one.to_dict()}, allow_nan=False))
    assert Calibration.from_extras(extras, "model") == one
    assert Calibration.from_extras({"name": "x"}, "model") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": "1"},
        {"bias": float("nan")},
        {"bias": None},
        {"temperature": 0},
        {"temperature": float("inf")},
        {"weights": {"mean": 1e400}},
        {"weights": {"brightness": 1.0}},
        {"weights": [1.0]},
        {"bias": 10**400},
        {"language": 3},
        {"searched": "no"},
    ],
    ids=str,
)
def test_what_cannot_be_read_is_refused_with_a_way_out(changes) -> None:
    with pytest.raises(ConfigError, match=r"my-model: the key calibration of xlsr\.json .* --calibrate"):
        Calibration.from_extras({"calibration": calibration().to_dict() | changes}, "my-model")
    with pytest.raises(ConfigError, match="my-model"):
        Calibration.from_extras({"calibration": [1, 2]}, "my-model")


def test_a_vocabulary_without_delimiter_has_a_word_for_each_character() -> None:
    tokenizer = Tokenizer.from_symbols(["<pad>", "a", "b"])
    log_probs = np.log(np.array([[0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], np.float32))
    hypotheses = GREEDY.decode(log_probs)
    words = calibration()(words_of(hypotheses[0], tokenizer), hypotheses, log_probs, tokenizer)
    assert [word.text for word in words] == ["a", "b"]
    assert all(0 < word.score < 1 for word in words)
