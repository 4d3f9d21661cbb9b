"""Many waveforms through an engine, in batches of like length. Floor 3: knows lengths, no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE
from xlsr.engines.engine import Engine


def batched_log_probs(
    engine: Engine, waveforms: Sequence[NDArray[np.float32]], batch_seconds: float
) -> list[NDArray[np.float32]]:
    """Return the log-probabilities of each waveform, computed with those of similar length.

    Args:
        engine: computes them.
        waveforms: each (samples,) float32 at 16 kHz.
        batch_seconds: padded seconds of audio in one call; a longer waveform goes alone.
    """
    order = sorted(range(len(waveforms)), key=lambda index: len(waveforms[index]))
    found: dict[int, NDArray[np.float32]] = {}
    for batch in _batches(order, [len(waveform) for waveform in waveforms], batch_seconds * SAMPLE_RATE):
        found |= zip(batch, engine.log_probs([waveforms[index] for index in batch]), strict=True)
    return [found[index] for index in range(len(waveforms))]


def _batches(order: Iterable[int], lengths: Sequence[int], most_samples: float) -> Iterator[list[int]]:
    """Cut indices, the shortest first, into groups whose padded samples are at most so many."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[index] > most_samples:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
