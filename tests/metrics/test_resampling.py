"""Intervals and paired tests: against plain loops, by hand, and by what they promise on simulated corpora."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from xlsr.metrics import ErrorCounts, bootstrap_interval, paired_difference
from xlsr.metrics.resampling import _CHUNK, _chunks


def counts(errors: int, length: int) -> ErrorCounts:
    """So many errors in so many reference words; what exceeds them is inserted."""
    wrong = min(errors, length)
    return ErrorCounts(substitutions=wrong, insertions=errors - wrong, hits=length - wrong)


def corpus(seed: int, utterances: int = 40) -> tuple[list[ErrorCounts], list[str | None]]:
    draw = random.Random(seed)
    lengths = [draw.randint(0, 12) for _ in range(utterances)]
    return [counts(draw.randint(0, n), n) for n in lengths], [draw.choice("abcde") for _ in lengths]


def slow_rates(items: list[list[ErrorCounts]], resamples: int, seed: int) -> list[float]:
    """The bootstrap as its definition has it: draw as many units as there are, add up, divide."""
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(resamples):
        drawn = [count for index in rng.integers(len(items), size=len(items)) for count in items[index]]
        rates.append(sum(count.errors for count in drawn) / max(sum(count.length for count in drawn), 1))
    return rates


def percentile(values: list[float], share: float) -> float:
    """Linear interpolation between the order statistics, in plain Python."""
    ordered, position = sorted(values), share * (len(values) - 1)
    below = int(position)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@pytest.mark.parametrize("by_speaker", [False, True])
def test_the_interval_equals_a_plain_loop_with_the_same_seed(by_speaker: bool) -> None:
    items, speakers = corpus(1)
    units: dict[object, list[ErrorCounts]] = {}
    for index, item in enumerate(items):
        units.setdefault(speakers[index] if by_speaker else index, []).append(item)
    found = bootstrap_interval(items, speakers if by_speaker else None, resamples=300, seed=5)
    rates = slow_rates(list(units.values()), 300, 5)
    # Both add up integers; only the interpolation of the quantiles rounds.
    assert found.low == pytest.approx(percentile(rates, 0.025), abs=1e-12)
    assert found.high == pytest.approx(percentile(rates, 0.975), abs=1e-12)
    assert (found.unit, found.units) == (("speakers", 5) if by_speaker else ("utterances", 40))


def test_large_corpora_are_drawn_in_parts_that_change_nothing(monkeypatch) -> None:
    items, speakers = corpus(2)
    whole = bootstrap_interval(items), paired_difference(items, items[:], speakers)
    monkeypatch.setattr("xlsr.metrics.resampling._CHUNK", 100)
    assert (bootstrap_interval(items), paired_difference(items, items[:], speakers)) == whole
    assert sum(_chunks(2000, 10**7)) == 2000
    assert max(_chunks(2000, 3000)) * 3000 <= _CHUNK


def test_unknown_speakers_stand_for_themselves() -> None:
    items = [counts(1, 4)] * 5
    assert bootstrap_interval(items, ["a", "a", "b", None, None]).units == 4
    lone = bootstrap_interval(items, ["a", "a", None, None, None])
    assert (lone.unit, lone.units) == ("utterances", 5)


def test_equal_utterances_leave_no_doubt() -> None:
    found = bootstrap_interval([counts(1, 4)] * 7)
    assert (found.low, found.high) == (0.25, 0.25)


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no utterances"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="1 utterances but 2 speakers"):
        bootstrap_interval([counts(0, 1)], ["a", "b"])
    with pytest.raises(ValueError, match="differ in length"):
        paired_difference([counts(0, 1)], [counts(0, 2)])


def simulated(
    rng: np.random.Generator, num_speakers: int, shift: float = 0.0
) -> tuple[list[ErrorCounts], list[ErrorCounts], list[str]]:
    """Two systems on speakers of one to nine utterances of ten words, whose difficulty both share."""
    first: list[ErrorCounts] = []
    second: list[ErrorCounts] = []
    speakers: list[str] = []
    for speaker in range(num_speakers):
        difficulty, size = rng.beta(4, 16), int(rng.integers(1, 10))
        first += [counts(int(errors), 10) for errors in rng.binomial(10, difficulty, size)]
        second += [counts(int(errors), 10) for errors in rng.binomial(10, difficulty + shift, size)]
        speakers += [f"s{speaker}"] * size
    return first, second, speakers


def test_a_nominal_interval_of_95_percent_covers_the_truth_that_often() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        items, _, speakers = simulated(rng, 40)
        found = bootstrap_interval(items, speakers, resamples=400)
        covered += found.low <= 4 / 20 <= found.high
    # The mean of beta(4, 16) is the truth. 400 draws of 0.95 have a standard error of 1.1 points.
    assert 0.90 <= covered / 400 <= 0.99


def test_utterances_of_few_voices_taken_as_independent_would_promise_too_much() -> None:
    rng = np.random.default_rng(8)
    items, speakers = [], []
    for speaker in range(20):
        items += [counts(int(errors), 10) for errors in rng.binomial(10, rng.beta(2, 8), 30)]
        speakers += [f"s{speaker}"] * 30
    naive, honest = bootstrap_interval(items), bootstrap_interval(items, speakers)
    assert honest.high - honest.low > 2 * (naive.high - naive.low)


def test_p_is_uniform_where_two_systems_do_not_differ() -> None:
    rng = np.random.default_rng(9)
    found = [paired_difference(*simulated(rng, 40), resamples=400) for _ in range(400)]
    for name in ("p_bootstrap", "p_matched_pairs"):
        p = np.sort([getattr(one, name) for one in found])
        # Kolmogorov-Smirnov; at 400 values 0.0815 is passed by one in a hundred uniform samples.
        steps = np.arange(401) / 400
        assert max(np.abs(p - steps[1:]).max(), np.abs(p - steps[:-1]).max()) < 0.0815, name
        assert 0.02 <= np.mean(p < 0.05) <= 0.085, name


def test_a_real_difference_is_found_and_its_sign_kept() -> None:
    first, second, speakers = simulated(np.random.default_rng(10), 60, shift=0.1)
    worse, better = paired_difference(first, second, speakers), paired_difference(second, first, speakers)
    assert 0.05 < worse.interval.low < worse.difference < worse.interval.high < 0.15
    assert worse.p_bootstrap < 0.01
    assert worse.p_matched_pairs < 0.01
    assert better.difference == -worse.difference
    assert better.interval.low == pytest.approx(-worse.interval.high)


def test_matched_pairs_equal_the_enumeration_of_all_signs() -> None:
    changes = [2, -1, 1, 1, 0, 3, -1, 1, 2]
    first = [counts(4, 8)] * len(changes)
    second = [counts(4 + change, 8) for change in changes]
    sums = [sum(s * c for s, c in zip(signs, changes, strict=True)) for signs in itertools.product((1, -1), repeat=9)]
    exact = sum(abs(total) >= sum(changes) for total in sums) / len(sums)
    found = paired_difference(first, second, resamples=20_000).p_matched_pairs
    assert found == pytest.approx(exact, abs=0.01)  # three standard errors of 20,000 draws


def test_equal_systems_do_not_differ() -> None:
    items, speakers = corpus(3)
    same = paired_difference(items, items, speakers)
    assert (same.difference, same.interval.low, same.interval.high) == (0, 0, 0)
    assert same.p_bootstrap == same.p_matched_pairs == 1
