"""One HTML page that needs nothing beside it: figures, tables, plots, texts with their edits coloured. Floor 2.

    page.py     `Page`: sections in, one file out
    errors.py   what an evaluation and a training say of a corpus
    plots.py    lines, bars, heat maps and points to inline SVG; the one place that knows matplotlib (extra `report`)
    page.css    how it looks, in light and dark, on a desk and on a phone

Knows no recognizer and no trainer: they say what a page holds. Every text is escaped.
"""

from xlsr.report.errors import add_breakdowns, add_confidence, add_errors, to_bar
from xlsr.report.page import Page
from xlsr.report.plots import Bar, Point, check_plots

__all__ = ["Bar", "Page", "Point", "add_breakdowns", "add_confidence", "add_errors", "check_plots", "to_bar"]
