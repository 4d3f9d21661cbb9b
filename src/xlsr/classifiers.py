"""Frames and their classes -> two plain classifiers, by sums alone: no frame is kept, nothing is drawn. Floor 1.

`linear` is ridge regression on one-hot targets, solved in closed form; `nearest` takes the class whose mean is nearest.
Every dimension is brought to zero mean and unit variance first, by the statistics of the training frames. Two passes
over a corpus, one to add up and one to classify, take memory for the sums only, whatever its length.

Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, sections 3.4.1 and 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Frames = NDArray[np.float32]
Labels = NDArray[np.int64]

RIDGE = 0.01  # to the variance of a dimension, which is 1


@dataclass(frozen=True)
class Classifiers:
    """Two classifiers of the same frames.

    Attributes:
        mean: (dim,) of the training frames.
        deviation: (dim,), their standard deviation.
        weight: (dim, classes), of the linear classifier on standardised frames.
        bias: (classes,).
        centres: (classes, dim), mean of each class, standardised.
    """

    mean: Frames
    deviation: Frames
    weight: Frames
    bias: Frames
    centres: Frames

    def linear(self, frames: Frames) -> Labels:
        """(frames, dim) -> (frames,) classes by the linear classifier."""
        return np.asarray((self._standardise(frames) @ self.weight + self.bias).argmax(axis=-1), np.int64)

    def nearest(self, frames: Frames) -> Labels:
        """(frames, dim) -> (frames,) classes whose means are nearest."""
        # The frame's own square is the same for every class.
        scores = self._standardise(frames) @ self.centres.T - 0.5 * np.square(self.centres).sum(axis=1)
        return np.asarray(scores.argmax(axis=-1), np.int64)

    def _standardise(self, frames: Frames) -> Frames:
        return (frames - self.mean) / self.deviation


class FrameSums:
    """What both classifiers need of frames, added up.

    Args:
        dim: of a frame.
        classes: how many there are.
    """

    def __init__(self, dim: int, classes: int) -> None:
        self.counts = np.zeros(classes, np.int64)
        self.sums = np.zeros((classes, dim))
        self.products = np.zeros((dim, dim))
        self._origin: Frames | None = None

    def add(self, frames: Frames, labels: Labels) -> None:
        """Add frames, (frames, dim) float32, and their classes, (frames,)."""
        if not len(frames):
            return
        if self._origin is None:  # near the mean, so that products in float32 lose nothing to it
            self._origin = frames.mean(axis=0)
        shifted = frames - self._origin
        self.products += shifted.T @ shifted
        self.counts += np.bincount(labels, minlength=len(self.counts))
        self.sums += np.eye(len(self.counts), dtype=np.float32)[labels].T @ shifted

    def fit(self, *, ridge: float = RIDGE) -> Classifiers:
        """Solve for both classifiers.

        Args:
            ridge: added to the variance of each standardised dimension, 1, before solving.

        Raises:
            ValueError: a class has no frames.
        """
        if self._origin is None or not self.counts.all():
            raise ValueError("every class wants at least one frame to learn from")
        total = self.counts.sum()
        mean = self.sums.sum(axis=0) / total
        covariance = self.products / total - np.outer(mean, mean)
        variance = np.diag(covariance)
        # A dimension that never changes tells nothing, whatever rounding left of its variance.
        deviation = np.sqrt(np.where(variance > 1e-12 * max(variance.max(), 1e-300), variance, np.inf))
        correlation = covariance / np.outer(deviation, deviation)
        # (classes, dim): covariance of each class's indicator with each dimension.
        covaried = (self.sums - self.counts[:, None] * mean) / deviation / total
        weight = np.linalg.solve(correlation + ridge * np.eye(len(mean)), covaried.T)
        centres = (self.sums / self.counts[:, None] - mean) / deviation
        mean += self._origin
        priors = self.counts / total
        return Classifiers(*(part.astype(np.float32) for part in (mean, deviation, weight, priors, centres)))
