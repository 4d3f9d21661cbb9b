"""Verbs that turn recordings into text."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from xlsr.cli.app import app, introduce, usage, watched
from xlsr.cli.decoding import FOLDERS_OWN, Decoding
from xlsr.cli.options import BatchSeconds, SampleRate, make_folder

if TYPE_CHECKING:
    from xlsr.recognizer import Failure
    from xlsr.recordings import Recording
    from xlsr.results import Segment, Transcript

OutputFormat = Literal["txt", "json", "jsonl", "srt", "vtt", "tsv", "ctm", "stm", "textgrid", "all"]
Timestamps = Literal["none", "segment", "word", "char", "phone"]
Channel = Literal["mix", "left", "right", "split"]


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
    highlight_words: bool = False,
    vad: bool = False,
    channel: Channel = "mix",
    sample_rate: SampleRate = "auto",
    decoding: Decoding = FOLDERS_OWN,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    device: str = "auto",
    threads: int = 0,
    batch_seconds: BatchSeconds = 120.0,
) -> int:
    """Turn recordings into text.

    Args:
        files: recordings, folders of recordings, or - for stdin.
        manifest: a JSON-lines list of recordings, in place of files.
        model: a model folder; default is the model that ships with the package.
        language: for models of several vocabularies.
        output_dir: write one file a recording here instead of printing.
        output_format: what is written; all writes every format (with output_dir).
        timestamps: how deep the times in json go; none makes one line of a text, but for --channel split.
        highlight_words: in srt and vtt, underline each word as it is spoken.
        vad: pass over silence.
        channel: mix hears the mean of all, left or right one of two, split each by itself, in lines that name it.
        sample_rate: hertz, in place of what the header says; header believes it; auto does unless speech plays too
            fast or too slowly.
        decoding: how log-probabilities become words.
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
    if wrong := (
        decoding.problem()
        or _missing_times(output_format, timestamps, highlight_words=highlight_words)
        or _missing_alternatives(output_format, channel, decoding)
        or _not_for_rows(manifest, channel, sample_rate)
    ):
        return usage(wrong)
    if output_dir is not None:
        check_stems(recordings)
        make_folder(output_dir)
    loaded = load_model(model, engine=engine, device=device, language=language, threads=threads, decoder="greedy")
    recognizer = decoding.apply(loaded)
    introduce(recognizer)
    if output_format == "txt":  # has lines; what is not written is not kept
        timestamps = "none" if timestamps == "none" and channel != "split" else "segment"
    prints_lines = output_dir is None and output_format == "txt" and timestamps != "none" and channel != "split"
    watch = _Watch(lines=prints_lines, alone=len(recordings) == 1)
    results = recognizer.transcribe_many(
        sources(recordings),
        batch_seconds=batch_seconds,
        timestamps=timestamps,
        vad=vad,
        channel=channel,
        sample_rate=sample_rate,
        progress=watch,
    )
    return _show(Output(output_format, output_dir, highlight_words), watch, recordings, results)


def _missing_times(output_format: OutputFormat, timestamps: Timestamps, *, highlight_words: bool) -> str:
    """Why a format cannot be written with so few times; empty where it can."""
    from xlsr.results import SEGMENT_FORMATS, WORD_FORMATS

    if timestamps == "none" and output_format in (*SEGMENT_FORMATS, *WORD_FORMATS, "all"):
        return f"--output_format {output_format} needs times; leave --timestamps none out"
    if timestamps == "segment" and output_format in (*WORD_FORMATS, "all"):
        return f"--output_format {output_format} needs the times of words; leave --timestamps segment out"
    if highlight_words and (output_format not in ("srt", "vtt", "all") or timestamps == "segment"):
        return "--highlight_words is for srt and vtt with the times of words: --output_format vtt --timestamps word"
    return ""


def _missing_alternatives(output_format: OutputFormat, channel: Channel, decoding: Decoding) -> str:
    """Why several readings would be looked for and not be shown; empty where they are."""
    if decoding.nbest is None or decoding.nbest <= 1:
        return ""
    if output_format not in ("json", "jsonl", "all"):
        return f"--output_format {output_format} has the best reading only; --nbest wants json, jsonl or all"
    if channel == "split":
        return "--nbest is for a recording as a whole, and not for --channel split; take one side after the other"
    return ""


def _not_for_rows(manifest: Path | None, channel: Channel, sample_rate: SampleRate) -> str:
    """Why the rows of a manifest cannot be read so; empty where there is no manifest, or they can."""
    if manifest is not None and isinstance(sample_rate, int):
        return "--sample_rate is for files; the recordings of a manifest are read as their headers say"
    if manifest is not None and channel != "mix":
        return "--channel is for files; the rows of a manifest say theirs (channel, from 0), and are mixed without"
    return ""


def _show(
    output: Output, watch: _Watch, recordings: Sequence[Recording], results: Iterator[Transcript | Failure]
) -> int:
    """Print or write every result, unless it is printed already, and return the exit status."""
    from xlsr.results import Transcript

    failed = 0
    if output.folder is not None:  # printed texts scroll by themselves
        results = watched(results, len(recordings))
    for recording, result in zip(recordings, results, strict=True):
        is_printed = watch.finish()
        if isinstance(result, Transcript):
            output.emit(result, recording, is_printed=is_printed)
        else:
            failed += 1
            print(f"xlsr: {result.error}", file=sys.stderr)
    if failed and len(recordings) > 1:
        print(f"xlsr: {failed} of {len(recordings)} recordings failed", file=sys.stderr)
    return 1 if failed else 0


@dataclass(frozen=True)
class Output:
    """Where transcripts go, and in which format; printed without a folder."""

    output_format: OutputFormat
    folder: Path | None
    highlight_words: bool = False

    def emit(self, transcript: Transcript, recording: Recording, *, is_printed: bool = False) -> None:
        """Print or write one transcript, and say on stderr what is odd about its recording."""
        if transcript.audio is not None:
            for note in transcript.audio.notes:
                print(f"xlsr: {transcript.audio.name}: {note}", file=sys.stderr)
        if self.folder is not None:
            self._write(transcript, self.folder / recording.stem)
        elif not is_printed:
            self._print(transcript)

    def _print(self, transcript: Transcript) -> None:
        from xlsr.results import format_transcript

        text = format_transcript(transcript, self.output_format, highlight_words=self.highlight_words).rstrip("\n")
        if text or self.output_format == "txt":  # each recording has a line of text, if an empty one
            sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def _write(self, transcript: Transcript, stem: Path) -> None:
        from xlsr.results import OUTPUT_FORMATS, output_suffix

        stem.parent.mkdir(parents=True, exist_ok=True)
        for kind in OUTPUT_FORMATS if self.output_format == "all" else (self.output_format,):
            transcript.write(stem.with_name(stem.name + output_suffix(kind)), highlight_words=self.highlight_words)


class _Watch:
    """Shows a long recording while it is transcribed: its lines of text, or else how far it has come."""

    def __init__(self, *, lines: bool, alone: bool) -> None:
        self.lines, self.shown = lines, False
        self.position = alone and not lines and sys.stderr.isatty()

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
