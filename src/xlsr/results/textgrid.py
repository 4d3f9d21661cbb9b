"""TextGrids of Praat, in its long form: a tier of words and one of phones. Floor 1.

Source: Praat's manual, "TextGrid file formats". The intervals of a tier touch, do not overlap and have a width, from 0
to the end: pauses become empty intervals, a word that runs into the next ends there, one without a width gets 1 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xlsr.results.texts import channels_of, milliseconds, one_line, timed_segments, timed_units

if TYPE_CHECKING:
    from xlsr.results.parts import Phone, Word
    from xlsr.results.transcript import Transcript

Interval = tuple[int, int, str]  # start and end in milliseconds, and the text


def to_textgrid(transcript: Transcript) -> str:
    """Return the tiers `words` and `phones`, whichever there are; for separate channels, `words 1` and so on."""
    tiers = {name: _intervals(units) for name, units in _tiers(transcript)}
    end = max([milliseconds(transcript.duration), 1, *(tier[-1][1] for tier in tiers.values() if tier)])
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {_seconds(end)}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, tier) in enumerate(tiers.items(), 1):
        intervals = tier if tier and tier[-1][1] == end else [*tier, (tier[-1][1] if tier else 0, end, "")]
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {_seconds(end)}", f"        intervals: size = {len(intervals)}"]
        for place, (start, stop, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {_seconds(start)}"]
            lines += [f"            xmax = {_seconds(stop)}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


def _tiers(transcript: Transcript) -> Iterator[tuple[str, Sequence[Word | Phone]]]:
    """The name and the marks of every tier; words alone where there is nothing."""
    for channel in channels_of(transcript):
        segments = [one for one in timed_segments(transcript, "textgrid") if one.channel == channel]
        number = "" if channel is None else f" {channel}"
        words = [word for segment in segments for word in segment.words]
        phones = [phone for segment in segments for phone in segment.phones]
        for segment in segments:
            timed_units(segment, "textgrid")
        if words or not phones:
            yield f"words{number}", words
        if phones:
            yield f"phones{number}", phones


def _intervals(units: Sequence[Word | Phone]) -> list[Interval]:
    """Lay marks side by side, with empty intervals between them, up to the last mark."""
    found: list[Interval] = []
    ordered = sorted((milliseconds(max(unit.start, 0)), milliseconds(unit.end), one_line(unit.text)) for unit in units)
    for place, (start, end, text) in enumerate(ordered):
        now = found[-1][1] if found else 0
        start = max(start, now)
        if start > now:
            found.append((now, start, ""))
        if place + 1 < len(ordered):
            end = min(end, ordered[place + 1][0])
        found.append((start, max(end, start + 1), text))
    return found


def _seconds(number: int) -> str:
    return f"{number / 1000:.3f}"
