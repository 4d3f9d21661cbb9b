"""What scores are worth: against plain loops, by hand, and by what exact probabilities must show."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.metrics import Scored, ScoredWord, calibration_error, measure_confidence, reliability, risk_coverage
from xlsr.metrics.confidence import chance_error, normalised_cross_entropy

# Few different scores, so that many are equal.
words = st.lists(
    st.tuples(st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.5, 0.62, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40
)


def columns(pairs) -> tuple[list[float], list[bool]]:
    scores, right = zip(*pairs, strict=True)
    return list(scores), list(right)


@settings(max_examples=80, deadline=None)
@given(words, st.integers(1, 12))
def test_the_error_over_equal_bins_is_that_of_a_plain_loop(pairs, bins) -> None:
    total = 0.0
    for number in range(bins):
        members = [(s, r) for s, r in pairs if min(math.floor(s * bins + 1e-12), bins - 1) == number]
        if members:
            scores, right = columns(members)
            total += len(members) / len(pairs) * abs(np.mean(scores) - np.mean(right))
    found = calibration_error(reliability(*columns(pairs), bins=bins, adaptive=False))
    assert found == pytest.approx(total, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(words, st.integers(1, 12), st.randoms())
def test_bins_part_no_equal_scores_and_know_no_order(pairs, bins, random) -> None:
    shuffled = random.sample(pairs, len(pairs))
    for adaptive in (True, False):
        found = reliability(*columns(pairs), bins=bins, adaptive=adaptive)
        again = reliability(*columns(shuffled), bins=bins, adaptive=adaptive)
        assert [one.count for one in found] == [one.count for one in again]
        assert [one.accuracy for one in found] == pytest.approx([one.accuracy for one in again])
        assert sum(one.count for one in found) == len(pairs)
        assert sum(one.count * one.accuracy for one in found) == pytest.approx(sum(right for _, right in pairs))
        assert [one.score for one in found] == sorted(one.score for one in found)
        # A score whose words are in two bins would show in both means: with one score there is one bin.
        same = [pair for pair in pairs if pair[0] == pairs[0][0]]
        assert len(reliability(*columns(same), bins=bins, adaptive=adaptive)) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60, unique=True), st.integers(1, 12))
def test_adaptive_bins_hold_as_many_words_each(scores, bins) -> None:
    counts = [one.count for one in reliability(scores, [1] * len(scores), bins=bins)]
    assert max(counts) - min(counts) <= 1


def test_a_hand_computed_case() -> None:
    scores, right = [0.9, 0.8, 0.7, 0.6, 0.3, 0.1], [1, 1, 0, 1, 0, 0]
    low, high = reliability(scores, right, bins=2)
    assert (low.count, low.score, low.accuracy) == (3, pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (high.count, high.score, high.accuracy) == (3, pytest.approx(0.8), pytest.approx(2 / 3))
    assert calibration_error((low, high)) == pytest.approx(0.5 * (0.8 - 2 / 3))


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="from -1 to 2; probabilities"):
        reliability([-1, 2], [0, 1])
    with pytest.raises(ValueError, match="from nan"):
        reliability([float("nan")], [0])
    with pytest.raises(ValueError, match="2 scores and 1 outcomes"):
        reliability([0.1, 0.2], [0])
    with pytest.raises(ValueError, match="0 scores"):
        risk_coverage([], [])


def test_exact_probabilities_show_the_error_that_chance_makes() -> None:
    rng = np.random.default_rng(0)
    for size, shape in ((200, (8, 1)), (1000, (2, 2)), (60, (1, 3))):
        scores = rng.beta(*shape, size)
        errors = [calibration_error(reliability(scores, rng.random(size) < scores)) for _ in range(600)]
        # The normal distribution in place of the binomial one; six words a bin are the worst of these cases.
        assert np.mean(errors) == pytest.approx(chance_error(scores), rel=0.06)
    assert chance_error([0.0, 1.0, 1.0]) == 0


def test_normalised_cross_entropy_is_the_one_of_sclite() -> None:
    reference = "the cat sat on the mat and looked at the moon all night".split()
    heard = "the hat sat on a mat and locked at the moon tall night".split()
    scores = [0.9, 0.4, 0.8, 0.95, 0.3, 0.7, 0.99, 0.6, 0.85, 0.9, 0.75, 0.2, 0.65]
    found = normalised_cross_entropy(scores, [a == b for a, b in zip(reference, heard, strict=True)])
    assert found == pytest.approx(0.534, abs=5e-4)  # sclite 2.4.10 of these words, which prints three decimals


def test_normalised_cross_entropy_at_its_ends() -> None:
    right = [1, 1, 0, 1]
    assert normalised_cross_entropy([0.75] * 4, right) == pytest.approx(0)
    assert normalised_cross_entropy(right, right) == pytest.approx(1, abs=0.01)
    assert normalised_cross_entropy([0, 0, 1, 0], right) < -1
    assert normalised_cross_entropy([0.5, 0.5], [1, 1]) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5, 0.9]), st.integers(0, 1)), min_size=1, max_size=6))
def test_risk_by_coverage_is_the_mean_over_all_orders_of_equal_scores(pairs) -> None:
    curves = []
    for order in itertools.permutations(pairs):
        if [score for score, _ in order] == sorted((score for score, _ in order), reverse=True):
            curves.append(np.cumsum([wrong for _, wrong in order]) / np.arange(1, len(order) + 1))
    found = risk_coverage(*columns(pairs))
    np.testing.assert_allclose(found.risk, np.mean(curves, axis=0), atol=1e-12)
    assert found.area == pytest.approx(np.mean(curves))
    assert found.coverage == pytest.approx(np.arange(1, len(pairs) + 1) / len(pairs))


def test_risk_of_utterances_is_their_error_rate() -> None:
    found = risk_coverage([0.9, 0.2, 0.5], [1, 6, 0], [4, 5, 1])
    assert found.risk == pytest.approx((1 / 4, 1 / 5, 7 / 10))
    assert found.area == pytest.approx((1 / 4 + 1 / 5 + 7 / 10) / 3)
    assert risk_coverage([0.5], [2], [0]).risk == (2,)  # an empty reference counts as one word, as in a rate


def test_a_long_curve_has_a_hundred_points_and_the_area_of_all() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(12_345)
    wrong = rng.random(12_345) > scores
    found = risk_coverage(scores, wrong)
    assert len(found.risk) == len(found.coverage) == 100
    assert found.coverage[-1] == 1
    assert found.risk[-1] == pytest.approx(wrong.mean())
    order = np.argsort(-scores)
    assert found.area == pytest.approx(np.mean(np.cumsum(wrong[order]) / np.arange(1, 12_346)))
    # Of exact probabilities, even between 0 and 1, the surest share c has a risk of c / 2: an area of 1/4.
    assert found.area == pytest.approx(0.25, abs=0.01)


def corpus() -> list[Scored]:
    first = (ScoredWord("a", 0.9, True), ScoredWord("x", 0.4, False))
    return [
        Scored("one", "a b", "a x", score=0.65, words=first),
        Scored("two", "c", "c", score=0.8, words=(ScoredWord("c", 0.8, True),)),
        Scored("three", "d e", ""),
        Scored("four", "f", "f", words=(ScoredWord("f", None, True),)),
    ]


def test_the_confidence_of_a_corpus_counts_what_has_a_score() -> None:
    found = measure_confidence(corpus())
    assert (found.words, found.accuracy, found.score) == (3, pytest.approx(2 / 3), pytest.approx(0.7))
    assert found.error == pytest.approx((0.1 + 0.2 + 0.4) / 3)
    assert found.error_equal == pytest.approx((0.1 + 0.2 + 0.4) / 3)
    assert found.by_word.risk == pytest.approx((0, 0, 1 / 3))
    assert found.by_utterance.risk == pytest.approx((0, 1 / 3))
    assert len(found.row()) == len(found.COLUMNS)
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["words"] == 3
    assert measure_confidence(corpus()[2:]) is None
