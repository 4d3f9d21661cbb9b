"""Spans of masked frames, and the distractors of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.model.masking import draw_negatives, span_mask

ROWS = st.lists(st.integers(0, 300), min_size=1, max_size=6)
SEEDS = st.integers(0, 2**32 - 1)


@given(lengths=ROWS, prob=st.floats(0, 1), span=st.integers(1, 20), min_spans=st.integers(0, 3), seed=SEEDS)
def test_masks_stay_inside_and_leave_something(lengths, prob, span, min_spans, seed) -> None:
    rng = np.random.default_rng(seed)
    mask = span_mask(lengths, 300, prob=prob, span=span, min_spans=min_spans, rng=rng)
    for row, length in zip(mask, lengths, strict=True):
        assert not row[length:].any()
        assert not length or not row[:length].all()
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate(([0], row, [0])))))[::2]
        assert (runs >= span).all()
        if prob > 0 and min_spans and length > span * (min_spans + 1):
            # So many spans start at different places: the least that they can cover.
            assert row.sum() >= span + min_spans - 1


@pytest.mark.parametrize(("frames", "share"), [(99, 0.50), (499, 0.492), (781, 0.490)])
def test_share_of_masked_frames_is_the_papers(frames: int, share: float) -> None:
    mask = span_mask([frames] * 3000, frames, prob=0.65, span=10, min_spans=2, rng=np.random.default_rng(0))
    assert mask.mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("frames", [60, 249])
def test_masks_have_the_statistics_of_transformers(frames: int) -> None:
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

    rows = 4000
    ours = span_mask([frames] * rows, frames, prob=0.65, span=10, min_spans=2, rng=np.random.default_rng(0))
    np.random.seed(0)
    # It draws the rounding of the number of spans once a call.
    theirs = np.concatenate([_compute_mask_indices((8, frames), 0.65, 10, min_masks=2) for _ in range(rows // 8)])
    # Three standard deviations of a mean over 4,000 rows, and twice that by place in the row.
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.01)
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.045)
    for mask in (ours, theirs):
        mask[:, -1] = False
    runs = [np.diff(mask.astype(int), axis=1, prepend=0, append=0).clip(0).sum(1).mean() for mask in (ours, theirs)]
    assert runs[0] == pytest.approx(runs[1], rel=0.02)


def test_the_same_generator_draws_the_same_mask() -> None:
    first, second = (
        span_mask([200] * 3, 200, prob=0.5, span=5, min_spans=1, rng=np.random.default_rng(7)) for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_no_probability_masks_nothing() -> None:
    assert not span_mask([200], 200, prob=0.0, span=5, min_spans=2, rng=np.random.default_rng(0)).any()


@given(lengths=ROWS, count=st.integers(1, 20), seed=SEEDS)
def test_distractors_are_other_masked_frames_of_the_same_utterance(lengths, count, seed) -> None:
    rng = np.random.default_rng(seed)
    mask = span_mask(lengths, 300, prob=0.65, span=2, min_spans=0, rng=rng)
    negatives = draw_negatives(mask, count, rng=rng)
    assert negatives.shape == (mask.sum(), count)
    counts = mask.sum(axis=1)
    own = np.concatenate([np.arange(n) for n in counts])
    assert (negatives != own[:, None]).all()
    assert (negatives >= 0).all()
    assert (negatives < np.repeat(counts, counts)[:, None]).all()


def test_distractors_are_drawn_evenly() -> None:
    mask = np.array([[True, False, True, True, True], [True, True, False, False, False]])
    negatives = draw_negatives(mask, 30_000, rng=np.random.default_rng(0))
    shares = np.stack([np.bincount(row, minlength=4) for row in negatives]) / 30_000
    wanted = (1 - np.eye(4)) / 3
    # Three standard deviations of a share of a third in 30,000 draws are 0.008.
    np.testing.assert_allclose(shares[:4], wanted, atol=0.01)
    np.testing.assert_array_equal(shares[4:, :2], [[0, 1], [1, 0]])


def test_a_single_masked_frame_has_no_distractor() -> None:
    with pytest.raises(ValueError, match="none or at least two"):
        draw_negatives(np.array([[True, False]]), 3, rng=np.random.default_rng(0))
