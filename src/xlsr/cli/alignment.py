"""Verbs that set a known text beside a recording."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter

from xlsr.cli.app import app, introduce, usage
from xlsr.cli.options import SampleRate, make_folder
from xlsr.cli.recognition import Output, OutputFormat
from xlsr.errors import XlsrError

if TYPE_CHECKING:
    from xlsr.results import Transcript

OneChannel = Literal["mix", "left", "right"]


@app.command
def align(
    file: Annotated[str, Parameter(name="FILE")],
    /,
    *,
    text: str | None = None,
    text_file: Path | None = None,
    number_language: str | None = None,
    model: str = "default",
    language: str | None = None,
    output_dir: Annotated[Path | None, Parameter(alias="-o")] = None,
    output_format: Annotated[OutputFormat, Parameter(alias="-f")] = "json",
    channel: OneChannel = "mix",
    sample_rate: SampleRate = "auto",
    engine: Literal["auto", "openvino", "torch"] = "auto",
    device: str = "auto",
    threads: int = 0,
) -> int:
    """Find when each word of a known text is said.

    Args:
        file: a recording, or - for stdin.
        text: what is said, as it is written; phones for a phone model. A lone * stands for words that are said and
            not written.
        text_file: a file with the text; of several lines each becomes a segment.
        number_language: ISO 639-3, in which numbers are said (with the extra numbers); default is the model's.
        model: a model folder; default is the model that ships with the package.
        language: for models of several vocabularies.
        output_dir: write a file here instead of printing.
        output_format: what is written; all writes every format (with output_dir).
        channel: mix hears the mean of all, left or right one of two.
        sample_rate: hertz, in place of what the header says; header believes it; auto does unless speech plays too
            fast or too slowly.
        engine: openvino runs an exported graph, torch the weights.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to the engine.
    """
    from xlsr.recognizer import load_model
    from xlsr.recordings import find_recordings, sources

    if (text is None) == (text_file is None):
        return usage("the text is wanted once: --text, or --text_file")
    if output_format == "all" and output_dir is None:
        return usage("--output_format all needs --output_dir")
    recordings = find_recordings([file], None)
    if len(recordings) > 1:
        return usage(f"one recording is wanted; {file} holds {len(recordings)}")
    written = text if text is not None else _read(cast(Path, text_file))
    if output_dir is not None:
        make_folder(output_dir)
    recognizer = load_model(model, engine=engine, device=device, language=language, threads=threads, decoder="greedy")
    introduce(recognizer)
    transcript = recognizer.align(
        next(sources(recordings)), written, number_language=number_language, channel=channel, sample_rate=sample_rate
    )
    Output(output_format, output_dir).emit(transcript, recordings[0])
    _warn(transcript)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        found = f"{path} cannot be read ({error.strerror})"
        raise XlsrError(f"{found}; a file with the text is wanted: check the path, or take --text") from error
    except UnicodeDecodeError as error:
        raise XlsrError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error


def _warn(transcript: Transcript) -> None:
    """Say on stderr which words the recording does not seem to hold."""
    from xlsr.alignment import doubtful

    found = doubtful(transcript)
    if found:
        total = len(transcript.words) + len(transcript.phones)
        some = ", ".join(f"{part.text} ({part.start:.2f} s)" for part in found[:5]) + ", ..." * (len(found) > 5)
        print(f"xlsr: {len(found)} of {total} do not seem to be said where they were put: {some}", file=sys.stderr)
