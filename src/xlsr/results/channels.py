"""The transcripts of a recording's channels -> one, in which each segment says whose it is. Floor 1.

For calls, whose speakers have a channel each. Knows times; neither audio nor files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xlsr.recorded import join_channels
from xlsr.results.transcript import Transcript


def merge_channels(transcripts: Sequence[Transcript]) -> Transcript:
    """Return one transcript with the segments of all channels, in order of time.

    Args:
        transcripts: of each channel in order, with the times of segments; at least one. One alone stays as it is, and
            so do channels that are all the same.
    """
    if all(transcript.segments == transcripts[0].segments for transcript in transcripts):
        return transcripts[0]
    segments = [
        replace(segment, channel=channel)
        for channel, transcript in enumerate(transcripts, 1)
        for segment in transcript.segments
    ]
    ordered = sorted(segments, key=lambda segment: (segment.start, segment.channel))
    heard = [transcript.audio for transcript in transcripts if transcript.audio is not None]
    return replace(
        transcripts[0],
        text=" ".join(segment.text for segment in ordered),
        segments=tuple(replace(segment, id=number) for number, segment in enumerate(ordered)),
        duration=max(transcript.duration for transcript in transcripts),
        audio=join_channels(heard) if heard else None,
        alternatives=(),
        score=_joined_score(transcripts),
    )


def _joined_score(transcripts: Sequence[Transcript]) -> float | None:
    """The mean over the words of all, where each knows its own mean."""
    known = [(one.score, len(one.text.split())) for one in transcripts if one.score is not None]
    count = sum(words for _, words in known)
    return sum(score * words for score, words in known) / count if count else None
