"""What the writers of lines share: one line of text, the channel before it, and times that must be there. Floor 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlsr.results.parts import Phone, Segment, Word
    from xlsr.results.transcript import Transcript


def one_line(text: str) -> str:
    """Return a text without line breaks and tabs, which are spaces then."""
    return re.sub(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+", " ", text).strip()


def milliseconds(seconds: float) -> int:
    """Return a time in whole milliseconds."""
    return round(1000 * seconds)


def channel_prefix(segment: Segment) -> str:
    """Return what stands before a line of a recording whose channels were kept apart, else nothing."""
    return "" if segment.channel is None else f"[channel {segment.channel}]: "


def channels_of(transcript: Transcript) -> list[int | None]:
    """Return the channels that speak, in order; [None] where they were not kept apart."""
    return sorted({segment.channel for segment in transcript.segments}, key=lambda n: n or 0) or [None]


def timed_segments(transcript: Transcript, output_format: str) -> Sequence[Segment]:
    """Return the segments. Raises ValueError where the times were dropped."""
    if transcript.text.strip() and not transcript.segments:
        raise ValueError(f"{output_format} needs the times of segments, which this transcript lacks: keep timestamps")
    return transcript.segments


def timed_units(segment: Segment, output_format: str) -> Sequence[Word | Phone]:
    """Return the words of a segment, or its phones where the model writes phones. Raises ValueError without either."""
    units = segment.words or segment.phones
    if segment.text.strip() and not units:
        raise ValueError(f"{output_format} needs the times of words, which this transcript lacks: keep timestamps")
    return units


def file_field(transcript: Transcript) -> str:
    """Return the name of a recording as NIST's files want it: no folder, no suffix, no blanks."""
    stem = PurePath(transcript.audio.name.strip("<>")).stem if transcript.audio else ""
    return re.sub(r"\s+", "_", stem.lstrip(";").strip()) or "audio"
