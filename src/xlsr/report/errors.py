"""The sections of a page that tell the errors of a corpus; an evaluation and a training end with the same."""

from __future__ import annotations

from collections.abc import Mapping

from xlsr.metrics import Confidence, ErrorSummary, Rate, count_edits
from xlsr.report.page import Page
from xlsr.report.plots import Bar
from xlsr.tables import Table

_MOST_BARS = 40  # more are no picture; the table has them all


def add_breakdowns(page: Page, summary: ErrorSummary) -> None:
    """Add a table, and bars where they are few, for every breakdown."""
    for key, parts in summary.parts.items():
        page.heading(f"By {key}")
        main = parts[0].rates[0].name
        if len(parts) <= _MOST_BARS:
            bars = [to_bar(part.name, part.rates[0]) for part in parts]
            page.bars(f"{main} by {key}, with 95 % intervals", bars, x_label=f"{main}, %")
        page.table(summary.table(key))


def add_confidence(page: Page, heading: str, table: Table, found: Mapping[str, Confidence]) -> None:
    """Add what the scores of words are worth: figures, a reliability diagram, the errors that the surest have.

    Args:
        page: to add to.
        heading: of the section.
        table: the figures.
        found: by name of what has the scores; nothing is added where that is nothing.
    """
    if not found:
        return
    page.heading(heading).table(table)
    page.note(
        "ECE: mean distance of score and share of right words, over bins of as many words each; by chance: what exact "
        "probabilities would show on so few words. NCE: 1 is perfect, below 0 misleads. AURC: area under risk by "
        "coverage; less is better."
    )
    exact = {"exact": ([0.0, 1.0], [0.0, 1.0])}
    diagram = {name: ([b.score for b in one.bins], [b.accuracy for b in one.bins]) for name, one in found.items()}
    page.curves("Reliability", exact | diagram, x_label="mean score", y_label="share right")
    for title, what in (("words", "by_word"), ("utterances", "by_utterance")):
        curves = {name: getattr(one, what) for name, one in found.items()}
        shown = {name: (curve.coverage, [100 * risk for risk in curve.risk]) for name, curve in curves.items()}
        page.curves(
            f"Risk by coverage, {title}", shown, x_label=f"share of {title} kept, the surest", y_label="errors, %"
        )


def add_errors(page: Page, summary: ErrorSummary) -> None:
    """Add the worst utterances with their edits, and the most frequent confusions."""
    if not summary.worst:
        page.heading("Errors").text("None.")
        return
    page.heading("Worst utterances").note("Struck out: said and not heard. Beside it: heard instead.")
    page.diffs((f"{item.name}: {count_edits(item.edits).rate:.0%}", item.edits) for item in summary.worst)
    for rate, pairs in summary.confusions.items():
        rows = tuple((_shown(pair.reference), _shown(pair.hypothesis), f"{pair.count}") for pair in pairs)
        page.heading(f"Most frequent confusions, {rate}").table(Table(("said", "heard", "times"), rows))


def to_bar(name: str, rate: Rate) -> Bar:
    """A rate in percent with its interval, where it has one."""
    if rate.interval.units < 2:
        return Bar(name, 100 * rate.value)
    return Bar(name, 100 * rate.value, 100 * rate.interval.low, 100 * rate.interval.high)


def _shown(token: str | None) -> str:
    """A token as a cell; a space and nothing need signs of their own."""
    return {None: "∅", " ": "␣"}.get(token, token or "")
