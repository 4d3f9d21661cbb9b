"""Segments -> the transcript of a recording, or of its channels; and what stands in its place until then, or for good.

Knows no engine and no decoder: `facade` asks both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

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


class Scores:
    """The scores of words or phones on their way to a transcript, which keeps their mean where it does not keep them.

    Args:
        timestamps: how deep times go in the transcript; "none" counts as "segment".

    Attributes:
        timestamps: how deep they have to go on the way.
    """

    def __init__(self, timestamps: Timestamps) -> None:
        self._drops = timestamps in ("none", "segment")
        self.timestamps: Timestamps = "phone" if self._drops else timestamps
        self._total, self._count = 0.0, 0

    def of(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield the segments as deep as they were asked for."""
        for segment in segments:
            known = [unit.score for unit in segment.words or segment.phones if unit.score is not None]
            self._total, self._count = self._total + sum(known), self._count + len(known)
            yield replace(segment, words=(), phones=()) if self._drops else segment

    @property
    def mean(self) -> float | None:
        """Of all that came; None without any."""
        return self._total / self._count if self._count else None


def gathered(
    segments: Iterable[Segment],
    heard: Heard,
    *,
    joiner: str,
    nbest: NBest | None = None,
    scores: Scores | None = None,
) -> Transcript:
    """Return the transcript of a recording; what was heard, read and scored is known when all have come."""
    all_segments = tuple(segments)
    return Transcript(
        text=joiner.join(segment.text for segment in all_segments),
        segments=all_segments,
        duration=heard.duration,
        audio=heard.info,
        alternatives=nbest.alternatives if nbest is not None else (),
        score=scores.mean if scores is not None else None,
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
