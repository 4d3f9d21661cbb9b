"""Blocks of samples to overlapping windows, each long enough to be encoded by itself.

Knows only the stride arithmetic of the encoder: frame f sees the samples [320 f, 320 f + 400). Knows nothing of files;
where one window's frames end and the next one's begin is decided later, by what the network says (stitching.py).
Floor 1; between reading and encoding. Bounded memory: at most two windows and one block are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz, of every waveform
HOP_SAMPLES = 320  # one frame every 20 ms
FIELD_SAMPLES = 400  # what one frame sees: 25 ms, the shortest usable recording


@dataclass(frozen=True)
class Window:
    """A stretch of a recording to encode.

    Attributes:
        waveform: (samples,) float32 at 16 kHz.
        first_frame: index, in the whole recording, of this window's frame 0; its sample 0 is `320 * first_frame`.
    """

    waveform: NDArray[np.float32]
    first_frame: int


def num_frames(samples: int) -> int:
    """Return how many frames the encoder makes of so many samples; 0 below 400."""
    return max(0, (samples - FIELD_SAMPLES) // HOP_SAMPLES + 1)


def windows(blocks: Iterable[NDArray[np.float32]], *, window_frames: int, overlap_frames: int) -> Iterator[Window]:
    """Cut a stream of samples into overlapping windows that start on a frame.

    A recording of at most `window_frames` is one window. Otherwise window i begins at the frame
    i (window_frames - overlap_frames). The last is moved back to end with the recording, so that every window has
    `window_frames` (a batch of them needs no padding) and each overlaps the one before by at least `overlap_frames`.

    Args:
        blocks: (samples,) float32 at 16 kHz each, of any lengths.
        window_frames: frames of a window, at least 1.
        overlap_frames: frames that two neighbours share, less than `window_frames`.

    Yields:
        Windows in order; none for a recording shorter than 400 samples.

    Raises:
        ValueError: `window_frames` or `overlap_frames` is out of range.
    """
    if not 0 <= overlap_frames < window_frames:
        raise ValueError(
            f"windows of {window_frames} frames that share {overlap_frames}; wanted at least 1 frame, and fewer shared"
        )
    return _windows(blocks, window_frames, window_frames - overlap_frames)


def _windows(blocks: Iterable[NDArray[np.float32]], span: int, step: int) -> Iterator[Window]:
    parts: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]  # the samples from frame `held_from` on
    num_held = 0  # samples in `parts`
    held_from = start = 0  # frames: where `parts` begin, where the next window begins
    for block in blocks:
        parts.append(np.asarray(block, np.float32))
        num_held += parts[-1].size
        # Once frame `start + span` is known to exist, the window at `start` cannot be the last.
        while num_held >= (start - held_from + span) * HOP_SAMPLES + FIELD_SAMPLES:
            held = _join(parts)
            yield Window(_cut(held, start - held_from, span), start)
            # The last window may begin anywhere after this one, so its samples stay.
            parts = [held[(start - held_from) * HOP_SAMPLES :]]
            num_held, held_from, start = parts[0].size, start, start + step
    total = held_from + num_frames(num_held)
    if start == 0 and total > 0:
        yield Window(_join(parts).copy(), 0)
    elif total > 0:
        yield Window(_cut(_join(parts), total - span - held_from, span), total - span)


def _join(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _cut(held: NDArray[np.float32], frame: int, num: int) -> NDArray[np.float32]:
    """Return a copy of exactly the samples that the frames [frame, frame + num) see."""
    first = frame * HOP_SAMPLES
    return held[first : first + (num - 1) * HOP_SAMPLES + FIELD_SAMPLES].copy()
