"""Blocks of samples to windows over what is spoken; silences between are passed over, and times stay right. Floor 1.

Knows when a chance of speech counts as speech and how much around it is kept. The chances come from a `Detector`
(`engines.silero`). Between reading and encoding, in place of `windowing.windows`, which does the cutting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xlsr.audio.windowing import HOP_SAMPLES, SAMPLE_RATE, Window, windows

Samples: TypeAlias = NDArray[np.float32]
Detector: TypeAlias = Callable[[Samples], Samples]
"""Chances of speech of consecutive chunks of one recording: (chunks, 512) float32 -> (chunks,). It remembers."""

CHUNK_SAMPLES = 512  # what one chance of speech is given for: 32 ms
# Speech begins at a chance of 0.5 and ends below 0.35, as in Silero's own use of its model.
_BEGIN, _END = 0.5, 0.35


def spoken_windows(
    blocks: Iterable[Samples],
    detector: Detector,
    *,
    window_frames: int,
    overlap_frames: int,
    pad_seconds: float = 0.5,
) -> Iterator[Window]:
    """Cut what is spoken into overlapping windows that start on a frame of the whole recording.

    Args:
        blocks: (samples,) float32 at 16 kHz each, of any lengths.
        detector: gives the chance of speech; made for this recording.
        window_frames: as for `windows`.
        overlap_frames: as for `windows`.
        pad_seconds: kept on either side of speech, so that a silence of less than twice this is kept whole.

    Yields:
        Windows in order; those of different passages share no frame. None where nothing is spoken.
    """
    pad = max(1, round(pad_seconds * SAMPLE_RATE / CHUNK_SAMPLES))
    kept = _kept(_judged(blocks, detector), pad)
    # The chunks of a passage lie as far apart in the recording as among the kept.
    for _, passage in groupby(enumerate(kept), key=lambda item: item[1][0] - item[0]):
        chunks = (chunk for _, chunk in passage)
        index, first = next(chunks)
        skip = -index * CHUNK_SAMPLES % HOP_SAMPLES  # to the next frame's first sample
        first_frame = (index * CHUNK_SAMPLES + skip) // HOP_SAMPLES
        samples = chain([first[skip:]], (samples for _, samples in chunks))
        for window in windows(samples, window_frames=window_frames, overlap_frames=overlap_frames):
            yield replace(window, first_frame=window.first_frame + first_frame)


def _judged(blocks: Iterable[Samples], detector: Detector) -> Iterator[tuple[Samples, bool]]:
    """Yield (512,) samples after each other, the last ones perhaps fewer, and whether they are speech."""
    rest = np.zeros(0, np.float32)
    speaking = False
    for block in chain(blocks, [None]):
        samples = rest if block is None else np.concatenate([rest, block])
        if block is None:  # filled up for the detector
            chunks = np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES)).reshape(-1, CHUNK_SAMPLES)
        else:
            chunks = samples[: len(samples) - len(samples) % CHUNK_SAMPLES].reshape(-1, CHUNK_SAMPLES)
        rest = samples[chunks.size :]
        for start, chance in enumerate(detector(chunks).tolist() if len(chunks) else ()):
            speaking = chance >= (_END if speaking else _BEGIN)
            yield samples[start * CHUNK_SAMPLES : (start + 1) * CHUNK_SAMPLES], speaking


def _kept(judged: Iterable[tuple[Samples, bool]], pad: int) -> Iterator[tuple[int, Samples]]:
    """Yield (index, samples) of every chunk with speech at most `pad` chunks away."""
    before: deque[tuple[int, Samples]] = deque(maxlen=pad)
    until = -1
    for index, (samples, is_speech) in enumerate(judged):
        if is_speech:
            yield from before
            before.clear()
            until = index + pad
        if index <= until:
            yield index, samples
        else:
            before.append((index, samples))
