"""Segments -> the transcript of a recording, or of its channels; and what stands in its place until then, or for good.

Knows no engine and no decoder: `facade` asks both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from xlsr.audio import Window
from xlsr.audio.conditions import Heard
from xlsr.decoding.nbest import NBest
from xlsr.results import Segment, Timestamps, Transcript, merge_channels, with_timestamps

Progress = Callable[[str, Segment], object]
"""Is given the name of a recording and each of its segments."""


@dataclass(frozen=True)
class Failure:
    """An input of `transcribe_many` that could not be transcribed, and why."""

    audio: str
    error: str


@dataclass(frozen=True)
class Waiting:
    """A recording that fits one window, until its batch is full; no windows where nothing is spoken."""

    heard: Heard
    windows: Sequence[Window]


def gathered(
    segments: Iterable[Segment],
    heard: Heard,
    *,
    language: str | None,
    model: str,
    joiner: str,
    nbest: NBest | None = None,
) -> Transcript:
    """Return the transcript of a recording; what was heard, and the best readings, are known when all have come."""
    all_segments = tuple(segments)
    return Transcript(
        text=joiner.join(segment.text for segment in all_segments),
        language=language,
        segments=all_segments,
        duration=heard.duration,
        audio=heard.info,
        model=model,
        alternatives=nbest.alternatives if nbest is not None else (),
    )


def merged(channels: Sequence[Transcript], timestamps: Timestamps) -> Transcript:
    """Return one transcript of all channels, without times if none were asked for."""
    whole = merge_channels(channels)
    return with_timestamps(whole, "none") if timestamps == "none" else whole


def watched(name: str, segments: Iterable[Segment], progress: Progress) -> Iterator[Segment]:
    """Yield the same segments, each once it was shown."""
    for segment in segments:
        progress(name, segment)
        yield segment
