"""Verbs that measure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from xlsr.cli.app import app, introduce, usage, watched
from xlsr.cli.decoding import FOLDERS_OWN, Decoding
from xlsr.cli.options import BatchSeconds

if TYPE_CHECKING:
    from xlsr.evaluation import Report

Key = Literal["language", "speaker", "split", "domain"]


@app.command
def evaluate(
    manifest: Path,
    /,
    *,
    model: str = "default",
    split: str | None = None,
    by: tuple[Key, ...] = ("language",),
    lowercase: Annotated[bool, Parameter(negative="--keep_case")] = True,
    drop_punctuation: bool = False,
    compare: str | None = None,
    report: Path | None = None,
    calibrate: bool = False,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: str | None = None,
    language: str | None = None,
    decoding: Decoding = FOLDERS_OWN,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    device: str = "auto",
    threads: int = 0,
    batch_seconds: BatchSeconds = 120.0,
) -> int:
    """Measure a model's error rates on a manifest, with 95 % intervals, and what its scores are worth.

    Args:
        manifest: a JSON-lines list of recordings with what is said in them.
        model: a model folder; default is the model that ships with the package.
        split: take the rows of this split only.
        by: break the rates down by this, besides by duration; may be given several times.
        lowercase: compare words in lower case.
        drop_punctuation: compare words without punctuation and symbols.
        compare: a second model for the same recordings: the difference, its interval and two paired tests.
        report: write an HTML page here.
        calibrate: fit the probabilities of words to what was right, say how good they are on speakers that were held
            out, and store them in the model's xlsr.json; the scores of this evaluation are still those of the model.
        output: a new folder for a calibrated copy of the model, in place of its own.
        json: write all figures and texts here; - prints them in place of the tables.
        language: for models of several vocabularies.
        decoding: how log-probabilities become words; of both models.
        engine: openvino runs an exported graph, torch the weights.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to the engine.
        batch_seconds: seconds of audio computed at once.
    """
    from xlsr.evaluation import evaluate as run
    from xlsr.recognizer import load_model

    if wrong := decoding.problem():
        return usage(wrong)
    if json is not None:
        Path(json).parent.mkdir(parents=True, exist_ok=True)
    names = [model] if compare is None else [model, compare]
    models = [
        load_model(one, engine=engine, device=device, language=language, threads=threads, decoder="greedy")
        for one in names
    ]
    models = [decoding.apply(one) for one in models]
    for recognizer in models:
        introduce(recognizer)
    found = run(
        models[0],
        manifest,
        split=split,
        by=by,
        lowercase=lowercase,
        drop_punctuation=drop_punctuation,
        compare=models[1] if compare is not None else None,
        report=report,
        calibrate=calibrate,
        output=output,
        batch_seconds=batch_seconds,
        progress=watched,
    )
    return _emit(found, json)


def _emit(found: Report, json: str | None) -> int:
    """Print the tables or the JSON, and on stderr how they were made and what failed; returns the exit status."""
    from xlsr.recordings import STDIN

    to_stdout = json in ("-", STDIN)  # a lone hyphen comes as the name of stdin
    sys.stdout.write(found.to_json() if to_stdout else found.to_text())
    if json is not None and not to_stdout:
        Path(json).write_text(found.to_json(), "utf-8")
    print(f"xlsr: scored with {found.normalization}; {found.summary.note}", file=sys.stderr)
    if found.calibration:
        print(f"xlsr: {found.calibration.note}", file=sys.stderr)
    failures = found.all_failures
    for failure in failures:
        print(f"xlsr: {failure.error}", file=sys.stderr)
    if failures:
        print(f"xlsr: {len(failures)} failed and count neither as right nor as wrong", file=sys.stderr)
    return 1 if failures else 0
