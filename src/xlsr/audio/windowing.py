"""Blocks of samples to overlapping windows whose kept frames tile the recording exactly once.

Knows only the stride arithmetic of the encoder: frame f sees the samples [320 f, 320 f + 400). Knows nothing of files.
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
    """A stretch of a recording to encode, and which of its frames count.

    Attributes:
        waveform: (samples,) float32 at 16 kHz.
        first_frame: index, in the whole recording, of this window's frame 0; its sample 0 is `320 * first_frame`.
        skip: frames at its start that are only left context.
        keep: frames after those that are kept; the rest is right context.
    """

    waveform: NDArray[np.float32]
    first_frame: int
    skip: int
    keep: int


def num_frames(samples: int) -> int:
    """Return how many frames the encoder makes of so many samples; 0 below 400."""
    return max(0, (samples - FIELD_SAMPLES) // HOP_SAMPLES + 1)


def windows(blocks: Iterable[NDArray[np.float32]], *, window_frames: int, context_frames: int) -> Iterator[Window]:
    """Cut a stream of samples into overlapping windows that start on a frame.

    With span = window_frames + 2 context_frames, a recording of at most `span` frames is one window, kept whole.
    Otherwise window i covers the frames [i window_frames, i window_frames + span) and keeps all but its contexts;
    the first keeps its left edge too. The last is moved back to end with the recording, so that every window has
    `span` frames (a batch of them needs no padding) and the last has at least the full left context.

    Args:
        blocks: (samples,) float32 at 16 kHz each, of any lengths.
        window_frames: frames kept per window, at least 1.
        context_frames: frames of context on either side, at least 0.

    Yields:
        Windows in order; none for a recording shorter than 400 samples.

    Raises:
        ValueError: `window_frames` or `context_frames` is out of range.
    """
    if window_frames < 1 or context_frames < 0:
        wanted = "window_frames must be at least 1 and context_frames at least 0"
        raise ValueError(f"{wanted}; they are {window_frames} and {context_frames}")
    return _windows(blocks, window_frames, context_frames)


def _windows(blocks: Iterable[NDArray[np.float32]], window_frames: int, context_frames: int) -> Iterator[Window]:
    span = window_frames + 2 * context_frames
    parts: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]  # the samples from frame `held_from` on
    num_held = 0  # samples in `parts`
    held_from = start = kept = 0  # frames: where `parts` begin, where the next window begins, how many are kept
    for block in blocks:
        parts.append(np.asarray(block, np.float32))
        num_held += parts[-1].size
        # Once frame `start + span` is known to exist, the window at `start` cannot be the last.
        while num_held >= (start - held_from + span) * HOP_SAMPLES + FIELD_SAMPLES:
            held = _join(parts)
            keep = start + window_frames + context_frames - kept
            yield Window(_cut(held, start - held_from, span), start, kept - start, keep)
            kept += keep
            # The last window may begin anywhere after this one, so its samples stay.
            parts = [held[(start - held_from) * HOP_SAMPLES :]]
            num_held, held_from, start = parts[0].size, start, start + window_frames
    total = held_from + num_frames(num_held)
    if kept == 0 and total > 0:
        yield Window(_join(parts).copy(), 0, 0, total)
    elif total > 0:
        first = total - span
        yield Window(_cut(_join(parts), first - held_from, span), first, kept - first, total - kept)


def _join(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _cut(held: NDArray[np.float32], frame: int, num: int) -> NDArray[np.float32]:
    """Return a copy of exactly the samples that the frames [frame, frame + num) see."""
    first = frame * HOP_SAMPLES
    return held[first : first + (num - 1) * HOP_SAMPLES + FIELD_SAMPLES].copy()
