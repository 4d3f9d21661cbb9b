"""The command line: one verb, one public function. Results go to stdout, everything else to stderr.

Exit status 0: all well; 1: something failed, the other inputs are done; 2: the call itself was wrong. The heavy
modules are imported inside the verbs, so that `xlsr --help` answers at once. Floor 7.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeVar

from cyclopts import App, CycloptsError, Parameter

import xlsr
from xlsr.errors import XlsrError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlsr.config import Json
    from xlsr.recognizer import Recognizer
    from xlsr.results import Transcript

OutputFormat = Literal["txt", "json", "jsonl", "srt", "vtt", "tsv", "all"]
Timestamps = Literal["none", "segment", "word", "char", "phone"]

T = TypeVar("T")

app = App(
    name="xlsr",
    help="Speech to text with wav2vec 2.0: transcribe, fine-tune, export.",
    version=f"xlsr {xlsr.__version__}",
    default_parameter=Parameter(negative=()),
)


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a letter gets its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        # A lone hyphen is stdin, not an option without a name.
        tokens = ["<stdin>" if token == "-" else token for token in sys.argv[1:]]
        status = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"xlsr: {error}\nxlsr --help lists the verbs, xlsr VERB --help their options", file=sys.stderr)
        sys.exit(2)
    except XlsrError as error:
        print(f"xlsr: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        print(f"xlsr: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


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
        engine: openvino runs an exported graph, torch the weights.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to the engine.
        batch_seconds: seconds of audio computed at once.
    """
    from xlsr.recognizer import Failure, load_model
    from xlsr.recordings import check_stems, find_recordings, sources

    recordings = find_recordings(files, manifest)
    if not recordings:
        return _usage("nothing to transcribe: name files or folders, - for stdin, or --manifest")
    if output_format == "all" and output_dir is None:
        return _usage("--output_format all needs --output_dir")
    if timestamps == "none" and output_format in ("srt", "vtt", "tsv", "all"):
        return _usage(f"--output_format {output_format} needs times; leave --timestamps none out")
    if output_dir is not None:
        check_stems(recordings)
        output_dir.mkdir(parents=True, exist_ok=True)
    recognizer = load_model(model, engine=engine, device=device, language=language, threads=threads)
    _introduce(recognizer)
    results = recognizer.transcribe_many(sources(recordings), batch_seconds=batch_seconds, timestamps=timestamps)
    failed = 0
    for recording, result in zip(
        recordings, _shown(results, len(recordings), to_files=output_dir is not None), strict=True
    ):
        if isinstance(result, Failure):
            failed += 1
            print(f"xlsr: {result.error}", file=sys.stderr)
        else:
            _emit(result, output_format, output_dir and output_dir / recording.stem)
    if failed and len(recordings) > 1:
        print(f"xlsr: {failed} of {len(recordings)} recordings failed", file=sys.stderr)
    return 1 if failed else 0


@app.command
def finetune(
    recipe: Path,
    /,
    *overrides: Annotated[str, Parameter(name="--TABLE.KEY VALUE", allow_leading_hyphen=True)],
    out: Annotated[Path, Parameter(alias="-o")],
    resume: bool = False,
) -> int:
    """Fine-tune a CTC model by a TOML recipe; any of its keys can be overridden: --optim.lr 1e-4.

    Args:
        recipe: the TOML file.
        out: folder of the run; its best/ is the model.
        resume: go on with the run in out.
        overrides: recipe keys with their values.
    """
    from xlsr.errors import require

    require("torch", "train", "training")
    from xlsr.training.finetune import finetune as run

    result = run(recipe, out, overrides=_parse_overrides(overrides), resume=resume)
    print(result.folder)
    return 0


@app.command
def export(
    format: Literal["openvino", "onnx"],
    model: str,
    out: Path,
    /,
    *,
    language: str | None = None,
    tolerance: float = 1e-3,
) -> int:
    """Export a model's network as a graph, beside a copy of the model.

    Args:
        format: the graph's runtime.
        model: a model folder.
        out: the folder to write; the model's own folder adds the graph to it.
        language: for models of several languages: the one that the graph will speak.
        tolerance: largest accepted difference of a log-probability from torch's.
    """
    from xlsr.errors import require

    require("torch", "torch", "exporting")
    from xlsr.export.graph import export_model as run

    receipt = run(format, model, out, language=language, tolerance=tolerance)
    print(receipt.path)
    print(
        f"xlsr: {receipt.megabytes} MB; largest difference from torch {receipt.largest_difference:.2g} "
        f"(at most {receipt.tolerance:.2g} was accepted)",
        file=sys.stderr,
    )
    return 0


@app.command(name="import")
def import_model(
    source: str,
    out: Path,
    /,
    *,
    head: Literal["ctc"] | None = None,
    vocabulary: Annotated[Path | None, Parameter(alias="--vocab")] = None,
    language: str | None = None,
    config: Path | None = None,
) -> int:
    """Write a fairseq, torchaudio, TensorFlow, Flax or hub checkpoint as a Hugging Face folder.

    Args:
        source: a file, a folder, or a name on the hub.
        out: the folder to write.
        head: ctc puts a fresh head on an encoder, to be fine-tuned.
        vocabulary: a folder with vocab.json, for that head.
        language: for models of several languages.
        config: a config.json, for files that do not tell their architecture in full.
    """
    from xlsr.errors import require

    require("torch", "torch", "importing weights")
    from xlsr.checkpoint.load import import_model as run

    print(run(source, out, head=head, vocabulary=vocabulary, language=language, config=config), file=sys.stderr)
    print(out)
    return 0


@app.command
def info(model: str = "default", /) -> int:
    """Say what a model is: architecture, parameters, vocabulary, licence, problems.

    Args:
        model: a model folder.
    """
    from xlsr.checkpoint.summary import info as describe

    print(describe(model))
    return 0


def _parse_overrides(tokens: tuple[str, ...]) -> dict[str, Json]:
    """`--optim.lr 1e-4` or `--optim.lr=1e-4` -> {"optim.lr": 0.0001}; values are TOML, bare words are strings."""
    import tomllib

    from xlsr.errors import RecipeError

    words = [part for token in tokens for part in (token.split("=", 1) if token.startswith("--") else [token])]
    parsed: dict[str, Json] = {}
    for key, value in zip(words[::2], [*words[1::2], None], strict=False):
        name = key.removeprefix("--")
        if not key.startswith("--") or "." not in name or value is None:
            raise RecipeError(f"{key!r} is not understood; recipe keys are overridden as --table.key value")
        try:
            parsed[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[name] = value
    return parsed


def _introduce(recognizer: Recognizer) -> None:
    """Say on stderr which model speaks, and what it can do."""
    description = recognizer.description
    about = description.extras.get("summary", f"{recognizer.tokenizer.size} symbols")
    print(f"xlsr: model {description.name} ({recognizer.engine.name}): {about}", file=sys.stderr)


def _shown(results: Iterator[T], total: int, *, to_files: bool) -> Iterator[T]:
    """The same results under a progress bar, where someone watches and they do not scroll by themselves."""
    if not (to_files and total > 1 and sys.stderr.isatty()):
        return results
    from rich.console import Console
    from rich.progress import track

    return iter(track(results, "transcribing", total=total, console=Console(stderr=True)))


def _usage(message: str) -> int:
    print(f"xlsr: {message}", file=sys.stderr)
    return 2


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
