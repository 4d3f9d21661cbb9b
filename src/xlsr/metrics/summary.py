"""Scored utterances to a summary: error rates with intervals, breakdowns, the worst utterances, confusions.

Pure: texts go in, figures come out. The last step of an evaluation, and of a training's look at its development set.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Literal, TypedDict

from xlsr.metrics.edits import Confusion, Edit, ErrorCounts, align_chars, align_words, confusions, count_edits
from xlsr.metrics.phones import FeatureErrors, feature_errors, without_features
from xlsr.metrics.resampling import RESAMPLES, Difference, Interval, bootstrap_interval, paired_difference
from xlsr.tables import Table

Tokens = Literal["words", "phones"]
Key = Literal["language", "speaker", "split", "domain"]

_RATES: dict[Tokens, tuple[str, ...]] = {"words": ("WER", "CER"), "phones": ("PER", "PFER")}
# Classes of durations, and the seconds at which they meet.
_DURATION_EDGES = (2, 5, 10, 20)
_DURATIONS = ("under 2 s", "2 to 5 s", "5 to 10 s", "10 to 20 s", "20 s and over")
# Under this many units a percentile interval is too narrow.
FEW_UNITS = 10
_MOST_NAMED = 20  # of phones, in a note; the JSON has all


@dataclass(frozen=True)
class ScoredWord:
    """A word, or phone, that was heard.

    Attributes:
        text: normalised.
        score: the recognizer's probability that it is right; None where unknown.
        right: whether the reference has it there.
    """

    text: str
    score: float | None
    right: bool


@dataclass(frozen=True)
class Scored:
    """An utterance with what was said and what was heard, both normalised.

    Attributes:
        name: of the recording.
        reference: what was said; phones are separated by spaces.
        hypothesis: what was heard.
        duration: seconds.
        speaker: None where unknown.
        language: None where unknown.
        split: None where unknown.
        domain: the kind of recording, as the manifest calls it; None where unknown.
        score: the share of its words that the recognizer takes to be right; None where unknown.
        words: of the hypothesis, in order; empty where they are not told apart.
    """

    name: str
    reference: str
    hypothesis: str
    duration: float = 0.0
    speaker: str | None = None
    language: str | None = None
    split: str | None = None
    domain: str | None = None
    score: float | None = None
    words: tuple[ScoredWord, ...] = ()

    @property
    def edits(self) -> tuple[Edit, ...]:
        """From reference to hypothesis, in words or phones."""
        return align_words(self.reference, self.hypothesis)

    @property
    def counts(self) -> ErrorCounts:
        """Of `edits`."""
        return count_edits(self.edits)


@dataclass(frozen=True)
class Rate:
    """An error rate of many utterances; `str` shows it in percent, with its interval where more than one was drawn.

    Attributes:
        name: WER, CER, PER or PFER.
        counts: of all utterances; PFER has no edits of their own.
        interval: of 95 %.
    """

    name: str
    counts: ErrorCounts | FeatureErrors
    interval: Interval

    @property
    def value(self) -> float:
        """Errors by reference token."""
        return self.counts.rate

    def __str__(self) -> str:
        if self.interval.units < 2:
            return f"{self.value:.1%}"
        return f"{self.value:.1%} [{100 * self.interval.low:.1f}, {100 * self.interval.high:.1f}]"


@dataclass(frozen=True)
class Part:
    """The rates of some utterances.

    Attributes:
        name: what they have in common.
        utterances: how many.
        seconds: of audio.
        rates: the first is the one that counts: WER, CER; or PER, PFER.
    """

    name: str
    utterances: int
    seconds: float
    rates: tuple[Rate, ...]


class SummaryDict(TypedDict):
    """What `ErrorSummary.to_dict()` returns; rates are fractions, intervals of 95 %."""

    tokens: Tokens
    total: dict[str, object]
    parts: dict[str, list[dict[str, object]]]
    confusions: dict[str, list[dict[str, object]]]
    worst: list[str]
    without_features: list[str]


@dataclass(frozen=True)
class ErrorSummary:
    """What a recognizer did to a corpus.

    Attributes:
        tokens: words, or phones.
        total: all utterances.
        parts: the utterances by duration and whatever else was asked for, where that makes two parts or more.
        worst: utterances with errors, highest rate first, then most errors.
        confusions: by name of the rate, of those that count edits; most frequent first.
        without_features: phones that cost PFER as much as PER, as their articulation is not known.
    """

    tokens: Tokens
    total: Part
    parts: Mapping[str, tuple[Part, ...]]
    worst: tuple[Scored, ...]
    confusions: Mapping[str, tuple[Confusion, ...]]
    without_features: tuple[str, ...] = ()

    def rate(self, name: str) -> Rate:
        """Return a rate of all utterances by its name; KeyError where it was not taken."""
        return {rate.name: rate for rate in self.total.rates}[name]

    def table(self, key: str | None = None) -> Table:
        """Return the rates of all utterances, or those of a breakdown's parts."""
        names = tuple(rate.name for rate in self.total.rates)
        rows = self.parts[key] if key else [self.total]
        return Table(
            (key or "", "utterances", "hours", self.tokens, *names),
            tuple(
                (
                    p.name,
                    f"{p.utterances}",
                    f"{p.seconds / 3600:.2f}",
                    f"{p.rates[0].counts.length}",
                    *map(str, p.rates),
                )
                for p in rows
            ),
        )

    @property
    def note(self) -> str:
        """How the intervals were made, whether they can hold, and which phones have no features."""
        interval = self.total.rates[0].interval
        parts = [f"95 % intervals from {RESAMPLES} draws of {interval.units} {interval.unit}"]
        if interval.units < 2:
            parts = ["one utterance gives no interval"]
        elif interval.units < FEW_UNITS:
            parts.append(f"too few to trust, {FEW_UNITS} or more are wanted")
        if interval.units > 1 and interval.unit == "utterances":
            parts.append("under two speakers are named, so nothing is said of other voices")
        if self.without_features:
            named = " ".join(self.without_features[:_MOST_NAMED])
            more = " ..." if len(self.without_features) > _MOST_NAMED else ""
            parts.append(f"{len(self.without_features)} phones without known features count as in PER: {named}{more}")
        return "; ".join(parts)

    def to_markdown(self) -> str:
        """Return the tables and how they were made, for a model card."""
        tables = [self.table().to_markdown(), *(self.table(key).to_markdown() for key in self.parts)]
        return "\n".join([*tables, f"{self.note}.\n"])

    def to_dict(self) -> SummaryDict:
        """Return the summary as JSON values; the worst utterances by name."""
        return {
            "tokens": self.tokens,
            "total": _part_to_dict(self.total),
            "parts": {key: [_part_to_dict(part) for part in parts] for key, parts in self.parts.items()},
            "confusions": {name: [asdict(pair) for pair in pairs] for name, pairs in self.confusions.items()},
            "worst": [item.name for item in self.worst],
            "without_features": list(self.without_features),
        }


@dataclass(frozen=True)
class _Aligned:
    """An utterance with its edits, where they are counted, and its errors by name of the rate."""

    item: Scored
    edits: dict[str, tuple[Edit, ...]]
    counts: dict[str, ErrorCounts | FeatureErrors]


def score_corpus(
    scored: Sequence[Scored], *, tokens: Tokens = "words", by: Sequence[Key] = ("language",), most: int = 20
) -> ErrorSummary:
    """Summarise what a recognizer did to a corpus.

    Args:
        scored: its utterances, normalised.
        tokens: words give WER and CER, phones PER and PFER.
        by: breakdowns besides the one by duration.
        most: how many worst utterances and confusions are kept.

    Raises:
        ValueError: there are no utterances.
    """
    aligned = _align(scored, tokens)
    total, main = _part("all", aligned, tokens), _RATES[tokens][0]
    parts = {"duration": _breakdown(aligned, tokens, [_duration_class(item.duration) for item in scored], _DURATIONS)}
    for key in by:
        names = [getattr(item, key) or "unknown" for item in scored]
        parts[key] = _breakdown(aligned, tokens, names, sorted(set(names)))
    wrong = [one for one in aligned if one.counts[main].errors]
    wrong.sort(key=lambda one: (-one.counts[main].rate, -one.counts[main].errors, one.item.name))
    return ErrorSummary(
        tokens=tokens,
        total=total,
        parts={key: found for key, found in parts.items() if len(found) > 1},
        worst=tuple(one.item for one in wrong[:most]),
        confusions={
            name: confusions(edit for one in aligned for edit in one.edits[name])[:most] for name in aligned[0].edits
        },
        without_features=_unknown(scored) if tokens == "phones" else (),
    )


def compare_corpora(
    first: Sequence[Scored], second: Sequence[Scored], *, tokens: Tokens = "words"
) -> dict[str, Difference]:
    """Return how two systems differ on the same utterances, by name of the rate.

    Args:
        first: what the first system heard.
        second: what the second heard, of the same utterances in the same order.
        tokens: as for `score_corpus`.

    Raises:
        ValueError: the utterances are not the same, or there are none.
    """
    if [(item.name, item.reference) for item in first] != [(item.name, item.reference) for item in second]:
        raise ValueError("two systems are compared on the same utterances, in the same order; these differ")
    firsts, seconds = ([one.counts for one in _align(scored, tokens)] for scored in (first, second))
    speakers = [item.speaker for item in first]
    return {
        name: paired_difference([one[name] for one in firsts], [one[name] for one in seconds], speakers)
        for name in _RATES[tokens]
    }


def _align(scored: Sequence[Scored], tokens: Tokens) -> list[_Aligned]:
    phones = [item for item in scored if tokens == "phones"]
    weighed = feature_errors([item.reference for item in phones], [item.hypothesis for item in phones])
    aligned = []
    for place, item in enumerate(scored):
        edits = {_RATES[tokens][0]: item.edits}
        if tokens == "words":
            edits["CER"] = align_chars(item.reference, item.hypothesis)
        counts: dict[str, ErrorCounts | FeatureErrors] = {name: count_edits(found) for name, found in edits.items()}
        if tokens == "phones":
            counts["PFER"] = weighed[place]
        aligned.append(_Aligned(item, edits, counts))
    return aligned


def _unknown(scored: Sequence[Scored]) -> tuple[str, ...]:
    return without_features(text for item in scored for text in (item.reference, item.hypothesis))


def _part(name: str, aligned: Sequence[_Aligned], tokens: Tokens) -> Part:
    speakers = [one.item.speaker for one in aligned]
    rates = []
    for rate in _RATES[tokens]:
        counts = [one.counts[rate] for one in aligned]
        interval = bootstrap_interval(counts, speakers)
        rates.append(Rate(rate, reduce(add, counts), interval))
    return Part(name, len(aligned), sum(one.item.duration for one in aligned), tuple(rates))


def _breakdown(
    aligned: Sequence[_Aligned], tokens: Tokens, names: Sequence[str], order: Sequence[str]
) -> tuple[Part, ...]:
    """The parts of a corpus by the name that each utterance's part has."""
    groups: dict[str, list[_Aligned]] = {}
    for name, one in zip(names, aligned, strict=True):
        groups.setdefault(name, []).append(one)
    return tuple(_part(name, groups[name], tokens) for name in order if name in groups)


def _duration_class(seconds: float) -> str:
    return _DURATIONS[bisect_right(_DURATION_EDGES, seconds)]


def _part_to_dict(part: Part) -> dict[str, object]:
    return {
        "name": part.name,
        "utterances": part.utterances,
        "seconds": round(part.seconds, 3),
        "rates": {
            rate.name: {
                "value": rate.value, "low": rate.interval.low, "high": rate.interval.high,
                "resampled": rate.interval.unit, "units": rate.interval.units, **asdict(rate.counts),
            }
            for rate in part.rates
        },
    }  # fmt: skip
