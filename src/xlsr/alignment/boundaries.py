"""Frames of symbols -> where each sound begins and ends, in frames with fractions. Floor 3, for `text`.

CTC marks a sound by one or two frames somewhere inside it and leaves the rest blank, so that the frames of a symbol are
not its duration. Three rules make it one, each chosen on hand-corrected phones (docs/alignment.md has the figures):

* Neighbours meet in the middle of the blanks between them.
* A run of blanks more than twice as long as usual may be a pause: a sound goes on as far as the recording is loud.
* Where its loudness says nothing, a sound reaches half the usual run of blanks beyond its frames.

Knows neither texts nor seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import FIELD_SAMPLES, HOP_SAMPLES, Window, num_frames
from xlsr.decoding.hypothesis import TokenSpan

_LOUD_SHARE = 0.35  # of the decibels from the quiet of a pause up to the sound beside it
_LEAST_DB = 10.0  # between the two; below, loudness does not tell them apart
_CLOSURE_FRAMES = 5  # of quiet inside a sound: the k of "six", heard as one word
_NEAR_FRAMES = 25  # beside a pause, by which the sound is known
_FAR_FRAMES = 150  # into a pause; no sound goes on for longer
_DEFAULT_REACH = 2.0  # frames, where no two symbols belong together


def frame_levels(waveform: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return how loud each frame is: (samples,) at 16 kHz -> (frames,) decibels below full scale."""
    frames = num_frames(len(waveform))
    if not frames:
        return np.zeros(0, np.float32)
    fields = np.lib.stride_tricks.sliding_window_view(waveform, FIELD_SAMPLES)[::HOP_SAMPLES]
    levels: NDArray[np.float32] = 10 * np.log10(fields.var(axis=1) + 1e-9).astype(np.float32)
    return levels


def levelled(windows: Iterable[Window], levels: list[NDArray[np.float32]]) -> Iterator[Window]:
    """Pass overlapping windows on, and note how loud each frame of the recording is."""
    end = 0
    for window in windows:
        levels.append(frame_levels(window.waveform)[end - window.first_frame :])
        end += len(levels[-1])
        yield window


def sound_edges(
    spans: Sequence[TokenSpan],
    words: Sequence[int],
    frames: int,
    *,
    levels: NDArray[np.floating] | None = None,
    can_part: bool = False,
) -> NDArray[np.float64]:
    """Find where each sound begins and ends.

    Args:
        spans: of the symbols that were found, in order, none of them empty.
        words: the word of each; sounds of one word tell how long runs of blanks usually are.
        frames: of the recording.
        levels: (frames,) decibels; None where the recording is not at hand.
        can_part: there may be pauses inside a word, which is then only a line of phones.

    Returns:
        (sounds, 2) frames from 0 to `frames`; sounds do not overlap.
    """
    edges = np.empty((len(spans), 2))
    if not spans:
        return edges
    reach = _reach(spans, words)
    edges[0, 0] = spans[0].start - _overhang(levels, spans[0].start, 0, reach)
    edges[-1, 1] = spans[-1].end + _overhang(levels, spans[-1].end, frames, reach)
    for place, (left, right) in enumerate(pairwise(spans)):
        end, start = float(left.end), float(right.start)
        may_part = start - end > 4 * reach and (can_part or words[place] != words[place + 1])
        if may_part:
            end += _overhang(levels, left.end, right.start, reach)
            start -= _overhang(levels, right.start, left.end, reach)
        if not may_part or end > start:
            end = start = (end + start) / 2
        edges[place, 1], edges[place + 1, 0] = end, start
    return edges.clip(0, frames)


def _reach(spans: Sequence[TokenSpan], words: Sequence[int]) -> float:
    """Half the usual run of blanks between two symbols of a word."""
    gaps = [b.start - a.end for (a, b), (v, w) in zip(pairwise(spans), pairwise(words), strict=True) if v == w]
    return max(1.0, float(np.median(gaps)) / 2) if gaps else _DEFAULT_REACH


def _overhang(levels: NDArray[np.floating] | None, edge: int, limit: int, reach: float) -> float:
    """How many frames a sound goes on from its edge towards a limit: while it is loud, with short closures."""
    room = abs(limit - edge)
    if levels is None or not room:
        return min(reach, room)
    if limit > edge:
        beside, beyond = levels[max(0, edge - _NEAR_FRAMES) : edge], levels[edge:limit]
    else:
        beside, beyond = levels[edge : edge + _NEAR_FRAMES], levels[limit:edge][::-1]
    beyond = beyond[:_FAR_FRAMES]
    loud, quiet = np.percentile(beside, 90), np.percentile(beyond, 10)
    if loud - quiet < _LEAST_DB:
        return min(reach, room)
    places = np.flatnonzero(beyond > quiet + _LOUD_SHARE * (loud - quiet))
    is_held = np.diff(places, prepend=-1) <= _CLOSURE_FRAMES + 1
    held = places[np.logical_and.accumulate(is_held)]
    return float(held[-1] + 1) if held.size else 0.0
