"""One or two models against a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from xlsr.checkpoint.copies import writable_folder
from xlsr.data.manifest import read_manifest
from xlsr.errors import ConfigError, ManifestError, XlsrError
from xlsr.evaluation.calibrating import Fitted, Observer, fit_and_store, judge_notes
from xlsr.evaluation.report import Report
from xlsr.evaluation.runs import Progress, Run, Task, run
from xlsr.metrics import Difference, Key, Scored, Tokens, compare_corpora, measure_confidence, score_corpus
from xlsr.recognizer import Failure, Recognizer, load_model
from xlsr.report import check_plots


def evaluate(
    model: Recognizer | str | Path,
    manifest: Path | str,
    *,
    split: str | None = None,
    by: Sequence[Key] = ("language",),
    lowercase: bool = True,
    drop_punctuation: bool = False,
    compare: Recognizer | str | Path | None = None,
    report: Path | str | None = None,
    calibrate: bool = False,
    output: Path | str | None = None,
    batch_seconds: float = 120.0,
    progress: Progress | None = None,
) -> Report:
    """Transcribe the utterances of a manifest and compare with what was said.

    Models of words are held against `text` (WER, CER), models of phones against `phones` (PER, PFER). What cannot be
    transcribed or has no reference is in `failures`; it counts neither as right nor as wrong.

    Args:
        model: a recognizer, or what `load_model` takes.
        manifest: a JSON-lines list of utterances.
        split: take the rows of this split only.
        by: break the rates down by these, besides by duration.
        lowercase: compare words in lower case.
        drop_punctuation: compare words without punctuation and symbols.
        compare: a second model for the same utterances.
        report: write an HTML page here.
        calibrate: fit the probabilities of words to what was right, say how good they are on speakers that were held
            out, and store them in the model's `xlsr.json`; the scores of this evaluation are still those of the model.
        output: a new folder for a calibrated copy of the model, in place of its own.
        batch_seconds: seconds of audio computed at once.
        progress: wraps the results of a model, given their number, such as with a progress bar.

    Raises:
        ManifestError: the manifest cannot be read, or no row has a reference.
        ConfigError: one model writes words and the other phones, `by` holds another key, or there is an output and
            nothing to calibrate.
        CheckpointError: a calibration cannot be stored beside the model, or not in `output`.
        MissingDependencyError: matplotlib is not installed and a page is wanted.
        XlsrError: nothing could be transcribed, or too little to calibrate.
    """
    if unknown := set(by) - set(get_args(Key)):
        raise ConfigError(f"by holds {', '.join(sorted(unknown))}; wanted of {', '.join(get_args(Key))}, in a list")
    if output is not None and not calibrate:
        raise ConfigError(f"output is {output}, a place for a calibrated copy, but calibrate is not asked for")
    if report is not None:  # what is missing is said before the work
        check_plots()
        Path(report).parent.mkdir(parents=True, exist_ok=True)
    utterances = tuple(read_manifest(manifest, split=split))
    models = [one if isinstance(one, Recognizer) else load_model(one) for one in (model, compare) if one is not None]
    tokens = _tokens_of(models)
    words = tokens == "words"  # the case of phones has a meaning, and so have their signs
    normalization = (lowercase and words, drop_punctuation and words)
    task = Task(str(manifest), split, utterances, tokens, tuple(by), *normalization, models[0].reader.joiner)
    if all(task.reference(utterance) is None for utterance in utterances):
        raise ManifestError(f"no row of {manifest} has {task.key}: there is nothing to compare {tokens} with")
    folder = writable_folder(models[0].description, output, "a calibration") if calibrate else None
    # Of two models the first is calibrated.
    observed = [calibrate and place == 0 for place in range(len(models))]
    runs = [_run(one, task, batch_seconds, progress, observe=o) for one, o in zip(models, observed, strict=True)]
    found, *others = runs
    result = _report(models[0], task, found)
    if others:
        result = replace(result, other=_report(models[1], task, others[0]), differences=_differences(task, runs))
    if folder is not None:
        result = replace(result, calibration=_calibrate(models[0], task, found, folder))
    if report is not None:
        result.to_page().write(report)
    return result


def _tokens_of(models: Sequence[Recognizer]) -> Tokens:
    """What all models write."""
    kinds = [(one.description.name, "phones" if one.reader.writes_phones else "words") for one in models]
    if len({kind for _, kind in kinds}) > 1:
        shown = " and ".join(f"{name} writes {kind}" for name, kind in kinds)
        raise ConfigError(f"{shown}: only models of one kind are compared")
    return "phones" if models[0].reader.writes_phones else "words"


def _run(recognizer: Recognizer, task: Task, batch_seconds: float, progress: Progress | None, *, observe: bool) -> Run:
    observer = Observer() if observe else None
    heard_by = recognizer if observer is None else recognizer.with_scorer(observer)
    return run(heard_by, task, batch_seconds=batch_seconds, progress=progress, observer=observer)


def _calibrate(recognizer: Recognizer, task: Task, found: Run, folder: Path) -> Fitted:
    judged = [
        judge_notes(item, found.notes[place], task.normalize, task.units)
        for place, item in enumerate(found.outcomes)
        if isinstance(item, Scored)
    ]
    return fit_and_store(recognizer, judged, folder, manifest=task.manifest)


def _report(recognizer: Recognizer, task: Task, found: Run) -> Report:
    scored = tuple(one for one in found.outcomes if isinstance(one, Scored))
    failures = tuple(one for one in found.outcomes if isinstance(one, Failure))
    if not scored:
        raise XlsrError(f"none of {len(failures)} utterances was transcribed; the first: {failures[0].error}")
    return Report(
        model=recognizer.description.name,
        manifest=task.manifest,
        split=task.split,
        normalization=task.normalization,
        summary=score_corpus(scored, tokens=task.tokens, by=task.by),
        utterances=scored,
        failures=failures,
        compute_seconds=found.seconds,
        confidence=measure_confidence(scored),
    )


def _differences(task: Task, runs: Sequence[Run]) -> Mapping[str, Difference]:
    """How the second run differs from the first, over the utterances that both transcribed."""
    pairs = zip(*(run.outcomes for run in runs), strict=True)
    both = [(a, b) for a, b in pairs if isinstance(a, Scored) and isinstance(b, Scored)]
    if not both:
        raise XlsrError("no utterance was transcribed by both models: they cannot be compared")
    return compare_corpora([a for a, _ in both], [b for _, b in both], tokens=task.tokens)
