"""A table of texts, as lines of a terminal and as Markdown. Floor 0: knows nothing of what its cells say."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows under named columns; the first column names the row, the others hold its figures.

    Attributes:
        columns: their names.
        rows: as many cells each.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_text(self) -> str:
        """Return aligned lines; wide letters take the two cells that a terminal gives them."""
        from rich.cells import cell_len

        lines = [tuple(map(_one_line, line)) for line in (self.columns, *self.rows)]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        shown = []
        for first, *others in lines:
            cells = [first + " " * (widths[0] - cell_len(first))]
            cells += [" " * (width - cell_len(cell)) + cell for width, cell in zip(widths[1:], others, strict=True)]
            shown.append("  ".join(cells).rstrip())
        return "\n".join(shown) + "\n"

    def to_markdown(self) -> str:
        """Return a table of GitHub's Markdown; what would be markup is escaped."""
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [map(_escaped, self.columns), rule, *(map(_escaped, row) for row in self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|*_`]|(?<=\])\()", r"\\\1", text)
