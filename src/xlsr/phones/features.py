"""Phones as they are written in IPA to articulatory features, and the distance of two phones.

A phone is one token of a transcription: letters with modifiers, such as `t`, `t͡ʃʰ`, `tʃʰ`, `ã˥˩` or `aɪ`. Two letters
that PanPhon has as one segment are one, tied or not, since they are one phone; other letters (diphthongs, `h͡w`) are
segments of their own. Modifiers change features of the letter before them, at the start of a phone those of the first.
Tones are a level of a segment; of a contour the mean counts, as no feature stands for movement. A phone with a sign
that is not known has no features, rather than those of a part of it.

Knows no inventory, language or transcription. Reads two small tables when first asked.

Source: Mortensen et al., "PanPhon", COLING 2016: segments and modifiers (`assets/panphon`), and the Hamming distance of
segments. The distance of phones of several segments is ours.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.int8]
Distances = NDArray[np.float64]

FEATURES = (
    "syl", "son", "cons", "cont", "delrel", "lat", "nas", "strid", "voi", "sg", "cg", "ant",
    "cor", "distr", "lab", "hi", "lo", "back", "round", "velaric", "tense", "long", "hitone", "hireg",
)  # fmt: skip
_VALUES = {"+": 1, "0": 0, "-": -1}
# hitone and hireg of the five levels of tone, lowest first, as PanPhon has them.
_LEVELS = ((-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1))
_TIE, _OTHER_TIE, _DENTAL = "\u0361", "\u035c", "\u032a"
# Other ways to write what the tables have; a release is the fricative that it is.
_SAME = {
    "c\u0327": "ç", _OTHER_TIE: _TIE, "g": "ɡ", ":": "ː", "'": "ʼ", "’": "ʼ", "ɚ": "ə˞", "ɝ": "ɜ˞", "ᵻ": "ɨ", "ᵿ": "ʊ",
    "ʦ": "ts", "ʣ": "dz", "ʧ": "tʃ", "ʤ": "dʒ", "ʨ": "tɕ", "ʥ": "dʑ",
    "ˢ": "s", "ᶻ": "z", "ᶴ": "ʃ", "ᶾ": "ʒ", "ᶿ": "θ", "ᶠ": "f", "ᵛ": "v", "ˣ": "x",
}  # fmt: skip


@dataclass(frozen=True)
class _Modifier:
    """What a sign does to a segment: values of features by their place, levels of tone."""

    changes: Mapping[int, int]
    levels: tuple[int, ...]


@dataclass(frozen=True)
class _Letter:
    """A letter as it is written, with the signs that belong to it; "" where tones stand alone."""

    letter: str
    signs: str


def features(phone: str) -> Features | None:
    """Return the articulatory features of a phone.

    Args:
        phone: in IPA, without spaces; in any Unicode normalisation.

    Returns:
        (segments, 24) of -1, 0 (does not apply) and 1, in the order of `FEATURES`, not to be written to; None where a
        sign is not known or there is no letter and no tone.
    """
    return _features(_plain(phone))


def distance(phone: str, other: str) -> float:
    """Return how far two phones are apart, from 0 to 1: see `distances`."""
    return float(distances([phone], [other])[0, 0])


def distances(phones: Sequence[str], others: Sequence[str]) -> Distances:
    """Return how far phones are apart: the share of the features in which they differ.

    Phones of several segments are aligned: a pair of segments costs the share of features in which they differ, one
    that is left over costs 1, and the sum is divided by the number of segments of the longer phone. A phone without
    features is 1 from all but itself. Phones that are written differently may be 0 apart, such as `e̞` and `e`.

    Args:
        phones: for the rows.
        others: for the columns.

    Returns:
        (phones, others) from 0 to 1.
    """
    rows, columns = [_plain(phone) for phone in phones], [_plain(phone) for phone in others]
    number = {phone: place for place, phone in enumerate([*rows, *columns])}
    found = np.not_equal.outer([number[one] for one in rows], [number[one] for one in columns]).astype(np.float64)
    for above, first in _by_segments(rows):
        for beside, second in _by_segments(columns):
            found[np.ix_(above, beside)] = _aligned(first, second)
    return found


def _by_segments(phones: Sequence[str]) -> Iterator[tuple[list[int], Features]]:
    """The places of phones with as many segments, and their features: (phones, segments, 24)."""
    known = {place: one for place, phone in enumerate(phones) if (one := _features(phone)) is not None}
    for count in {len(one) for one in known.values()}:
        places = [place for place, one in known.items() if len(one) == count]
        yield places, np.stack([known[place] for place in places])


def _aligned(first: Features, second: Features) -> Distances:
    """The distances of all pairs: (phones, segments, 24), (others, segments, 24) -> (phones, others)."""
    height, width = first.shape[1], second.shape[1]
    above = [np.full((len(first), len(second)), float(column)) for column in range(width + 1)]
    for row in range(height):
        here = [above[0] + 1]
        for column in range(width):
            paired = above[column] + _shares(first[:, row], second[:, column])
            here.append(np.minimum(paired, np.minimum(above[column + 1], here[column]) + 1))
        above = here
    found: Distances = above[-1] / max(height, width)
    return found


def _shares(first: Features, second: Features) -> Distances:
    """The share of features in which segments differ: (n, 24), (m, 24) -> (n, m)."""
    same = np.zeros((len(first), len(second)))
    for value in _VALUES.values():
        same += (first == value).astype(float) @ (second == value).astype(float).T
    return (len(FEATURES) - same) / len(FEATURES)


def _plain(phone: str) -> str:
    """One way to write what may be written in several."""
    text = unicodedata.normalize("NFD", phone)
    for sign, same in _SAME.items():
        text = text.replace(sign, same)
    return text


@lru_cache(maxsize=1 << 16)
def _features(text: str) -> Features | None:
    letters = _letters(text)
    if letters is None:
        return None
    segments = []
    while letters:
        pair = _as_segment(letters[:2]) if len(letters) > 1 else None
        segment = pair or _as_segment(letters[:1])
        assert segment is not None  # every letter is a segment
        segments.append(segment)
        letters = letters[2 if pair else 1 :]
    found = np.array(segments, np.int8)
    found.setflags(write=False)
    return found


def _letters(text: str) -> list[_Letter] | None:
    """The letters of a phone with their signs; those before the first letter belong to it."""
    letters: list[_Letter] = []
    leading = ""
    for sign in text.replace(_TIE, ""):
        if sign in _segments():
            letters.append(_Letter(sign, "" if letters else leading))
        elif sign not in _modifiers():
            return None
        elif letters:
            letters[-1] = _Letter(letters[-1].letter, letters[-1].signs + sign)
        else:
            leading += sign
    if letters:
        return letters
    return [_Letter("", leading)] if any(_modifiers()[sign].levels for sign in leading) else None


def _as_segment(letters: Sequence[_Letter]) -> list[int] | None:
    """The features of letters that are one segment; None where they are not."""
    signs = "".join(one.signs for one in letters)
    dental = "".join(one.letter + _DENTAL * (_DENTAL in one.signs) for one in letters)
    if dental in _segments():  # where PanPhon has the dental itself, that counts
        return _modified(_segments()[dental], signs.replace(_DENTAL, ""))
    name = "".join(one.letter for one in letters)
    return _modified(_segments()[name], signs) if name in _segments() else None


def _modified(segment: Sequence[int], signs: str) -> list[int]:
    values = list(segment)
    levels = [level for sign in signs for level in _modifiers()[sign].levels]
    for sign in signs:
        for place, value in _modifiers()[sign].changes.items():
            values[place] = value
    if levels:
        values[-2:] = _LEVELS[round(sum(levels) / len(levels)) - 1]
    return values


@cache
def _segments() -> dict[str, tuple[int, ...]]:
    """Features by the letters of a segment, without ties; "" is what a tone alone is."""
    found = {
        _plain(row["ipa"]).replace(_TIE, ""): tuple(_VALUES[row[name]] for name in FEATURES)
        for row in _rows("segments.csv")
    }
    others = {name.replace(_DENTAL, ""): values for name, values in found.items()}  # `tθ` is `t̪͡θ`
    return {"": (0,) * len(FEATURES)} | others | found


@cache
def _modifiers() -> dict[str, _Modifier]:
    return {
        chr(int(row["sign"], 16)): _Modifier(
            {FEATURES.index(change[1:]): _VALUES[change[0]] for change in row["changes"].split()},
            tuple(map(int, row["tones"])),
        )
        for row in _rows("modifiers.csv")
    }


def _rows(name: str) -> list[dict[str, str]]:
    table = files("xlsr").joinpath("assets", "panphon", name).read_text("utf-8")
    return list(csv.DictReader(table.splitlines()))
