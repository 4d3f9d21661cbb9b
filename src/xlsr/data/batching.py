"""Which utterances share a batch: similar lengths, a bounded number of seconds, an order that can be repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def plan_batches(
    durations: Sequence[float], *, max_seconds: float, rng: np.random.Generator, stretch: float = math.inf
) -> list[list[int]]:
    """Group utterances of similar duration so that a padded batch holds at most `max_seconds`.

    Args:
        durations: seconds of each utterance.
        max_seconds: padded seconds of a batch, count times longest; a longer utterance makes a batch alone.
        rng: draws the order; the same state gives the same plan.
        stretch: the longest of a batch is at most so many times the shortest.

    Returns:
        Batches of indices, in random order; every index once.
    """
    # Up to 10 % of noise on the sorting key: neighbours change from epoch to epoch, padding stays small.
    keys = np.asarray(durations) * rng.uniform(0.95, 1.05, len(durations))
    batches: list[list[int]] = []
    longest, shortest = 0.0, 0.0
    for index in map(int, np.argsort(keys, kind="stable")):
        longest, shortest = max(longest, durations[index]), min(shortest, durations[index])
        if batches and (len(batches[-1]) + 1) * longest <= max_seconds and longest <= stretch * shortest:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = shortest = durations[index]
    return [batches[i] for i in rng.permutation(len(batches))]
