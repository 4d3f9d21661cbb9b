"""SRT and WebVTT, a cue for each segment, or for each word of it, which is underlined then. Floor 1.

A cue without a length, which players pass over, gets 1 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from xlsr.results.texts import channel_prefix, milliseconds, one_line, timed_segments, timed_units

if TYPE_CHECKING:
    from xlsr.results.parts import Phone, Segment, Word
    from xlsr.results.transcript import Transcript

Cue = tuple[int, int, str]  # start and end in milliseconds, and the text with its marks
Escape = Callable[[str], str]


def to_subtitles(transcript: Transcript, output_format: Literal["srt", "vtt"], *, highlight_words: bool = False) -> str:
    """Return subtitles.

    Args:
        transcript: what to write.
        output_format: of the two.
        highlight_words: a cue for each word, in which it is underlined, as whisper writes them; for each phone of a
            phone model.

    Raises:
        ValueError: the times of segments, or of words to highlight, were dropped.
    """
    import pysubs2

    escape = {"srt": _escape_srt, "vtt": _escape_vtt}[output_format]
    subtitles = pysubs2.SSAFile()
    for segment in timed_segments(transcript, output_format):
        for start, end, text in _word_cues(segment, escape) if highlight_words else _cue(segment, escape):
            # pysubs2 takes \N, \h and {\p1} for commands: an invisible word joiner keeps a backslash a backslash
            subtitles.append(pysubs2.SSAEvent(start=start, end=end, text=text.replace("\\", "\\\u2060")))
    return subtitles.to_string(output_format, keep_ssa_tags=True)


def _escape_srt(text: str) -> str:
    # SRT has no escapes; players read "-->" as a time line, so whisper shortens it too
    return text.replace("-->", "->")


def _escape_vtt(text: str) -> str:  # WebVTT, section 4.2: cue text escapes
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _span(part: Segment | Word | Phone) -> tuple[int, int]:
    """The start and end of a cue."""
    start = milliseconds(part.start)
    return start, max(milliseconds(part.end), start + 1)


def _cue(segment: Segment, escape: Escape) -> Iterator[Cue]:
    """The cue of a segment; none without a text."""
    if text := one_line(segment.text):
        yield *_span(segment), channel_prefix(segment) + escape(text)


def _word_cues(segment: Segment, escape: Escape) -> Iterator[Cue]:
    """The line once for each word, or phone where there are no words, and once for each pause between two."""
    units = timed_units(segment, "highlighting")
    text, places = _find(one_line(segment.text), units)
    prefix, now = channel_prefix(segment), milliseconds(segment.start)
    for unit, (first, last) in zip(units, places, strict=True):
        start, end = _span(unit)
        start = max(start, now)
        if start > now:
            yield now, start, prefix + escape(text)
        before, spoken, after = map(escape, (text[:first], text[first:last], text[last:]))
        if end > start and spoken:
            yield start, end, f"{prefix}{before}<u>{spoken}</u>{after}"
        now = max(start, end)
    if text and (end := milliseconds(segment.end)) > now:
        yield now, end, prefix + escape(text)


def _find(line: str, words: Sequence[Word | Phone]) -> tuple[str, list[tuple[int, int]]]:
    """Where each word stands in a line; where it spells them otherwise, in the words with blanks between them."""
    for text in (line, " ".join(one_line(word.text) for word in words)):
        places, at = [], 0
        for word in words:
            first = text.find(one_line(word.text), at)
            if first < 0:
                break
            at = first + len(one_line(word.text))
            places.append((first, at))
        else:
            return text, places
    raise AssertionError("words that are joined contain themselves")
