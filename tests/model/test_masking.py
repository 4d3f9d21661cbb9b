"""Spans of masked frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.model.masking import span_mask


@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=6),
    prob=st.floats(0, 1),
    span=st.integers(1, 20),
    min_spans=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_masks_stay_inside_and_leave_something(lengths, prob, span, min_spans, seed) -> None:
    rng = np.random.default_rng(seed)
    mask = span_mask(lengths, 300, prob=prob, span=span, min_spans=min_spans, rng=rng)
    for row, length in zip(mask, lengths, strict=True):
        assert not row[length:].any()
        assert not length or not row[:length].all()
        if prob > 0 and min_spans and length > span * (min_spans + 1):
            assert row.sum() >= span


@pytest.mark.parametrize(("frames", "share"), [(99, 0.50), (499, 0.492), (781, 0.490)])
def test_share_of_masked_frames_is_the_papers(frames: int, share: float) -> None:
    mask = span_mask([frames] * 3000, frames, prob=0.65, span=10, min_spans=2, rng=np.random.default_rng(0))
    assert mask.mean() == pytest.approx(share, abs=0.01)


def test_the_same_generator_draws_the_same_mask() -> None:
    first, second = (
        span_mask([200] * 3, 200, prob=0.5, span=5, min_spans=1, rng=np.random.default_rng(7)) for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_no_probability_masks_nothing() -> None:
    assert not span_mask([200], 200, prob=0.0, span=5, min_spans=2, rng=np.random.default_rng(0)).any()
