"""Transcripts to the text of output files, one function a format. Floor 1.

Plain text, JSON and TSV are here; subtitles.py, nist.py and textgrid.py know the rest. Each knows what its format
escapes and what it cannot hold; none knows paths, audio or models.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from xlsr.results.nist import to_ctm, to_stm
from xlsr.results.subtitles import to_subtitles
from xlsr.results.textgrid import to_textgrid
from xlsr.results.texts import channel_prefix, channels_of, milliseconds, one_line, timed_segments

if TYPE_CHECKING:  # Transcript.write comes here
    from xlsr.results.transcript import Transcript


def format_transcript(transcript: Transcript, output_format: str, *, highlight_words: bool = False) -> str:
    """Return the text of an output file.

    `txt` has a line for each segment, `json` and `jsonl` all of `to_dict()`, `tsv` whole milliseconds as whisper
    writes it. All but JSON are formats of lines: line breaks inside a text become spaces there.

    Args:
        transcript: what to write.
        output_format: one of `OUTPUT_FORMATS`.
        highlight_words: in `srt` and `vtt`, a cue for each word, in which it is underlined; nothing to the others.

    Raises:
        ValueError: another format, or one of times for a transcript whose times were dropped.
    """
    if output_format not in _WRITERS:
        raise ValueError(f"output format {output_format!r} is not known; wanted one of {', '.join(OUTPUT_FORMATS)}")
    writers = _WRITERS | _HIGHLIGHTING if highlight_words else _WRITERS
    return writers[output_format](transcript)


def output_suffix(output_format: str) -> str:
    """Return the suffix that files of a format have, as their own tools spell it."""
    return ".TextGrid" if output_format == "textgrid" else f".{output_format}"


def _to_txt(transcript: Transcript) -> str:
    texts = [(channel_prefix(one), one_line(one.text)) for one in transcript.segments]
    return "".join(f"{prefix}{line}\n" for prefix, line in texts or [("", one_line(transcript.text))] if line)


def _to_json(transcript: Transcript, indent: int | None = 2) -> str:
    return json.dumps(transcript.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def _to_tsv(transcript: Transcript) -> str:
    """Three columns, and a fourth where channels were transcribed apart."""
    split = channels_of(transcript) != [None]
    lines = ["start\tend\ttext" + ("\tchannel" if split else "")]
    for one in timed_segments(transcript, "tsv"):
        channel = f"\t{one.channel or ''}" if split else ""
        lines.append(f"{milliseconds(one.start)}\t{milliseconds(one.end)}\t{one_line(one.text)}{channel}")
    return "\n".join(lines) + "\n"


_WRITERS: dict[str, Callable[[Transcript], str]] = {
    "txt": _to_txt,
    "json": _to_json,
    "jsonl": partial(_to_json, indent=None),
    "srt": partial(to_subtitles, output_format="srt"),
    "vtt": partial(to_subtitles, output_format="vtt"),
    "tsv": _to_tsv,
    "ctm": to_ctm,
    "stm": to_stm,
    "textgrid": to_textgrid,
}
_HIGHLIGHTING: dict[str, Callable[[Transcript], str]] = {
    "srt": partial(to_subtitles, output_format="srt", highlight_words=True),
    "vtt": partial(to_subtitles, output_format="vtt", highlight_words=True),
}
OUTPUT_FORMATS = tuple(_WRITERS)
SEGMENT_FORMATS = ("srt", "vtt", "tsv", "stm")  # which need the times of segments
WORD_FORMATS = ("ctm", "textgrid")  # which need those of words too
