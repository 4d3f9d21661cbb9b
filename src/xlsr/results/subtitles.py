"""SRT and WebVTT, a cue for each segment, or for each word of it, which is underlined then. Floor 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from xlsr.results.texts import channel_prefix, milliseconds, one_line, timed_segments

if TYPE_CHECKING:
    from xlsr.results.parts import Segment, Word
    from xlsr.results.transcript import Transcript

Cue = tuple[int, int, str]  # start and end in milliseconds, and the text with its marks
Escape = Callable[[str], str]


def to_subtitles(transcript: Transcript, output_format: Literal["srt", "vtt"], *, highlight_words: bool = False) -> str:
    """Return subtitles.

    Args:
        transcript: what to write.
        output_format: of the two.
        highlight_words: a cue for each word, in which it is underlined, as whisper writes them.

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


def _cue(segment: Segment, escape: Escape) -> Iterator[Cue]:
    """The cue of a segment; none without a text."""
    if text := one_line(segment.text):
        yield milliseconds(segment.start), milliseconds(segment.end), channel_prefix(segment) + escape(text)


def _word_cues(segment: Segment, escape: Escape) -> Iterator[Cue]:
    """The line once for each word, and once for each pause between two."""
    line = one_line(segment.text)
    if line and not segment.words:
        raise ValueError("highlighting needs the times of words, which this transcript lacks: keep timestamps")
    text, places = _find(line, segment.words)
    prefix, now = channel_prefix(segment), milliseconds(segment.start)
    for word, (first, last) in zip(segment.words, places, strict=True):
        start, end = max(milliseconds(word.start), now), milliseconds(word.end)
        if start > now:
            yield now, start, prefix + escape(text)
        before, spoken, after = map(escape, (text[:first], text[first:last], text[last:]))
        if end > start and spoken:
            yield start, end, f"{prefix}{before}<u>{spoken}</u>{after}"
        now = max(start, end)
    if line and (end := milliseconds(segment.end)) > now:
        yield now, end, prefix + escape(text)


def _find(line: str, words: tuple[Word, ...]) -> tuple[str, list[tuple[int, int]]]:
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
