"""How far scores are the probabilities that they claim to be, and how well they tell right from wrong.

Takes scores in [0, 1] and what became of what they stand for; knows no audio and no model. Bins have as many words each
(adaptive: where all scores are high, bins of one width would hold them all in one) or are as wide.

Source: Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015 (the error over bins
of one width); Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019 (adaptive bins); Geifman &
El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017 (risk and coverage); Siu, Gish & Richardson,
"Improved estimation, evaluation and applications of confidence measures for speech recognition", Eurospeech 1997
(normalised cross entropy, as sclite prints it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xlsr.metrics.summary import Scored

Floats = NDArray[np.float64]

BINS = 10
# Scores are taken as this far from 0 and 1 at least, where one wrong word would else cost infinitely much.
_LEAST = 1e-3
_CURVE_POINTS = 100


@dataclass(frozen=True)
class Bin:
    """Words of like scores.

    Attributes:
        count: how many.
        score: their mean score.
        accuracy: the share of them that is right; of probabilities it is the mean score.
    """

    count: int
    score: float
    accuracy: float


@dataclass(frozen=True)
class RiskCoverage:
    """What errors remain when only the surest are kept.

    Attributes:
        coverage: shares that are kept, ascending, at most a hundred.
        risk: the error rate of what is kept.
        area: under the curve, with a point for every number that can be kept (AURC); lower is better.
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float


@dataclass(frozen=True)
class Confidence:
    """What the scores of a corpus are worth.

    Attributes:
        words: that were heard and have a score; phones of a phone model.
        accuracy: the share of them that is right.
        score: their mean score.
        error: expected calibration error over adaptive bins.
        error_equal: the same over bins of one width.
        chance: the error that exact probabilities would show over adaptive bins of so few words.
        cross_entropy: normalised: 1 is perfect, 0 says as much as the mean, and below it misleads; None where all words
            are right, or all wrong.
        bins: adaptive ones, lowest scores first: the reliability diagram.
        by_word: the share of wrong words where the surest are kept.
        by_utterance: the error rate where the surest utterances are kept.
    """

    words: int
    accuracy: float
    score: float
    error: float
    error_equal: float
    chance: float
    cross_entropy: float | None
    bins: tuple[Bin, ...]
    by_word: RiskCoverage
    by_utterance: RiskCoverage

    COLUMNS = (
        "scored",
        "right",
        "mean score",
        "ECE",
        "by chance",
        "ECE, equal bins",
        "NCE",
        "AURC",
        "AURC, utterances",
    )

    def row(self) -> tuple[str, ...]:
        """Return the figures under `COLUMNS`."""
        entropy = "–" if self.cross_entropy is None else f"{self.cross_entropy:.3f}"
        errors = (f"{self.error:.3f}", f"{self.chance:.3f}", f"{self.error_equal:.3f}", entropy)
        areas = (f"{self.by_word.area:.3f}", f"{self.by_utterance.area:.3f}")
        return (f"{self.words}", f"{self.accuracy:.1%}", f"{self.score:.3f}", *errors, *areas)


def measure_confidence(scored: Sequence[Scored]) -> Confidence | None:
    """Return what the scores of utterances and their words are worth; None where no word has a score."""
    words = [word for item in scored for word in item.words if word.score is not None]
    if not words:
        return None
    scores, right = np.array([word.score for word in words], float), np.array([word.right for word in words], float)
    told = [item for item in scored if item.score is not None]
    counts = [item.counts for item in told]
    bins = reliability(scores, right)
    return Confidence(
        words=len(words),
        accuracy=float(right.mean()),
        score=float(scores.mean()),
        error=calibration_error(bins),
        error_equal=calibration_error(reliability(scores, right, adaptive=False)),
        chance=chance_error(scores),
        cross_entropy=normalised_cross_entropy(scores, right),
        bins=bins,
        by_word=risk_coverage(scores, 1 - right),
        by_utterance=risk_coverage(
            [item.score for item in told if item.score is not None],
            [count.errors for count in counts],
            [count.length for count in counts],
        ),
    )


def reliability(scores: ArrayLike, right: ArrayLike, *, bins: int = BINS, adaptive: bool = True) -> tuple[Bin, ...]:
    """Group words by their scores and say how many of each group are right.

    Args:
        scores: (words,) in [0, 1].
        right: (words,) 1 where the word is right, 0 where it is wrong.
        bins: how many at most; equal scores are never parted, and empty bins are left out.
        adaptive: bins of as many words as can be; else of one width.

    Raises:
        ValueError: there are no words, as many outcomes as scores are not given, or a score is outside [0, 1].
    """
    values, outcomes = _checked(scores, right)
    places = _places(values, bins, adaptive=adaptive)
    counts = np.bincount(places, minlength=bins)
    sums = [np.bincount(places, weights=what, minlength=bins) for what in (values, outcomes)]
    return tuple(
        Bin(int(count), float(score / count), float(good / count))
        for count, score, good in zip(counts, *sums, strict=True)
        if count
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean distance of score and accuracy, weighed by words."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.score - one.accuracy) for one in bins) / total


def chance_error(scores: ArrayLike, *, bins: int = BINS) -> float:
    """Return about which adaptive calibration error these scores would show if they were exact probabilities.

    Of n words in a bin the number that is right then varies with the sum v of p (1 - p), so that its mean distance from
    what is expected is sqrt(2 v / pi), by the normal distribution.
    """
    values, _ = _checked(scores, np.zeros_like(scores))
    spreads = np.bincount(_places(values, bins, adaptive=True), weights=values * (1 - values))
    return float(np.sqrt(2 / np.pi * spreads).sum() / len(values))


def normalised_cross_entropy(scores: ArrayLike, right: ArrayLike) -> float | None:
    """Return by which part the scores lower the entropy of what is right and wrong; None where nothing is unsure."""
    values, outcomes = _checked(scores, right)
    if not 0 < (mean := float(outcomes.mean())) < 1:
        return None
    values = np.clip(values, _LEAST, 1 - _LEAST)
    told = -float(np.mean(outcomes * np.log(values) + (1 - outcomes) * np.log1p(-values)))
    return 1 - told / -(mean * math.log(mean) + (1 - mean) * math.log1p(-mean))


def risk_coverage(scores: ArrayLike, errors: ArrayLike, lengths: ArrayLike | None = None) -> RiskCoverage:
    """Return the error rate of the surest one, two, three ... of what is scored.

    Among equal scores the order is chance: each stands for the mean of all that share its score.

    Args:
        scores: (items,) any numbers, the surest highest.
        errors: (items,) errors in each.
        lengths: (items,) of their references, for a rate by tokens; None: 1 each.

    Raises:
        ValueError: there is nothing, or the numbers of items differ.
    """
    values, wrong = np.asarray(scores, float), np.asarray(errors, float)
    sizes = np.ones_like(wrong) if lengths is None else np.asarray(lengths, float)
    if not len(values) or not len(values) == len(wrong) == len(sizes):
        raise ValueError(f"{len(values)} scores, {len(wrong)} errors, {len(sizes)} lengths: wanted as many, at least 1")
    _, groups = np.unique(-values, return_inverse=True)  # the surest are group 0
    counts = np.bincount(groups)
    wrong, sizes = (np.repeat(np.bincount(groups, weights=what) / counts, counts) for what in (wrong, sizes))
    risks = np.cumsum(wrong) / np.maximum(np.cumsum(sizes), 1)
    shown = np.unique(np.ceil(np.linspace(0, len(risks), _CURVE_POINTS + 1)[1:]).astype(int))
    return RiskCoverage(
        coverage=tuple((shown / len(risks)).tolist()), risk=tuple(risks[shown - 1].tolist()), area=float(risks.mean())
    )


def _checked(scores: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    values, outcomes = np.asarray(scores, float), np.asarray(right, float)
    if not len(values) or values.shape != outcomes.shape:
        raise ValueError(f"{values.size} scores and {outcomes.size} outcomes: wanted one for each, and at least one")
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"scores reach from {values.min():g} to {values.max():g}; probabilities are wanted")
    return values, outcomes


def _places(values: Floats, bins: int, *, adaptive: bool) -> NDArray[np.intp]:
    """The number of each score's bin, from 0."""
    edges = np.quantile(values, np.arange(1, bins) / bins) if adaptive else np.arange(1, bins) / bins
    return np.searchsorted(edges, values, side="right")
