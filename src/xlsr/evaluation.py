"""What a model makes of a manifest: error rates with intervals, as text, JSON and an HTML page. Floor 5.

Transcribes, normalises both texts by one rule, scores. `metrics` counts and `report` draws; this module
knows which figures belong together. Does not train, and reads no file but through the manifest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.errors import AudioError, ConfigError, ManifestError, XlsrError
from xlsr.metrics import Difference, ErrorSummary, Key, Scored, Tokens, compare_corpora, count_edits, score_corpus
from xlsr.normalize import describe_scoring, normalize_text
from xlsr.recognizer import Failure, Recognizer, load_model
from xlsr.report import Page, add_breakdowns, add_errors, check_plots
from xlsr.results import Transcript
from xlsr.tables import Table

Results = Iterator[Transcript | Failure]


@dataclass(frozen=True)
class Report:
    """What a model made of a manifest.

    Attributes:
        model: its name.
        manifest: the file.
        split: the rows that were taken; None: all.
        normalization: what was done to references and hypotheses.
        summary: error rates, breakdowns, worst utterances, confusions.
        utterances: all that were transcribed, in the manifest's order.
        failures: those that were not, and why.
        compute_seconds: from the first recording read to the last text.
        other: the same of the model that it is compared with.
        differences: other minus this model, by name of the rate, over what both transcribed.
    """

    model: str
    manifest: str
    split: str | None
    normalization: str
    summary: ErrorSummary
    utterances: tuple[Scored, ...]
    failures: tuple[Failure, ...]
    compute_seconds: float
    other: Report | None = None
    differences: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing by second of audio, reading included."""
        return self.compute_seconds / max(self.summary.total.seconds, 1e-9)

    @property
    def all_failures(self) -> tuple[Failure, ...]:
        """The failures of both models; what failed alike is listed once."""
        return tuple(dict.fromkeys(self.failures + (self.other.failures if self.other else ())))

    def table(self) -> Table:
        """Return a row of figures for each model."""
        table = self.summary.table()
        row = (self.model, *table.rows[0][1:], f"{self.real_time_factor:.3f}")
        others = self.other.table().rows if self.other else ()
        return Table(("model", *table.columns[1:], "real-time factor"), (row, *others))

    def difference_table(self) -> Table:
        """Return a row for each rate in which the models are compared; differences are in points."""
        columns = ("rate", "first", "second", "difference", "95 % interval", "p bootstrap", "p matched pairs")
        return Table(columns, tuple(_difference_row(name, found) for name, found in self.differences.items()))

    def to_text(self) -> str:
        """Return the tables for a terminal."""
        tables = [self.table(), *([self.difference_table()] if self.differences else [])]
        tables += [self.summary.table(key) for key in self.summary.parts]
        return "\n".join(table.to_text() for table in tables)

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON values, with every utterance's texts."""
        return {
            "model": self.model,
            "manifest": self.manifest,
            "split": self.split,
            "normalization": self.normalization,
            "compute_seconds": round(self.compute_seconds, 3),
            "real_time_factor": round(self.real_time_factor, 5),
            "summary": self.summary.to_dict(),
            "utterances": [asdict(item) | {"errors": asdict(count_edits(item.edits))} for item in self.utterances],
            "failures": [asdict(failure) for failure in self.failures],
            "other": self.other.to_dict() if self.other else None,
            "differences": {name: asdict(found) for name, found in self.differences.items()},
        }

    def to_json(self) -> str:
        """Return `to_dict()` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def to_page(self) -> Page:
        """Return the HTML page. Raises MissingDependencyError where matplotlib is not installed."""
        total = self.summary.total
        part = f", split {self.split}" if self.split else ""
        source = "/".join(Path(self.manifest).parts[-2:])
        page = Page(f"{self.model} on {source}{part}", f"Scored with {self.normalization}.")
        page.figures(
            {rate.name: (f"{rate.value:.1%}", str(rate).partition(" ")[2]) for rate in total.rates}
            | {
                "utterances": f"{total.utterances}",
                "hours": f"{total.seconds / 3600:.2f}",
                "real-time factor": f"{self.real_time_factor:.3f}",
            }
        ).note(f"{self.summary.note}.")
        if self.other:
            page.heading(f"Compared with {self.other.model}").table(self.table()).table(self.difference_table())
            page.note(f"First is {self.model}, second {self.other.model}; a negative difference is the second's gain.")
        add_breakdowns(page, self.summary)
        add_errors(page, self.summary)
        if self.all_failures:
            failed = tuple((failure.audio, failure.error) for failure in self.all_failures)
            page.heading("Failed").table(Table(("recording", "why"), failed))
        return page


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
    batch_seconds: float = 120.0,
    progress: Callable[[Results, int], Results] | None = None,
) -> Report:
    """Transcribe the utterances of a manifest and compare with what was said.

    Models of words are held against `text` (WER, CER), models of phones against `phones` (PER). What cannot be
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
        batch_seconds: seconds of audio computed at once.
        progress: wraps the results of a model, given their number, such as with a progress bar.

    Raises:
        ManifestError: the manifest cannot be read, or no row has a reference.
        ConfigError: one model writes words and the other phones, or `by` holds another key.
        MissingDependencyError: matplotlib is not installed and a page is wanted.
        XlsrError: nothing could be transcribed.
    """
    if unknown := set(by) - set(get_args(Key)):
        raise ConfigError(f"by holds {', '.join(sorted(unknown))}; wanted of {', '.join(get_args(Key))}, in a list")
    if report is not None:  # what is missing is said before the work
        check_plots()
        Path(report).parent.mkdir(parents=True, exist_ok=True)
    utterances = tuple(read_manifest(manifest, split=split))
    models = [one if isinstance(one, Recognizer) else load_model(one) for one in (model, compare) if one is not None]
    tokens = _tokens_of(models)
    words = tokens == "words"  # the case of phones has a meaning, and so have their signs
    task = _Task(str(manifest), split, utterances, tokens, tuple(by), lowercase and words, drop_punctuation and words)
    if all(task.reference(utterance) is None for utterance in utterances):
        raise ManifestError(f"no row of {manifest} has {task.key}: there is nothing to compare {tokens} with")
    runs = [_run(recognizer, task, batch_seconds, progress) for recognizer in models]
    found, *others = [_report(recognizer, task, run) for recognizer, run in zip(models, runs, strict=True)]
    if others:
        found = replace(found, other=others[0], differences=_differences(task, runs))
    if report is not None:
        found.to_page().write(report)
    return found


@dataclass(frozen=True)
class _Task:
    """The utterances to transcribe, and the rule by which texts are compared."""

    manifest: str
    split: str | None
    utterances: tuple[Utterance, ...]
    tokens: Tokens
    by: tuple[Key, ...]
    lowercase: bool
    drop_punctuation: bool

    @property
    def key(self) -> str:
        """The manifest's key that holds what was said."""
        return "text" if self.tokens == "words" else "phones"

    @property
    def normalization(self) -> str:
        """What `normalize` does."""
        return describe_scoring(lowercase=self.lowercase, drop_punctuation=self.drop_punctuation)

    def normalize(self, text: str) -> str:
        """The form in which references and hypotheses are compared."""
        return normalize_text(text, lowercase=self.lowercase, drop_punctuation=self.drop_punctuation)

    def reference(self, utterance: Utterance) -> str | None:
        """What was said, or None where the manifest does not tell."""
        text = utterance.text if self.key == "text" else utterance.phones
        return None if text is None else self.normalize(text)


@dataclass(frozen=True)
class _Run:
    """What one model made of each utterance of a task, in their order, and how long it took."""

    outcomes: tuple[Scored | Failure, ...]
    seconds: float


def _tokens_of(models: Sequence[Recognizer]) -> Tokens:
    """What all models write."""
    kinds = [(one.description.name, "phones" if one.tokenizer.is_phones else "words") for one in models]
    if len({kind for _, kind in kinds}) > 1:
        shown = " and ".join(f"{name} writes {kind}" for name, kind in kinds)
        raise ConfigError(f"{shown}: only models of one kind are compared")
    return "phones" if models[0].tokenizer.is_phones else "words"


def _run(
    recognizer: Recognizer, task: _Task, batch_seconds: float, progress: Callable[[Results, int], Results] | None
) -> _Run:
    """Transcribe all utterances; those that fail do not stop the others."""
    outcomes: dict[int, Scored | Failure] = {}
    given: list[tuple[int, float]] = []

    def waveforms() -> Iterator[NDArray[np.float32]]:
        for place, utterance in enumerate(task.utterances):
            if task.reference(utterance) is None:
                outcomes[place] = Failure(utterance.name, f"{utterance.name} has no {task.key} to compare with")
                continue
            try:
                waveform = load_utterance(utterance)
            except AudioError as error:
                outcomes[place] = Failure(utterance.name, str(error))
                continue
            given.append((place, len(waveform) / SAMPLE_RATE))
            yield waveform

    started = time.perf_counter()
    results: Results = recognizer.transcribe_many(waveforms(), batch_seconds=batch_seconds, timestamps="word")
    for number, result in enumerate(progress(results, len(task.utterances)) if progress else results):
        place, seconds = given[number]  # results come in the order of the waveforms
        outcomes[place] = _outcome(task, task.utterances[place], seconds, result)
    elapsed = time.perf_counter() - started
    return _Run(tuple(outcomes[place] for place in range(len(task.utterances))), elapsed)


def _outcome(task: _Task, utterance: Utterance, seconds: float, result: Transcript | Failure) -> Scored | Failure:
    if isinstance(result, Failure):
        return Failure(utterance.name, result.error.replace(result.audio, utterance.name))
    scores = [unit.score for unit in result.words or result.phones if unit.score is not None]
    reference = task.reference(utterance)
    assert reference is not None
    return Scored(
        name=utterance.name,
        reference=reference,
        hypothesis=task.normalize(result.text),
        duration=round(seconds, 3),
        speaker=utterance.speaker,
        language=utterance.language,
        split=utterance.split,
        score=round(sum(scores) / len(scores), 4) if scores else None,
    )


def _report(recognizer: Recognizer, task: _Task, run: _Run) -> Report:
    scored = tuple(one for one in run.outcomes if isinstance(one, Scored))
    failures = tuple(one for one in run.outcomes if isinstance(one, Failure))
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
        compute_seconds=run.seconds,
    )


def _differences(task: _Task, runs: Sequence[_Run]) -> Mapping[str, Difference]:
    """How the second run differs from the first, over the utterances that both transcribed."""
    pairs = zip(*(run.outcomes for run in runs), strict=True)
    both = [(a, b) for a, b in pairs if isinstance(a, Scored) and isinstance(b, Scored)]
    if not both:
        raise XlsrError("no utterance was transcribed by both models: they cannot be compared")
    return compare_corpora([a for a, _ in both], [b for _, b in both], tokens=task.tokens)


def _difference_row(name: str, found: Difference) -> tuple[str, ...]:
    low, high = 100 * found.interval.low, 100 * found.interval.high
    values = (
        f"{found.first:.1%}",
        f"{found.second:.1%}",
        f"{100 * found.difference:+.1f}",
        f"[{low:+.1f}, {high:+.1f}]",
    )
    chances = (found.p_bootstrap, found.p_matched_pairs)
    return (name, *values, *("< 0.001" if p < 0.001 else f"{p:.3f}" for p in chances))
