"""What an evaluation says: tables for a terminal, JSON with every text, one HTML page. Computes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xlsr.evaluation.calibrating import Fitted
from xlsr.metrics import Confidence, Difference, ErrorSummary, Scored, count_edits
from xlsr.recognizer import Failure
from xlsr.report import Page, add_breakdowns, add_confidence, add_errors
from xlsr.tables import Table


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
        confidence: what the scores of words are worth; None where there are none.
        calibration: of the first model, where one was fitted.
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
    confidence: Confidence | None = None
    calibration: Fitted | None = None
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

    @property
    def confidences(self) -> dict[str, Confidence]:
        """What the scores of each model are worth, by its name."""
        found = {self.model: self.confidence}
        if self.other:
            found[self.other.model if self.other.model != self.model else "the second"] = self.other.confidence
        return {name: one for name, one in found.items() if one is not None}

    def confidence_table(self) -> Table:
        """Return a row for each model whose words have scores."""
        return Table(
            ("scores", *Confidence.COLUMNS), tuple((name, *one.row()) for name, one in self.confidences.items())
        )

    def to_text(self) -> str:
        """Return the tables for a terminal."""
        tables = [self.table(), *([self.difference_table()] if self.differences else [])]
        tables += [self.confidence_table()] if self.confidences else []
        tables += [self.calibration.table()] if self.calibration else []
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
            "confidence": asdict(self.confidence) if self.confidence else None,
            "calibration": self.calibration.to_dict() if self.calibration else None,
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
        add_confidence(page, "Scores as probabilities", self.confidence_table(), self.confidences)
        if fitted := self.calibration:
            both = {"as they were": fitted.before, "calibrated": fitted.after}
            add_confidence(page, "Calibration, on the half held out", fitted.table(), both)
            page.note(f"{fitted.note}.")
        add_errors(page, self.summary)
        if self.all_failures:
            failed = tuple((failure.audio, failure.error) for failure in self.all_failures)
            page.heading("Failed").table(Table(("recording", "why"), failed))
        return page


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
