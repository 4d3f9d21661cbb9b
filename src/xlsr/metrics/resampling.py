"""Counts of many utterances to intervals, and the difference of two systems on the same utterances.

Speakers are resampled, not utterances, where at least two are known: errors of one voice go together, so that a corpus
of few speakers says less than its number of utterances promises. A percentile interval of under ten units is too
narrow; `Interval.units` says how many there were. Draws come from the seed: the same counts give the same figures.

Source: Bisani & Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004. Pairs
of utterances as in Gillick & Cox, "Some statistical issues in the comparison of speech recognition algorithms", ICASSP
1989, with Fisher's random signs in place of the normal distribution, which wants fifty pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Unit = Literal["speakers", "utterances"]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

RESAMPLES = 2000
# Draws held at once: 32 MiB of indices, whatever the size of the corpus.
_CHUNK = 1 << 22
# Sums of fractions that are equal by their nature may differ in later places, and are then no difference.
_PLACES = 9


class Counts(Protocol):
    """What an utterance adds to a rate."""

    @property
    def errors(self) -> float:
        """In the utterance; whole where edits are counted."""

    @property
    def length(self) -> int:
        """Tokens of the reference."""


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval of a rate.

    Attributes:
        low: its lower end.
        high: its upper end.
        unit: what was resampled.
        units: how many of them there are.
    """

    low: float
    high: float
    unit: Unit
    units: int


@dataclass(frozen=True)
class Difference:
    """How the error rate of a second system differs from that of a first one, over the same references.

    Attributes:
        first: the rate of the first system.
        second: the rate of the second.
        interval: of second - first, in rate.
        p_bootstrap: two-sided; the chance of a difference on the other side of zero when units are drawn anew.
        p_matched_pairs: two-sided; the chance of a difference as large if each utterance's two results had been
            swapped by a coin. Takes utterances as independent, which those of one speaker are not quite.
    """

    first: float
    second: float
    interval: Interval
    p_bootstrap: float
    p_matched_pairs: float

    @property
    def difference(self) -> float:
        """Second minus first; negative where the second system is better."""
        return self.second - self.first


def bootstrap_interval(
    counts: Sequence[Counts],
    speakers: Sequence[str | None] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the interval of the error rate of a corpus.

    Args:
        counts: of each utterance.
        speakers: of each utterance, None where unknown, which then stands for itself. With under two known speakers
            utterances are resampled.
        level: of confidence.
        resamples: how many corpora are drawn.
        seed: of the draws.

    Raises:
        ValueError: there are no utterances, or not a speaker for each.
    """
    groups, unit = units_of(len(counts), speakers)
    values = _sum_by(groups, [[count.errors, count.length] for count in counts])
    sums = _bootstrap_sums(values, resamples, seed)
    return _interval(sums[:, 0] / np.maximum(sums[:, 1], 1), level, unit, len(values))


def paired_difference(
    first: Sequence[Counts],
    second: Sequence[Counts],
    speakers: Sequence[str | None] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Return how the error rates of two systems differ on the same utterances.

    Args:
        first: counts of the first system by utterance.
        second: counts of the second, over the same references in the same order.
        speakers: as for `bootstrap_interval`.
        level: of confidence.
        resamples: how many corpora are drawn, and how often the pairs are swapped.
        seed: of the draws.

    Raises:
        ValueError: the references are not the same.
    """
    lengths = [count.length for count in first]
    if lengths != [count.length for count in second]:
        raise ValueError("two systems are compared on the same utterances; their references differ in length")
    groups, unit = units_of(len(first), speakers)
    changes = np.round([b.errors - a.errors for a, b in zip(first, second, strict=True)], _PLACES)
    values = _sum_by(groups, np.stack([changes, lengths], axis=1))
    sums = np.round(_bootstrap_sums(values, resamples, seed), _PLACES)
    tail = min(np.count_nonzero(sums[:, 0] <= 0), np.count_nonzero(sums[:, 0] >= 0))
    return Difference(
        first=_rate(first),
        second=_rate(second),
        interval=_interval(sums[:, 0] / np.maximum(sums[:, 1], 1), level, unit, len(values)),
        p_bootstrap=min(1.0, 2 * (tail + 1) / (resamples + 1)),
        p_matched_pairs=_matched_pairs(changes, resamples, seed),
    )


def _rate(counts: Sequence[Counts]) -> float:
    return sum(count.errors for count in counts) / max(sum(count.length for count in counts), 1)


def _matched_pairs(changes: Floats, resamples: int, seed: int) -> float:
    """The chance of a sum at least as far from zero when each change gets a random sign (Fisher's test of pairs)."""
    changes = changes[changes != 0]
    if not len(changes):
        return 1.0
    rng = np.random.default_rng(seed)
    extreme, total = 0, np.round(np.abs(changes.sum()), _PLACES)
    for rows in _chunks(resamples, len(changes)):
        signs = rng.integers(2, size=(rows, len(changes)), dtype=np.int8).astype(bool)
        sums = np.round(np.where(signs, changes, -changes).sum(axis=1), _PLACES)
        extreme += int(np.count_nonzero(np.abs(sums) >= total))
    return (extreme + 1) / (resamples + 1)


def units_of(count: int, speakers: Sequence[str | None] | None) -> tuple[Integers, Unit]:
    """Return the unit of each utterance, numbered from 0, and what units are: speakers, where two or more are known.

    Args:
        count: of utterances.
        speakers: of each, None where unknown, which then stands for itself.

    Raises:
        ValueError: there are no utterances, or not as many speakers.
    """
    if not count:
        raise ValueError("no utterances: there is nothing to take an error rate of")
    if speakers is not None and len(speakers) != count:
        raise ValueError(f"{count} utterances but {len(speakers)} speakers: wanted one for each, None where unknown")
    if speakers is None or len(set(speakers) - {None}) < 2:
        return np.arange(count), "utterances"
    numbers: dict[str | int, int] = {}
    named = [index if speaker is None else speaker for index, speaker in enumerate(speakers)]
    return np.array([numbers.setdefault(name, len(numbers)) for name in named]), "speakers"


def _sum_by(groups: Integers, values: ArrayLike) -> Floats:
    """Rows added up by group: (utterances, columns) -> (units, columns)."""
    rows = np.asarray(values, float)
    sums = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return sums


def _bootstrap_sums(values: Floats, resamples: int, seed: int) -> Floats:
    """Column sums of rows drawn with replacement, as many as there are: (units, columns) -> (resamples, columns)."""
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(values), size=(rows, len(values))) for rows in _chunks(resamples, len(values)))
    return np.concatenate([np.stack([column[draw].sum(axis=1) for column in values.T], axis=1) for draw in draws])


def _chunks(rows: int, width: int) -> list[int]:
    """`rows` in parts that hold at most `_CHUNK` draws of `width` each."""
    step = max(1, _CHUNK // width)
    return [min(step, rows - start) for start in range(0, rows, step)]


def _interval(rates: Floats, level: float, unit: Unit, units: int) -> Interval:
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), unit, units)
