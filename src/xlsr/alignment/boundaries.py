"""Frames of symbols -> where each sound begins and ends. Floor 3, for `text`, and for what is decoded.

CTC marks a sound by one or two frames somewhere inside it and leaves the rest blank, so that the frames of a symbol are
not its duration. Three rules make it one, each chosen on hand-corrected phones (docs/alignment.md has the figures):

* Neighbours meet in the middle of the blanks between them.
* A run of blanks more than twice as long as usual may be a pause: a sound goes on as far as the recording is loud.
* Where its loudness says nothing, a sound reaches half the usual run of blanks beyond its frames.

Knows no texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import FIELD_SAMPLES, HOP_SAMPLES, SAMPLE_RATE, Window, num_frames
from xlsr.decoding.hypothesis import FRAME_SECONDS, TokenSpan
from xlsr.results import Word

# A frame stands in the middle of the 25 ms that it sees, not of the 20 ms to the next.
FIELD_SECONDS = (FIELD_SAMPLES - HOP_SAMPLES) / 2 / SAMPLE_RATE
_LOUD_SHARE = 0.35  # of the decibels from the quiet of a pause up to the sound beside it
_LEAST_DB = 10.0  # between the two; below, loudness does not tell them apart
_CLOSURE_FRAMES = 5  # of quiet inside a sound: the k of "six", heard as one word
_NEAR_FRAMES = 25  # beside a pause, by which the sound is known
_FAR_FRAMES = 150  # into a pause; no sound goes on for longer
_SILENT_DB = -90.0
_DEFAULT_REACH = 2.0  # frames, where no two symbols belong together


def frame_levels(waveform: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return how loud each frame is: (samples,) at 16 kHz -> (frames,) decibels below full scale."""
    frames = num_frames(len(waveform))
    if not frames:
        return np.zeros(0, np.float32)
    fields = np.lib.stride_tricks.sliding_window_view(waveform, FIELD_SAMPLES)[::HOP_SAMPLES]
    levels: NDArray[np.float32] = 10 * np.log10(fields.var(axis=1) + 1e-9).astype(np.float32)
    return levels


class Levels:
    """How loud each frame of a recording is, noted while its windows pass; what was asked for is forgotten."""

    def __init__(self) -> None:
        self._first, self._levels = 0, np.zeros(0, np.float32)

    def watch(self, windows: Iterable[Window]) -> Iterator[Window]:
        """Pass windows on that come in order of time; what lies between them is silent."""
        for window in windows:
            levels = frame_levels(window.waveform)
            apart = window.first_frame - self._first - len(self._levels)
            silence = np.full(max(apart, 0), _SILENT_DB, np.float32)
            self._levels = np.concatenate([self._levels, silence, levels[max(-apart, 0) :]])
            yield window

    def between(self, first: int, end: int) -> NDArray[np.float32]:
        """Return those from frame `first` until before `end`; earlier ones cannot be asked for any more."""
        self._levels = self._levels[first - self._first :]
        self._first = first
        return self._levels[: end - first]


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


def sounding(
    words: Sequence[Word],
    groups: Sequence[Sequence[TokenSpan]],
    frames: int,
    *,
    levels: NDArray[np.floating] | None = None,
    offset_seconds: float = 0.0,
    are_phones: bool = False,
) -> list[Word]:
    """Return decoded words with the times of their sounds in place of those of their symbols.

    Args:
        words: in order.
        groups: the symbols of each.
        frames: of the stretch that they were decoded from.
        levels: (frames,) decibels of it; None where it is not at hand.
        offset_seconds: time of its first frame.
        are_phones: each word is a phone.
    """
    owners = [0 if are_phones else place for place, group in enumerate(groups) for _ in group]
    spans = [span for group in groups for span in group]
    edges = seconds_of(sound_edges(spans, owners, frames, levels=levels, can_part=are_phones), frames)
    times = iter((edges + offset_seconds).tolist())
    found = []
    for word, group in zip(words, groups, strict=True):
        own = [next(times) for _ in group]
        characters = tuple(
            replace(character, start=start, end=end)
            for character, (start, end) in zip(word.characters, own, strict=bool(word.characters))
        )
        found.append(replace(word, start=own[0][0], end=own[-1][1], characters=characters))
    return found


def seconds_of(edges: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Return the seconds of edges in frames: a frame's middle is that of the 25 ms that it heard."""
    times: NDArray[np.float64] = (edges * FRAME_SECONDS + FIELD_SECONDS).clip(0, frames * FRAME_SECONDS)
    return times


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
