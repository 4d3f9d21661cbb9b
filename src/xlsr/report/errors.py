"""The sections of a page that tell the errors of a corpus; an evaluation and a training end with the same."""

from __future__ import annotations

from xlsr.metrics import ErrorSummary, Rate, count_edits
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
