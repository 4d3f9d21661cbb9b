"""Lines, bars, heat maps and points to SVG that stands inside a page and takes the page's colours.

The one place that knows matplotlib.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from xlsr.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# Colours that stand for the page's own: what is drawn in them follows light and dark.
_INK, _LINE = "#010203", "#040506"
_SERIES = tuple(f"#0a0b0{digit}" for digit in range(6))
_VARIABLES = {_INK: "--ink", _LINE: "--line"} | {colour: f"--series-{i}" for i, colour in enumerate(_SERIES)}
# Narrow, so that letters stay readable where a phone shrinks the drawing.
_WIDTH_INCHES = 5.0
_LEVELS = 24  # strengths of a heat map; an eye tells fewer


@dataclass(frozen=True)
class Bar:
    """One bar of a plot.

    Attributes:
        name: what stands beside it.
        value: its length.
        low: lower end of its interval; None: no interval.
        high: upper end.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """One named point of a map.

    Attributes:
        name: what stands at it.
        x: its place.
        y: its place.
        group: points of one group have one colour, which the legend names.
    """

    name: str
    x: float
    y: float
    group: str


def check_plots() -> None:
    """Raise MissingDependencyError where matplotlib is not installed; for use before a long run."""
    require("matplotlib", "report", "plots in HTML reports")


def draw_lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x_label: str, y_label: str, title: str
) -> str:
    """Draw lines over a common axis.

    Args:
        series: for each name the places and the values, as many.
        x_label: what places are.
        y_label: what values are.
        title: said to those who cannot see it.

    Returns:
        An `<svg>` element.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure, axes = _canvas(2.9)
    for index, (name, (xs, ys)) in enumerate(series.items()):
        (line,) = axes.plot(xs, ys, color=_SERIES[index % len(_SERIES)], linewidth=1.8)
        line.set_linestyle(("-", "--", ":")[index // len(_SERIES) % 3])
        line.set_label(_drawable(name))
        if len(xs) == 1:
            line.set_marker("o")
    _label(axes, x_label, y_label)
    axes.grid(color=_LINE, linewidth=0.8)
    if len(series) > 1:
        _unmarked(axes.legend(frameon=False, labelcolor=_INK))
    return _svg(figure, title)


def draw_bars(bars: Sequence[Bar], *, x_label: str, title: str) -> str:
    """Draw horizontal bars from the first, above, to the last, with their intervals as whiskers.

    Args:
        bars: at least one.
        x_label: what values are.
        title: said to those who cannot see it.

    Returns:
        An `<svg>` element.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure, axes = _canvas(0.75 + 0.3 * len(bars))
    places = range(len(bars))
    axes.barh(places, [bar.value for bar in bars], height=0.6, color=_SERIES[0], alpha=0.75)
    for place, bar in zip(places, bars, strict=True):
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [place, place], color=_INK, linewidth=1.4, marker="|", markersize=5)
    axes.set_yticks(places)
    for label in axes.set_yticklabels([_drawable(bar.name) for bar in bars]):
        label.set_parse_math(False)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    _label(axes, x_label, "")
    axes.grid(axis="x", color=_LINE, linewidth=0.8)
    return _svg(figure, title)


def draw_heat_map(names: Sequence[str], values: Sequence[Sequence[float]], *, title: str) -> str:
    """Draw a square table of values as cells, the larger the stronger; the diagonal is left out of the scale.

    Args:
        names: of rows and columns, at least two.
        values: a row for each; the faintest cells have the page's own colour.
        title: said to those who cannot see it.

    Returns:
        An `<svg>` element.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure, axes = _canvas(_WIDTH_INCHES)
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    count = len(names)
    others = [values[y][x] for y in range(count) for x in range(count) if x != y]
    low, span = min(others), max(max(others) - min(others), 1e-12)
    levels: dict[int, list[Outline]] = {}
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            level = round(min((value - low) / span, 1.0) * _LEVELS)
            corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)]
            levels.setdefault(level, []).append(Outline(corners, closed=True))
    for level, cells in sorted(levels.items()):  # one shape for all cells of a strength keeps the page small
        shape = Outline.make_compound_path(*cells)
        axes.add_patch(PathPatch(shape, facecolor=_SERIES[0], alpha=level / _LEVELS, linewidth=0))
    axes.set(xlim=(0, count), ylim=(count, 0), aspect="equal")
    places = [place + 0.5 for place in range(count)]
    size = min(9.0, _WIDTH_INCHES * 0.8 * 72 / count)
    for set_ticks, turn in ((axes.set_xticks, 90), (axes.set_yticks, 0)):
        set_ticks(places, [_drawable(name) for name in names], fontsize=size, rotation=turn, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    return _svg(figure, title)


def draw_points(points: Sequence[Point], *, title: str) -> str:
    """Draw a map of named points; both directions have one scale, so that distances can be compared.

    Args:
        points: at least one.
        title: said to those who cannot see it.

    Returns:
        An `<svg>` element.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure, axes = _canvas(_WIDTH_INCHES)
    groups = list(dict.fromkeys(point.group for point in sorted(points, key=lambda point: point.group)))
    for index, group in enumerate(groups):
        members = [point for point in points if point.group == group]
        colour = _SERIES[index % len(_SERIES)]
        marker = "os^D"[index // len(_SERIES) % 4]
        xs, ys = [point.x for point in members], [point.y for point in members]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=4, linestyle="none", label=_drawable(group))
        for point in members:
            label = axes.annotate(_drawable(point.name), (point.x, point.y), (3, 2), textcoords="offset points")
            label.set(color=colour, fontsize=7, parse_math=False)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(color=_LINE, linewidth=0.8)
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    if len(groups) > 1:
        legend = axes.legend(
            frameon=False, labelcolor=_INK, fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.02)
        )
        _unmarked(legend)
    return _svg(figure, title)


def _canvas(height_inches: float) -> tuple[Figure, Axes]:
    """An empty drawing of its own, in the page's colours."""
    check_plots()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(color=_LINE, labelcolor=_INK, labelsize=9)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def _label(axes: Axes, x_label: str, y_label: str) -> None:
    for set_label, text in ((axes.set_xlabel, x_label), (axes.set_ylabel, y_label)):
        set_label(_drawable(text), color=_INK, fontsize=9, parse_math=False)


def _unmarked(legend: Legend) -> None:
    """Let dollar signs be dollar signs."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def _drawable(text: str) -> str:
    """The text with a question mark for each letter that matplotlib's font lacks; tables beside the plot keep them."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(letter if font.get_char_index(ord(letter)) else "?" for letter in " ".join(text.split()))


def _svg(figure: Figure, title: str) -> str:
    """The drawing as an element: no prologue, no metadata, no size of its own, colours of the page."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    body = text[text.index(">") + 1 :]
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return f'<svg {box[0]} role="img" aria-label="{escape(title)}">{body}'.strip()


def with_unique_ids(svg: str, prefix: str) -> str:
    """Number the ids of a drawing after a prefix: matplotlib draws them at random, and uses some in every drawing."""
    names: dict[str, str] = {}
    for name in re.findall(r'\bid="([^"]+)"', svg):
        names.setdefault(name, f"{prefix}{len(names)}")
    return re.sub(r'(\bid="|url\(#|href="#)([^")]+)', lambda found: found[1] + names[found[2]], svg)
