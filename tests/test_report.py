"""A report is one file that needs no other, and no text in it becomes markup."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.test_light_import import loaded_modules
from xlsr.errors import MissingDependencyError
from xlsr.metrics import align_chars, align_words
from xlsr.report import Bar, Page, Point, check_plots
from xlsr.tables import Table

EVIL = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "link", "br", "img"}


class Reader(HTMLParser):
    """What a browser would find: elements with their attributes, and all text outside the style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == [], "elements are left open"

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def full_page(name: str) -> Page:
    return (
        Page(name, lead=name)
        .figures({name: (name, name), "hours": "1.2"})
        .heading(name)
        .text(name)
        .note(name)
        .table(Table((name, "WER"), ((name, "3"),)))
        .bars(name, [Bar(name, 4.0, 2.0, 7.0), Bar("b", 1.0)], x_label=name)
        .curves(name, {name: ([0, 1], [3.0, float("nan")]), "b": ([0], [1.0])}, x_label=name, y_label=name)
        .heat_map(name, [name, "b"], [[1.0, 0.25], [0.25, 1.0]])
        .scatter(name, [Point(name, 0.0, 1.0, name), Point("b", 2.0, 1.0, "c")])
        .diffs([(name, align_words(f"a {name}", f"{name} b"))])
    )


def test_every_text_is_escaped() -> None:
    page = Reader(full_page(EVIL).to_html())
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count("<script>alert('x')</script>") >= 10


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    full_page("plain").write(path)
    html = path.read_text("utf-8")
    assert not re.search(r"https?:|@import|file:|//[a-z]", html)
    for _, attributes in Reader(html).elements:
        for key in ("src", "href", "xlink:href"):
            assert (attributes.get(key) or "#").startswith("#")


def test_drawings_share_no_ids_and_find_their_own() -> None:
    html = full_page("plain").to_html()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)) > 20
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', html))
    for pair in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', html):
        assert "".join(pair) in ids


def test_the_same_sections_give_the_same_page() -> None:
    assert full_page("plain").to_html() == full_page("plain").to_html()


def test_drawings_take_the_colours_of_the_page() -> None:
    html = full_page("plain").to_html()
    style = html[html.index("<style>") : html.index("</style>")]
    for variable in ("--ink", "--line", "--series-0", "--series-1"):
        assert f"var({variable})" in html[html.index("<svg") :]
        assert style.count(f"{variable}: #") == 2, "one for light, one for dark"
    assert "#0a0b0" not in html
    assert "prefers-color-scheme: dark" in style
    assert 'name="viewport"' in html


def test_edits_are_marked_by_elements_not_by_colour_alone() -> None:
    html = Page("x").diffs([("u", align_words("a b c", "a x c d"))]).to_html()
    assert "a <del>b</del><ins>x</ins> c <ins>d</ins>" in html
    assert "<del>a</del>b" in Page("x").diffs([("u", align_chars("ab", "b"))], separator="").to_html()
    assert '<p dir="auto">–</p>' in Page("x").diffs([("u", ())]).to_html()


def test_letters_that_the_plots_font_lacks_are_no_warning() -> None:
    html = Page("x").bars("by language", [Bar("日本語 $a_b$", 1.0)], x_label="%").to_html()  # warnings are errors here
    assert "<svg" in html


def test_a_heat_map_is_stronger_where_values_are_larger() -> None:
    values = [[1.0, 0.2, 0.6], [0.2, 1.0, 0.4], [0.6, 0.4, 1.0]]
    html = Page("x").heat_map("alike", ["a", "b", "c"], values).to_html()
    assert "alike: 0.200 (faintest) to 0.600" in html
    shapes = re.findall(r'<path d="([^"]*)"[^>]*style="fill: var\(--series-0\)(?:; opacity: ([\d.]+))?"', html)
    # One shape a strength; the faintest is not drawn, and the diagonal is as strong as the largest value beside it.
    assert {float(strength or 1): outline.count("M") for outline, strength in shapes} == {0.5: 2, 1.0: 5}


def test_points_of_a_group_have_one_colour_and_the_legend_names_it() -> None:
    points = [Point("deu", 0, 0, "west"), Point("nld", 1, 0, "west"), Point("fin", 5, 5, "north")]
    html = Page("x").scatter("map", points).to_html()
    assert len(re.findall(r'<use [^>]*style="fill: var\(--series-1\)', html)) >= 2
    assert len(re.findall(r'<use [^>]*style="fill: var\(--series-0\)', html)) >= 1


def test_a_page_without_plots_needs_no_matplotlib(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert Page("x").table(Table(("a",), (("b",),))).to_html()
    with pytest.raises(MissingDependencyError, match=r"pip install 'xlsr\[report\]'"):
        check_plots()
    with pytest.raises(MissingDependencyError, match=r"pip install 'xlsr\[report\]'"):
        Page("x").bars("y", [Bar("a", 1.0)], x_label="z")


def test_plots_change_nothing_outside_the_page() -> None:
    import matplotlib

    before = matplotlib.rcParams.copy()
    full_page("plain").to_html()
    assert matplotlib.rcParams.copy() == before
    code = "from xlsr.report import *; Page('x').bars('y', [Bar('a', 1.0)], x_label='z')"
    assert "pyplot" not in {name.rpartition(".")[2] for name in loaded_modules(code)}
