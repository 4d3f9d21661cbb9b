"""Utterances with timed phones -> two halves that share no voice, the phones to tell, the phone of each frame.

NumPy only; knows no network and opens no audio.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xlsr.analysis.pieces import Piece
from xlsr.audio import SAMPLE_RATE
from xlsr.data.manifest import Utterance
from xlsr.errors import ManifestError
from xlsr.recognizer import Failure

_FEWEST_SECONDS = 1.0  # of a phone in the half to learn from
_FEWEST_UNITS = 8  # voices or languages that make two halves


@dataclass(frozen=True)
class Halves:
    """A corpus divided for a probe.

    Attributes:
        train: utterances to learn from.
        test: utterances to be told.
        phones: of which there is a second or more in the first half, sorted.
        covered: their share of the time of all phones in the second half.
        units: what is on one side only: "speakers", "languages" or "recordings".
        left_out: utterances without times, and why.
    """

    train: tuple[Utterance, ...]
    test: tuple[Utterance, ...]
    phones: tuple[str, ...]
    covered: float
    units: str
    left_out: tuple[Failure, ...]

    def unit_of(self, utterance: Utterance) -> str:
        """What an utterance is kept together with."""
        return _unit(utterance, self.units)


def divide(rows: Sequence[Utterance], manifest: str, seed: int) -> Halves:
    """Divide a corpus into halves of about the same time.

    Speakers are kept apart where eight are known; else languages, whose words may be cut from one recording; else
    recordings.

    Args:
        rows: utterances; those without `alignment` are left out.
        manifest: its name, for messages.
        seed: of the draw.

    Raises:
        ManifestError: there are too few phones with times.
    """
    timed = [row for row in rows if row.alignment]
    left_out = tuple(Failure(row.name, f"{row.name} has no alignment") for row in rows if not row.alignment)
    units = _kept_apart(timed)
    members: dict[str, list[Utterance]] = defaultdict(list)
    for row in timed:
        members[_unit(row, units)].append(row)
    names = sorted(members)
    halves: tuple[list[Utterance], list[Utterance]] = ([], [])
    for place in np.random.default_rng(seed).permutation(len(names)):
        min(halves, key=_seconds).extend(members[names[place]])
    train, test = map(_by_phone, halves)
    phones = tuple(sorted(phone for phone, seconds in train.items() if seconds >= _FEWEST_SECONDS))
    covered = sum(test.get(phone, 0.0) for phone in phones) / max(sum(test.values()), 1e-9)
    if len(phones) < 2 or not covered:
        raise ManifestError(
            f"{manifest} has {len(timed)} utterances with alignment, and {len(phones)} phones of a second or more in "
            "the half to learn from; two such phones are wanted, and utterances of both halves"
        )
    return Halves(tuple(halves[0]), tuple(halves[1]), phones, covered, units, left_out)


def label_frames(piece: Piece, count: int, *, phones: Sequence[str], hop: int, field: int) -> NDArray[np.int64]:
    """Return the phone that is heard at the centre of each frame.

    Args:
        piece: of an utterance with alignment.
        count: frames.
        phones: whose places are the labels.
        hop: samples from one frame to the next.
        field: samples that a frame sees.

    Returns:
        (count,), -1 where none of these phones is heard.
    """
    centres = piece.start + (np.arange(count) * hop + field / 2) / SAMPLE_RATE
    places = {phone: place for place, phone in enumerate(phones)}
    labels = np.full(count, -1, np.int64)
    for part in piece.utterance.alignment:
        labels[(centres >= part.start) & (centres < part.end)] = places.get(part.label, -1)
    return labels


def _kept_apart(rows: Sequence[Utterance]) -> str:
    """What can be kept apart: speakers where enough are known, else languages, else recordings."""
    if len({row.speaker for row in rows} - {None}) >= _FEWEST_UNITS:
        return "speakers"
    return "languages" if len({row.language for row in rows} - {None}) >= _FEWEST_UNITS else "recordings"


def _unit(utterance: Utterance, units: str) -> str:
    """What an utterance is kept together with; a row without a speaker or language stands for itself."""
    known = {"speakers": utterance.speaker, "languages": utterance.language}.get(units)
    return known or str(utterance.audio)


def _seconds(half: list[Utterance]) -> float:
    return sum(row.duration for row in half)


def _by_phone(half: Sequence[Utterance]) -> dict[str, float]:
    """Seconds of each phone."""
    seconds: dict[str, float] = defaultdict(float)
    for row in half:
        for part in row.alignment:
            seconds[part.label] += part.end - part.start
    return seconds
