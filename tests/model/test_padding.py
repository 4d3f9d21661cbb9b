"""Batching never changes the answer: a padded batch equals single utterances, group norm included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import ARCHITECTURES, noise, tiny

MODELS = {name: tiny(name) for name in ARCHITECTURES}
SIZES = st.lists(st.integers(400, 20_000), min_size=1, max_size=5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=50, deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 2**32 - 1))
@torch.no_grad()
def test_padded_batch_equals_single_utterances(architecture: str, sizes: list[int], seed: int) -> None:
    model = MODELS[architecture]
    waveforms, lengths = noise(*sizes, seed=seed)
    batched, frames = model(waveforms, lengths)
    assert frames.tolist() == [model.config.num_frames(size) for size in sizes]
    for row, size in enumerate(sizes):
        single = model(waveforms[row : row + 1, :size])[0][0]
        torch.testing.assert_close(batched[row, : len(single)], single, rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_what_stands_in_the_padding_does_not_matter(architecture: str) -> None:
    model = MODELS[architecture]
    waveforms, lengths = noise(9000, 4000)
    clean = model(waveforms, lengths)[0]
    waveforms[1, 4000:] = 7.0
    torch.testing.assert_close(model(waveforms, lengths)[0][1, :12], clean[1, :12], rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_a_row_without_any_frame_gives_no_nan(architecture: str) -> None:
    model = MODELS[architecture]
    waveforms, lengths = noise(9000, 300)
    batched, frames = model(waveforms, lengths)
    assert frames.tolist() == [27, 0]
    assert torch.isfinite(batched).all()


@torch.no_grad()
def test_silence_gives_finite_logits() -> None:
    for model in MODELS.values():
        assert torch.isfinite(model(torch.zeros(1, 4000))[0]).all()
