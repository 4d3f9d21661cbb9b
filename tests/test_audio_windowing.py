"""Windows: every frame is in one, and neighbours overlap, whatever the blocks are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.audio import FIELD_SAMPLES, HOP_SAMPLES, Window, num_frames, windows


def expected_windows(samples: int, window_frames: int, overlap_frames: int) -> list[tuple[int, int]]:
    """The simple formula over the whole recording: (first frame, frames) of each window."""
    total = max(0, (samples - FIELD_SAMPLES) // HOP_SAMPLES + 1)
    if total <= window_frames:
        return [(0, total)] if total else []
    starts = range(0, total - window_frames, window_frames - overlap_frames)
    return [(start, window_frames) for start in (*starts, total - window_frames)]


def split(waveform: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(waveform, sorted(cut % (len(waveform) + 1) for cut in cuts))


@settings(max_examples=150, deadline=None)
@given(
    samples=st.integers(0, 12_000),
    window_frames=st.integers(1, 18),
    overlap_frames=st.integers(0, 10),
    cuts=st.lists(st.integers(0, 12_000), max_size=12),
)
def test_windows_follow_the_formula_for_any_blocks(
    samples: int, window_frames: int, overlap_frames: int, cuts: list[int]
) -> None:
    overlap_frames = min(overlap_frames, window_frames - 1)
    waveform = np.arange(samples, dtype=np.float32)
    found = list(windows(split(waveform, cuts), window_frames=window_frames, overlap_frames=overlap_frames))
    shapes = [(w.first_frame, num_frames(w.waveform.size)) for w in found]
    assert shapes == expected_windows(samples, window_frames, overlap_frames)
    for (start, frames), (following, _) in itertools.pairwise(shapes):
        assert start < following <= start + frames - overlap_frames
    for window in found:  # each waveform is the stretch of the recording that its first frame says
        start = window.first_frame * HOP_SAMPLES
        np.testing.assert_array_equal(window.waveform, waveform[start : start + window.waveform.size])


@pytest.mark.parametrize(("samples", "count"), [(0, 0), (399, 0), (400, 1), (719, 1), (720, 2), (16_000, 49)])
def test_num_frames_are_those_of_the_strides(samples: int, count: int) -> None:
    length = samples  # the kernels and strides of the seven convolutions of wav2vec 2.0
    for kernel, stride in ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)):
        length = max(0, (length - kernel) // stride + 1)
    assert num_frames(samples) == count == length


def test_short_audio_is_one_window_with_every_sample() -> None:
    samples = 30 * HOP_SAMPLES + FIELD_SAMPLES - 1  # 30 frames and a rest
    (window,) = windows([np.ones(samples, np.float32)], window_frames=30, overlap_frames=10)
    assert (window.waveform.size, window.first_frame) == (samples, 0)


def test_one_frame_more_gives_a_second_window_that_ends_with_the_recording() -> None:
    samples = 30 * HOP_SAMPLES + FIELD_SAMPLES  # 31 frames
    first, last = windows([np.ones(samples, np.float32)], window_frames=30, overlap_frames=10)
    assert (first.first_frame, last.first_frame) == (0, 1)
    assert first.waveform.size == last.waveform.size


def test_windows_hold_at_most_two_windows_and_a_block() -> None:
    taken = 0

    def blocks():
        nonlocal taken
        for _ in range(100):
            taken += 4_000
            yield np.zeros(4_000, np.float32)

    for window in windows(blocks(), window_frames=70, overlap_frames=20):
        assert taken - window.first_frame * HOP_SAMPLES < 2 * 70 * HOP_SAMPLES + 4_000


def test_windows_do_not_share_memory_with_the_blocks() -> None:
    block = np.zeros(100 * HOP_SAMPLES, np.float32)
    found: list[Window] = list(windows([block], window_frames=30, overlap_frames=10))
    assert not any(np.shares_memory(block, window.waveform) for window in found)


@pytest.mark.parametrize(("window_frames", "overlap_frames"), [(0, 0), (1, 1), (5, -1)])
def test_impossible_windows_are_refused(window_frames: int, overlap_frames: int) -> None:
    with pytest.raises(ValueError, match="at least 1 frame"):
        windows([], window_frames=window_frames, overlap_frames=overlap_frames)
