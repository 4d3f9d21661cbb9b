"""Windows over what is spoken: silences are passed over, times stay right, nothing spoken is lost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.audio import HOP_SAMPLES, num_frames
from xlsr.audio.voice import CHUNK_SAMPLES, spoken_windows

PAD = 3  # chunks
PAD_SECONDS = PAD * CHUNK_SAMPLES / 16_000


def by_level(chunks: np.ndarray) -> np.ndarray:
    """A detector that takes the loudest sample for the chance of speech."""
    return chunks.max(axis=1)


def cut(waveform: np.ndarray, block: int = 5_000, **options) -> list:
    blocks = [waveform[start : start + block] for start in range(0, len(waveform), block)]
    sizes = {"window_frames": 40, "overlap_frames": 10, "pad_seconds": PAD_SECONDS} | options
    return list(spoken_windows(blocks, by_level, **sizes))


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8),
    rest=st.integers(0, CHUNK_SAMPLES - 1),
    block=st.integers(1, 9_000),
)
def test_all_speech_and_its_surroundings_are_kept_at_their_place(runs, rest: int, block: int) -> None:
    speech = np.repeat([spoken for spoken, _ in runs], [count for _, count in runs]).astype(bool)
    waveform = np.append(np.repeat(np.where(speech, 0.9, 0.1), CHUNK_SAMPLES), np.full(rest, 0.1)).astype(np.float32)
    waveform[::2] *= -1  # the sign tells even samples from odd ones
    waveform += np.arange(len(waveform), dtype=np.float32) * 1e-7  # and this every sample from its neighbours
    found = cut(waveform, block)
    covered = np.zeros(num_frames(len(waveform)), bool)
    for window in found:
        start = window.first_frame * HOP_SAMPLES
        np.testing.assert_array_equal(window.waveform, waveform[start : start + len(window.waveform)])
        covered[window.first_frame : window.first_frame + num_frames(len(window.waveform))] = True
    near = np.convolve(np.pad(speech, (PAD, PAD + 1)), np.ones(2 * PAD + 1), mode="valid") > 0
    for frame in range(len(covered)):  # a frame is kept if all that it sees is near speech, and only if some of it is
        seen = near[frame * HOP_SAMPLES // CHUNK_SAMPLES : (frame * HOP_SAMPLES + 399) // CHUNK_SAMPLES + 1]
        assert covered[frame] or not seen.all()
        assert not covered[frame] or seen.any()


def test_silence_has_no_windows() -> None:
    assert cut(np.zeros(50_000, np.float32)) == []


def test_short_silences_do_not_part_passages() -> None:
    loud, quiet = np.full(10 * CHUNK_SAMPLES, 0.9), np.zeros(2 * PAD * CHUNK_SAMPLES)
    assert len(cut(np.concatenate([loud, quiet, loud]).astype(np.float32), window_frames=1_000)) == 1
    longer = np.concatenate([loud, quiet, np.zeros(CHUNK_SAMPLES), loud]).astype(np.float32)
    assert len(cut(longer, window_frames=1_000)) == 2


@pytest.mark.parametrize(("level", "count"), [(0.4, 1), (0.3, 2)])
def test_speech_goes_on_while_its_chance_is_not_plainly_low(level: float, count: int) -> None:
    loud, faint = np.full(10 * CHUNK_SAMPLES, 0.9), np.full(20 * CHUNK_SAMPLES, level)
    assert len(cut(np.concatenate([loud, faint, loud]).astype(np.float32), window_frames=1_000)) == count


def test_a_long_passage_passes_in_overlapping_windows() -> None:
    found = cut(np.full(100 * CHUNK_SAMPLES, 0.9, np.float32))
    assert len(found) > 3
    assert all(b.first_frame - a.first_frame <= 30 for a, b in itertools.pairwise(found))
