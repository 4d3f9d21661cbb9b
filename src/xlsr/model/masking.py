"""Spans of frames or channels to be hidden in training, and which frames are to be told apart from a hidden one.

Draws in NumPy from a generator that the caller owns, so that a run can be repeated and resumed; a whole batch at once.

Source: wav2vec 2.0, arXiv 2006.11477, section 3; fairseq `compute_mask_indices` (static spans, overlap allowed) and
`sample_negatives`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def span_mask(
    lengths: Sequence[int],
    size: int,
    *,
    prob: float,
    span: int,
    min_spans: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Draw spans of `span` positions whose starts cover a share `prob / span` of each row.

    Args:
        lengths: valid positions of each row; nothing beyond is masked.
        size: width of the result.
        prob: spans times their length over the row's length, before overlap (Hugging Face's `mask_time_prob`).
        span: positions in one span; rows not longer than one span are left alone.
        min_spans: at least so many spans a row, where they fit.
        rng: source of randomness.

    Returns:
        (rows, size) bool, True where masked. At least one position of a row stays unmasked.
    """
    valid = np.asarray(lengths, dtype=np.int64)
    room = np.maximum(valid - span + 1, 0)  # where a span may start
    counts = np.maximum((prob * valid / span + rng.random(len(valid))).astype(np.int64), min_spans)
    counts = np.minimum(counts, np.maximum(valid - 1, 0) // span) * (prob > 0)
    # The first places of a random order of all possible starts: drawn without replacement.
    keys = np.where(np.arange(size) < room[:, None], rng.random((len(valid), size)), np.inf)
    order = np.argsort(keys, axis=1)
    starts = np.zeros((len(valid), size + 1), dtype=np.int64)
    np.put_along_axis(starts[:, 1:], order, np.arange(size) < counts[:, None], axis=1)
    # A position is masked where one of the last `span` positions is a start.
    begun = starts.cumsum(axis=1)
    before = np.maximum(np.arange(1, size + 1) - span, 0)
    return begun[:, 1:] > begun[:, before]


def draw_negatives(mask: NDArray[np.bool_], count: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw distractors for each masked frame, evenly from the other masked frames of its utterance.

    Args:
        mask: (batch, frames) bool; in each row none or at least two are True.
        count: distractors of a frame, drawn with replacement.
        rng: source of randomness.

    Returns:
        (masked frames, count): for the masked frames of the batch, utterance after utterance, positions among the
        masked frames of their own utterance.

    Raises:
        ValueError: a row has a single masked frame, which has nothing to be told apart from.
    """
    counts = mask.sum(axis=1)
    if (counts == 1).any():
        raise ValueError("an utterance has a single masked frame; none or at least two are wanted")
    others = np.repeat(counts - 1, counts)
    own = np.arange(len(others)) - np.repeat(np.cumsum(counts) - counts, counts)
    drawn: NDArray[np.int64] = rng.integers(0, others[:, None], (len(others), count))
    drawn += drawn >= own[:, None]
    return drawn
