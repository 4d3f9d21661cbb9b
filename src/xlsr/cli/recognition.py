"""Verbs that turn recordings into text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from xlsr.cli.app import app, introduce, usage, watched

if TYPE_CHECKING:
    from xlsr.recognizer import Failure
    from xlsr.results import Segment, Transcript

OutputFormat = Literal["txt", "json", "jsonl", "srt", "vtt", "tsv", "all"]
Timestamps = Literal["none", "segment", "word", "char", "phone"]


@app.command
def transcribe(
    files: Annotated[tuple[str, ...], Parameter(name="FILES", negative=())] = (),
    /,
    *,
    manifest: Path | None = None,
    model: str = "default",
    language: str | None = None,
    output_dir: Annotated[Path | None, Parameter(alias="-o")] = None,
    output_format: Annotated[OutputFormat, Parameter(alias="-f")] = "txt",
    timestamps: Timestamps = "char",
    vad: bool = False,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    device: str = "auto",
    threads: int = 0,
    batch_seconds: float = 120.0,
) -> int:
    """Turn recordings into text.

    Args:
        files: recordings, folders of recordings, or - for stdin.
        manifest: a JSON-lines list of recordings, in place of files.
        model: a model folder; default is the model that ships with the package.
        language: for models of several vocabularies.
        output_dir: write one file a recording here instead of printing.
        output_format: what is written; all writes every format (with output_dir).
        timestamps: how deep the times in json go.
        vad: pass over silence.
        engine: openvino runs an exported graph, torch the weights.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to the engine.
        batch_seconds: seconds of audio computed at once.
    """
    from xlsr.recognizer import load_model
    from xlsr.recordings import check_stems, find_recordings, sources

    recordings = find_recordings(files, manifest)
    if not recordings:
        return usage("nothing to transcribe: name files or folders, - for stdin, or --manifest")
    if output_format == "all" and output_dir is None:
        return usage("--output_format all needs --output_dir")
    if timestamps == "none" and output_format in ("srt", "vtt", "tsv", "all"):
        return usage(f"--output_format {output_format} needs times; leave --timestamps none out")
    if output_dir is not None:
        check_stems(recordings)
        output_dir.mkdir(parents=True, exist_ok=True)
    recognizer = load_model(model, engine=engine, device=device, language=language, threads=threads)
    introduce(recognizer)
    watch = _Watch(output_dir is None and output_format == "txt" and timestamps != "none", len(recordings) == 1)
    level: Timestamps = "segment" if watch.lines else timestamps  # what is not printed is not kept
    results = recognizer.transcribe_many(
        sources(recordings), batch_seconds=batch_seconds, timestamps=level, vad=vad, progress=watch
    )
    if output_dir is not None:  # printed texts scroll by themselves
        results = watched(results, len(recordings))
    failed = sum(
        not _show(result, watch, output_format, output_dir and output_dir / recording.stem)
        for recording, result in zip(recordings, results, strict=True)
    )
    return _status(failed, len(recordings))


def _status(failed: int, total: int) -> int:
    """Say how many recordings failed; returns the exit status."""
    if failed and total > 1:
        print(f"xlsr: {failed} of {total} recordings failed", file=sys.stderr)
    return 1 if failed else 0


def _show(result: Transcript | Failure, watch: _Watch, output_format: OutputFormat, stem: Path | None) -> bool:
    """Print or write one result, unless it is printed already; returns whether it is a transcript."""
    from xlsr.results import Transcript

    is_printed = watch.finish()
    if not isinstance(result, Transcript):
        print(f"xlsr: {result.error}", file=sys.stderr)
        return False
    if not is_printed:
        _emit(result, output_format, stem)
    return True


class _Watch:
    """Shows a long recording while it is transcribed: its lines of text, or else how far it has come."""

    def __init__(self, lines: bool, is_alone: bool) -> None:
        self.lines, self.shown = lines, False
        self.position = is_alone and not lines and sys.stderr.isatty()

    def __call__(self, name: str, segment: Segment) -> None:
        if self.lines:
            print(segment.text, flush=True)
        elif self.position:
            minutes, seconds = divmod(int(segment.end), 60)
            print(f"\rxlsr: {name}: {minutes}:{seconds:02d} transcribed", end="", file=sys.stderr, flush=True)
        self.shown = True

    def finish(self) -> bool:
        """End a recording; returns whether all its text is printed."""
        if self.shown and self.position:
            print(file=sys.stderr)
        is_printed, self.shown = self.shown and self.lines, False
        return is_printed


def _emit(transcript: Transcript, output_format: OutputFormat, stem: Path | None) -> None:
    """Print a transcript, or write it to files of this stem."""
    from xlsr.results import OUTPUT_FORMATS, format_transcript

    if stem is None:
        sys.stdout.write(format_transcript(transcript, output_format).rstrip("\n") + "\n")
        sys.stdout.flush()
        return
    stem.parent.mkdir(parents=True, exist_ok=True)
    for kind in OUTPUT_FORMATS if output_format == "all" else (output_format,):
        transcript.write(stem.with_name(f"{stem.name}.{kind}"))
