"""Spans of frames or channels to be hidden in training.

Draws masks in NumPy from a generator that the caller owns, so that a run can be repeated and resumed.

Source: wav2vec 2.0, arXiv 2006.11477, section 3.1; fairseq `compute_mask_indices` (static spans, overlap allowed).
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
        span: positions in one span; rows shorter than one span are left alone.
        min_spans: at least so many spans a row, where they fit.
        rng: source of randomness.

    Returns:
        (rows, size) bool, True where masked. At least one position of a row stays unmasked.
    """
    mask = np.zeros((len(lengths), size), dtype=bool)
    for row, length in zip(mask, lengths, strict=True):
        if length <= span:
            continue
        count = max(int(prob * length / span + rng.random()), min_spans)
        count = min(count, length - span, (length - 1) // span) if prob > 0 else 0
        starts = rng.choice(length - span + 1, size=count, replace=False)
        row[(starts[:, None] + np.arange(span)).ravel()] = True
    return mask
