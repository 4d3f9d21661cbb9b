"""Transcripts to the text of output files, one function a format. Floor 1.

Knows what the formats escape and what they cannot hold; no paths, no audio, no models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Transcript.write comes here
    from xlsr.results.parts import Segment
    from xlsr.results.transcript import Transcript


def format_transcript(transcript: Transcript, output_format: str) -> str:
    """Return the text of an output file.

    `txt` has a line for each segment, `json` and `jsonl` all of `to_dict()`, `tsv` whole milliseconds as whisper
    writes it. All but JSON are formats of lines: line breaks inside a text become spaces there.

    Args:
        transcript: what to write.
        output_format: one of `OUTPUT_FORMATS`.

    Raises:
        ValueError: another format, or one of times for a transcript whose times were dropped.
    """
    if output_format not in _WRITERS:
        raise ValueError(f"output format {output_format!r} is not known; wanted one of {', '.join(OUTPUT_FORMATS)}")
    return _WRITERS[output_format](transcript)


def _to_txt(transcript: Transcript) -> str:
    texts = [segment.text for segment in transcript.segments] or [transcript.text]
    return "".join(f"{line}\n" for line in map(_one_line, texts) if line)


def _to_json(transcript: Transcript, indent: int | None = 2) -> str:
    return json.dumps(transcript.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def _to_tsv(transcript: Transcript) -> str:
    lines = ["start\tend\ttext"]
    for segment in _timed_segments(transcript, "tsv"):
        lines.append(f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{_one_line(segment.text)}")
    return "\n".join(lines) + "\n"


def _to_srt(transcript: Transcript) -> str:
    # SRT has no escapes; players read "-->" as a time line, so whisper shortens it too
    return _subtitles(transcript, "srt", lambda text: text.replace("-->", "->"))


def _to_vtt(transcript: Transcript) -> str:
    def escaped(text: str) -> str:  # WebVTT, section 4.2: cue text escapes
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return _subtitles(transcript, "vtt", escaped)


def _subtitles(transcript: Transcript, output_format: str, escape: Callable[[str], str]) -> str:
    import pysubs2

    subtitles = pysubs2.SSAFile()
    for segment in _timed_segments(transcript, output_format):
        text = escape(_one_line(segment.text))
        # pysubs2 takes \N, \h and {\p1} for commands: an invisible word joiner keeps a backslash a backslash
        text = text.replace("\\", "\\\u2060")
        if text:
            start, end = round(1000 * segment.start), round(1000 * segment.end)
            subtitles.append(pysubs2.SSAEvent(start=start, end=end, text=text))
    return subtitles.to_string(output_format, keep_ssa_tags=True)


def _timed_segments(transcript: Transcript, output_format: str) -> Iterable[Segment]:
    if transcript.text.strip() and not transcript.segments:
        raise ValueError(f"{output_format} needs the times of segments, which this transcript lacks: keep timestamps")
    return transcript.segments


_WRITERS: dict[str, Callable[[Transcript], str]] = {
    "txt": _to_txt,
    "json": _to_json,
    "jsonl": partial(_to_json, indent=None),
    "srt": _to_srt,
    "vtt": _to_vtt,
    "tsv": _to_tsv,
}
OUTPUT_FORMATS = tuple(_WRITERS)


def _one_line(text: str) -> str:
    return re.sub(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+", " ", text).strip()
