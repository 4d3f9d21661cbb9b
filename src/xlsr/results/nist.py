"""CTM and STM, the times of words and of segments as NIST's scorers read them. Floor 1.

Source: SCTK, doc/infmts.htm, "ctm" and "stm". Fields end at blanks and nothing can be escaped: blanks inside one become
"_", and the braces of a text, which would open alternatives, become parentheses. Lines are sorted by channel and time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xlsr.results.texts import channels_of, file_field, milliseconds, one_line, timed_segments, timed_units

if TYPE_CHECKING:
    from xlsr.results.transcript import Transcript

_BRACES = str.maketrans("{}", "()")


def to_ctm(transcript: Transcript) -> str:
    """Return a line `file channel start duration word [confidence]` for each word; for each phone of a phone model."""
    lines = []
    for channel in channels_of(transcript):
        segments = [one for one in timed_segments(transcript, "ctm") if one.channel == channel]
        units = [unit for segment in segments for unit in timed_units(segment, "ctm") if unit.text.strip()]
        for unit in sorted(units, key=lambda unit: unit.start):
            start = milliseconds(unit.start)
            length = max(milliseconds(unit.end) - start, 0)
            word = re.sub(r"\s+", "_", unit.text.strip())
            score = "" if unit.score is None or not 0 <= unit.score <= 1 else f" {unit.score:.3f}"
            lines.append(
                f"{file_field(transcript)} {channel or 1} {_seconds(start)} {_seconds(length)} {word}{score}\n"
            )
    return "".join(lines)


def to_stm(transcript: Transcript) -> str:
    """Return a line `file channel speaker start end <labels> text` for each segment.

    The speaker is the file with its channel; the labels are `o`, for all, and the language where it is known. Segments
    of one channel do not overlap: the later one begins where the earlier ends.
    """
    labels = ",".join(["o", *([transcript.language] if transcript.language else [])])
    name = file_field(transcript)
    lines = []
    for channel in channels_of(transcript):
        now = 0
        segments = [one for one in timed_segments(transcript, "stm") if one.channel == channel]
        for segment in sorted(segments, key=lambda segment: segment.start):
            text = " ".join(one_line(segment.text).translate(_BRACES).split())
            if not text:
                continue
            start = max(milliseconds(segment.start), now)
            now = max(milliseconds(segment.end), start + 1)
            where = f"{name} {channel or 1} {name}-{channel or 1}"
            lines.append(f"{where} {_seconds(start)} {_seconds(now)} <{labels}> {text}\n")
    return "".join(lines)


def _seconds(number: int) -> str:
    return f"{number / 1000:.3f}"
