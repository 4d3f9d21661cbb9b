"""A page that is put together section by section and written as one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Self

from xlsr.metrics import Edit
from xlsr.report.plots import Bar, Point, draw_bars, draw_heat_map, draw_lines, draw_points, with_unique_ids
from xlsr.tables import Table

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


class Page:
    """A page under construction; every method adds a section and returns the page.

    Args:
        title: its heading.
        lead: a sentence below it.
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title = title
        self._parts: list[str] = []
        if lead:
            self._add("p", lead, "lead")

    def heading(self, text: str) -> Self:
        """Begin a section."""
        return self._add("h2", text)

    def text(self, text: str) -> Self:
        """Add a paragraph."""
        return self._add("p", text)

    def note(self, text: str) -> Self:
        """Add a paragraph in small print."""
        return self._add("p", text, "note")

    def figures(self, figures: Mapping[str, str | tuple[str, str]]) -> Self:
        """Add key figures: name -> value, or (value, what stands below it)."""
        cards = []
        for name, figure in figures.items():
            value, below = (figure, "") if isinstance(figure, str) else figure
            small = f"<small>{escape(below)}</small>" if below else ""
            cards.append(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}{small}</dd></div>")
        self._parts.append(f'<dl class="figures">{"".join(cards)}</dl>')
        return self

    def table(self, table: Table) -> Self:
        """Add a table; a narrow screen scrolls it sideways."""
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
        rows = ("".join(f'<td dir="auto">{escape(cell)}</td>' for cell in row) for row in table.rows)
        body = "\n".join(f"<tr>{row}</tr>" for row in rows)
        self._parts.append(
            f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
        )
        return self

    def curves(
        self, title: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x_label: str, y_label: str
    ) -> Self:
        """Add lines.

        Args:
            title: stands below them.
            series: for each name the places and the values, as many.
            x_label: what places are, with the unit.
            y_label: what values are, with the unit.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        return self._figure(draw_lines(series, x_label=x_label, y_label=y_label, title=title), title)

    def bars(self, title: str, bars: Sequence[Bar], *, x_label: str) -> Self:
        """Add horizontal bars with their intervals.

        Args:
            title: stands below them.
            bars: at least one.
            x_label: what values are, with the unit.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        return self._figure(draw_bars(bars, x_label=x_label, title=title), title)

    def heat_map(self, title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> Self:
        """Add a square table of values as cells, the larger the stronger.

        Args:
            title: stands below it, with the smallest and the largest value off the diagonal.
            names: of rows and columns, at least two.
            values: a row for each, symmetric.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        others = [value for y, row in enumerate(values) for x, value in enumerate(row) if x != y]
        title = f"{title}: {min(others):.3f} (faintest) to {max(others):.3f}"
        return self._figure(draw_heat_map(names, values, title=title), title)

    def scatter(self, title: str, points: Sequence[Point]) -> Self:
        """Add a map of named points, coloured by group.

        Args:
            title: stands below it.
            points: at least one.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        return self._figure(draw_points(points, title=title), title)

    def diffs(self, pairs: Iterable[tuple[str, Sequence[Edit]]], *, separator: str = " ") -> Self:
        """Add texts with their edits: what was said and not heard struck out, what was heard instead beside it.

        Args:
            pairs: names of the texts and their edits.
            separator: between tokens: a space for words and phones, nothing for characters.
        """
        for name, edits in pairs:
            text = escape(separator).join(map(_edit_to_html, edits))
            self._parts.append(
                f'<div class="diff"><div class="name">{escape(name)}</div><p dir="auto">{text or "–"}</p></div>'
            )
        return self

    def to_html(self) -> str:
        """Return the page."""
        style = Path(__file__).with_name("page.css").read_text("utf-8")
        return _PAGE.format(title=escape(self.title), style=style, body="\n".join(self._parts))

    def write(self, path: Path | str) -> None:
        """Write the page; it needs no other file."""
        Path(path).write_text(self.to_html(), "utf-8")

    def _add(self, tag: str, text: str, kind: str = "") -> Self:
        kind = f' class="{kind}"' if kind else ""
        self._parts.append(f"<{tag}{kind}>{escape(text)}</{tag}>")
        return self

    def _figure(self, svg: str, title: str) -> Self:
        number = sum(part.startswith("<figure>") for part in self._parts)
        svg = with_unique_ids(svg, f"plot{number}-")
        self._parts.append(f"<figure>{svg}<figcaption>{escape(title)}</figcaption></figure>")
        return self


def _edit_to_html(edit: Edit) -> str:
    if edit.kind == "hit":
        return escape(edit.reference or "")
    said = f"<del>{escape(edit.reference)}</del>" if edit.reference is not None else ""
    heard = f"<ins>{escape(edit.hypothesis)}</ins>" if edit.hypothesis is not None else ""
    return said + heard
