"""Which codebook entries each language uses, and which languages use the same: text, JSON and an HTML page.

Frames are counted by the entry that the quantizer takes in evaluation, the likeliest of each codebook. `similarity`
compares the counts. Trains nothing.

Source: the analysis of XLSR, arXiv 2006.13979, which clusters languages by their frequencies of the shared units.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xlsr.analysis.pieces import Piece, Progress, read_pieces
from xlsr.audio import SAMPLE_RATE
from xlsr.data.manifest import Utterance, read_manifest
from xlsr.errors import ManifestError, XlsrError, require
from xlsr.recognizer import Failure
from xlsr.report import Page, Point, check_plots
from xlsr.similarity import (
    FamilyTest,
    Merge,
    classical_scaling,
    cluster,
    compare_families,
    distances,
    divergences,
    entries_used,
    leaves,
    perplexities,
    read_families,
)
from xlsr.tables import Table

if TYPE_CHECKING:
    from xlsr.analysis.encode import Encoder
    from xlsr.checkpoint.load import Checkpoint

_NEAREST = 3
_ALONE = "alone"  # languages without a relative here


@dataclass(frozen=True, eq=False)
class LanguageCodes:
    """What one language uses.

    Attributes:
        language: its code.
        utterances: that were counted.
        seconds: of audio.
        counts: (groups, entries), frames by the entry taken.
    """

    language: str
    utterances: int
    seconds: float
    counts: NDArray[np.int64]

    @property
    def frames(self) -> int:
        """Frames counted."""
        return int(self.counts[0].sum())

    @property
    def perplexities(self) -> tuple[float, ...]:
        """Of each codebook."""
        return tuple(map(float, perplexities(self.counts)))

    @property
    def used(self) -> float:
        """The share of all entries that occur."""
        return float(entries_used(self.counts))


@dataclass(frozen=True, eq=False)
class CodesReport:
    """What each language of a manifest uses of a model's codebooks.

    Attributes:
        model: its name.
        manifest: the file.
        split: the rows that were taken; None: all.
        languages: sorted by code; those of which nothing could be read are not there.
        families: code -> family, of the languages whose family is known.
        failures: utterances that were not counted, and why.
    """

    model: str
    manifest: str
    split: str | None
    languages: tuple[LanguageCodes, ...]
    families: Mapping[str, str]
    failures: tuple[Failure, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The codes of the languages."""
        return tuple(one.language for one in self.languages)

    @cached_property
    def similarity(self) -> NDArray[np.float64]:
        """(languages, languages) in [0, 1]: one minus the Jensen-Shannon divergence, averaged over codebooks."""
        return 1.0 - divergences(np.stack([one.counts for one in self.languages]))

    @cached_property
    def merges(self) -> tuple[Merge, ...]:
        """The clusters, by average linkage over the roots of the divergences."""
        return cluster(distances(1.0 - self.similarity))

    @cached_property
    def places(self) -> tuple[NDArray[np.float64], float]:
        """(languages, 2), a map by classical scaling, and the share of the spread that it shows."""
        return classical_scaling(distances(1.0 - self.similarity))

    @cached_property
    def family_test(self) -> FamilyTest | None:
        """Whether languages of a family are more alike; None where the languages make no such pairs."""
        return compare_families(self.similarity, self.names, self.families)

    def table(self) -> Table:
        """Return a row of figures for each language."""
        groups = range(1, len(self.languages[0].counts) + 1)
        columns = ("language", "family", "utterances", "minutes", *(f"perplexity {g}" for g in groups), "entries used")
        rows = (
            (
                one.language,
                self.families.get(one.language, "?"),
                f"{one.utterances}",
                f"{one.seconds / 60:.1f}",
                *(f"{value:.1f}" for value in one.perplexities),
                f"{one.used:.1%}",
            )
            for one in self.languages
        )
        return Table(columns, tuple(rows))

    def nearest_table(self) -> Table:
        """Return for each language those that are most alike, with the similarity."""
        rows = []
        for place, name in enumerate(self.names):
            order = [other for other in np.argsort(-self.similarity[place], kind="stable") if other != place]
            near = [f"{self.names[other]} {self.similarity[place, other]:.3f}" for other in order[:_NEAREST]]
            rows.append((name, self.families.get(name, "?"), *near))
        shown = min(_NEAREST, len(self.names) - 1)
        return Table(("language", "family", *("nearest", "second", "third")[:shown]), tuple(rows))

    def verdict(self) -> str:
        """Return the family test as a sentence."""
        test = self.family_test
        if test is None:
            return "No two languages of one family beside one of another: families cannot be compared."
        p = "< 0.001" if test.p < 0.001 else f"= {test.p:.3f}"
        return (
            f"Similarity within families {test.within:.4f}, between them {test.between:.4f} (p {p} by dealing "
            f"{test.families} families to {test.languages} languages at random; {test.pairs} pairs within)."
        )

    def to_text(self) -> str:
        """Return the tables for a terminal."""
        parts = [self.table().to_text()]
        if len(self.languages) > 1:
            parts += [self.nearest_table().to_text(), self.verdict() + "\n"]
        return "\n".join(parts)

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON values."""
        places, shown = self.places
        return {
            "model": self.model,
            "manifest": self.manifest,
            "split": self.split,
            "languages": [
                {
                    "language": one.language,
                    "family": self.families.get(one.language),
                    "utterances": one.utterances,
                    "seconds": round(one.seconds, 3),
                    "frames": one.frames,
                    "perplexities": [round(value, 3) for value in one.perplexities],
                    "entries_used": round(one.used, 5),
                    "place": np.round(place, 5).tolist(),
                    "counts": one.counts.tolist(),
                }
                for one, place in zip(self.languages, places, strict=True)
            ],
            "similarity": np.round(self.similarity, 6).tolist(),
            "merges": [asdict(merge) for merge in self.merges],
            "order": [self.names[place] for place in leaves(self.merges)],
            "map_share": round(shown, 5),
            "family_test": asdict(self.family_test) if self.family_test else None,
            "failures": [asdict(failure) for failure in self.failures],
        }

    def to_json(self) -> str:
        """Return `to_dict()` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"

    def to_page(self) -> Page:
        """Return the HTML page. Raises MissingDependencyError where matplotlib is not installed."""
        total = np.sum([one.counts for one in self.languages], axis=0)
        source = "/".join(Path(self.manifest).parts[-2:])
        part = f", split {self.split}" if self.split else ""
        page = Page(f"Codebooks of {self.model} on {source}{part}", "Which entries each language uses.")
        page.figures(
            {
                "languages": f"{len(self.languages)}",
                "hours": f"{sum(one.seconds for one in self.languages) / 3600:.2f}",
                "entries used": (f"{float(entries_used(total)):.1%}", f"of {total.shape[0]} × {total.shape[1]}"),
                "perplexity": (f"{perplexities(total).sum():.1f}", "summed over codebooks"),
            }
        )
        if len(self.languages) > 1:
            self._add_comparison(page)
        page.heading("By language").table(self.table())
        if self.failures:
            failed = tuple((failure.audio, failure.error) for failure in self.failures)
            page.heading("Failed").table(Table(("recording", "why"), failed))
        return page

    def _add_comparison(self, page: Page) -> None:
        """Add what compares languages with each other."""
        order = list(leaves(self.merges))
        places, shown = self.places
        sizes = Counter(self.families.get(name) for name in self.names)
        groups = [self.families.get(name, "unknown") for name in self.names]
        groups = [group if sizes[group] > 1 or group == "unknown" else _ALONE for group in groups]
        points = [
            Point(name, x, y, group) for name, (x, y), group in zip(self.names, places.tolist(), groups, strict=True)
        ]
        values = self.similarity[np.ix_(order, order)]
        page.heading("Languages by shared entries").text(self.verdict())
        page.note(
            "Similarity is one minus the Jensen-Shannon divergence (base 2), averaged over codebooks. Recordings of "
            "one corpus or one voice are alike for that reason too; few minutes make every similarity smaller."
        )
        page.heat_map("Similarity, in the order of the clusters", [self.names[i] for i in order], values.tolist())
        page.scatter(f"Map by classical scaling: {shown:.0%} of the spread", points)
        page.heading("Nearest languages").table(self.nearest_table())


def codes(
    model: Checkpoint | str | Path,
    manifest: Path | str,
    *,
    split: str | None = None,
    max_seconds: float | None = None,
    families: Path | str | None = None,
    report: Path | str | None = None,
    device: str = "auto",
    threads: int = 0,
    batch_seconds: float = 20.0,
    progress: Progress | None = None,
) -> CodesReport:
    """Count which codebook entries each language of a manifest uses, and compare the languages.

    Args:
        model: a pre-training checkpoint: in memory, or what `load_checkpoint` takes.
        manifest: a JSON-lines list of utterances with their languages.
        split: take the rows of this split only.
        max_seconds: of each language count utterances drawn at random until so many seconds are reached; None: all.
        families: a table of language code, tab, family in place of the one in the package.
        report: write an HTML page here.
        device: "cpu", "cuda", ...; "auto" is a GPU where there is one.
        threads: CPU threads; 0 leaves the choice to torch.
        batch_seconds: seconds of audio computed at once.
        progress: wraps the batches, given their number, such as with a progress bar.

    Raises:
        ManifestError: the manifest cannot be read, or no row has a language.
        CheckpointError: the model has no quantizer.
        MissingDependencyError: torch is not installed, or matplotlib is not and a page is wanted.
        XlsrError: nothing could be read.
    """
    require("torch", "torch", "running an encoder")
    from xlsr.analysis.encode import Encoder

    if report is not None:  # what is missing is said before the work
        check_plots()
        Path(report).parent.mkdir(parents=True, exist_ok=True)
    table = read_families(families)
    rows = read_manifest(manifest, split=split)
    failures = [Failure(u.name, f"{u.name} has no language to count it for") for u in rows if u.language is None]
    if len(failures) == len(rows):
        raise ManifestError(f"no row of {manifest} has a language: there is nothing to compare")
    encoder = Encoder.load(model, device=device, threads=threads)
    batches = read_pieces(_capped(rows, max_seconds), encoder.config, batch_seconds=batch_seconds, progress=progress)
    languages = _count(encoder, batches, failures)
    if not languages:
        raise XlsrError(f"none of {len(rows)} utterances was counted; the first: {failures[0].error}")
    known = {one.language: table[one.language] for one in languages if one.language in table}
    name = encoder.description.name
    result = CodesReport(name, str(manifest), split, languages, known, tuple(failures))
    if report is not None:
        result.to_page().write(report)
    return result


def _count(
    encoder: Encoder, batches: Iterator[list[Piece] | Failure], failures: list[Failure]
) -> tuple[LanguageCodes, ...]:
    """The entries of each language; what could not be read is added to the failures."""
    shape = encoder.codebooks
    counting: dict[str, _Count] = {}
    for batch in batches:
        if isinstance(batch, Failure):
            failures.append(batch)
            continue
        for piece, codes in zip(batch, encoder.codes(batch), strict=True):
            language = piece.utterance.language
            assert language is not None
            counting.setdefault(language, _Count(shape)).add(codes, len(piece.samples), is_first=not piece.start)
    return tuple(count.result(language) for language, count in sorted(counting.items()))


class _Count:
    """The entries of one language, while they are counted."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.counts = np.zeros(shape, np.int64)
        self.samples = self.utterances = 0

    def add(self, codes: NDArray[np.int64], samples: int, *, is_first: bool) -> None:
        """Add the entries of a piece, (frames, groups)."""
        for group, column in zip(self.counts, codes.T, strict=True):
            group += np.bincount(column, minlength=len(group))
        self.samples += samples
        self.utterances += is_first

    def result(self, language: str) -> LanguageCodes:
        return LanguageCodes(language, self.utterances, self.samples / SAMPLE_RATE, self.counts)


def _capped(rows: Sequence[Utterance], max_seconds: float | None) -> list[Utterance]:
    """The rows that have a language, or of each language as many at random as reach the seconds; the same each time."""
    rows = [row for row in rows if row.language is not None]
    if max_seconds is None:
        return rows
    seconds: Counter[str | None] = Counter()
    kept = set()
    for place in map(int, np.random.default_rng(0).permutation(len(rows))):
        if seconds[rows[place].language] < max_seconds:
            seconds[rows[place].language] += rows[place].duration  # type: ignore[assignment]
            kept.add(place)
    return [row for place, row in enumerate(rows) if place in kept]
