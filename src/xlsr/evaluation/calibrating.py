"""Scores to probabilities: fitted on what was heard, proved on voices that were held out, stored in `xlsr.json`.

Knows judged utterances and model folders; `decoding.calibration` has the arithmetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.checkpoint.copies import copy_model
from xlsr.checkpoint.folder import update_extras
from xlsr.config import Json
from xlsr.decoding.calibration import KEY, TEMPERATURES, Calibration, fit_temperature, fit_words, is_searched
from xlsr.decoding.confidence import EVIDENCE, token_log_probs, word_evidence
from xlsr.decoding.hypothesis import Hypothesis, word_spans
from xlsr.errors import XlsrError
from xlsr.metrics import Confidence, Scored, Unit, calibration_error, judge, measure_confidence, reliability, units_of
from xlsr.recognizer import Recognizer
from xlsr.results import Word
from xlsr.stitching import LogProbs
from xlsr.tables import Table
from xlsr.tokenizer import Tokenizer

Floats = NDArray[np.float64]

MIN_WORDS = 50
"""In each half; with fewer neither the weights nor the proof would mean much."""


@dataclass(frozen=True)
class WordNotes:
    """What a calibration is fitted to, of one word that was heard.

    Attributes:
        text: as it is written.
        evidence: (len(EVIDENCE),).
        tokens: its characters; none where it is a phone.
        token_log_probs: (tokens, len(TEMPERATURES)).
        searched: whether a search found it.
    """

    text: str
    evidence: Floats
    tokens: tuple[str, ...]
    token_log_probs: Floats
    searched: bool


class Observer:
    """Stands where a calibration would: leaves scores as they are, and takes notes of every word."""

    def __init__(self) -> None:
        self._notes: deque[WordNotes] = deque()

    def __call__(
        self, words: Sequence[Word], hypotheses: Sequence[Hypothesis], log_probs: LogProbs, tokenizer: Tokenizer
    ) -> list[Word]:
        """Take notes of the words of the best hypothesis, and return them."""
        searched = is_searched(hypotheses)
        evidence = word_evidence(hypotheses, log_probs, tokenizer)
        for spans, word, row in zip(word_spans(hypotheses[0], tokenizer), words, evidence, strict=True):
            tokens = tuple(character.text for character in word.characters)
            scores = token_log_probs(spans if tokens else (), log_probs, TEMPERATURES)
            self._notes.append(WordNotes(word.text, row, tokens, scores, searched))
        return list(words)

    def take(self, count: int) -> tuple[WordNotes, ...]:
        """Return the notes of the next transcript, which has so many words."""
        return tuple(self._notes.popleft() for _ in range(count))


@dataclass(frozen=True)
class Fitted:
    """A calibration, and what it did to scores on which it was not fitted.

    Attributes:
        calibration: fitted on everything; the one that is stored.
        folder: whose `xlsr.json` holds it.
        unit: what the halves have none of in common.
        before: of the half that was held out, as the scores were.
        after: of the same half, by a calibration that was fitted on the other one.
        characters: the calibration error of the scores of characters there, before and after; None of phones.
    """

    calibration: Calibration
    folder: Path
    unit: Unit
    before: Confidence
    after: Confidence
    characters: tuple[float, float] | None

    @property
    def note(self) -> str:
        """What was fitted and proved, and where it lies."""
        origin = self.calibration.fitted_on
        told = (
            f"calibrated on {origin['words']} words, stored in {self.folder / 'xlsr.json'}; fitted on one half and "
            f"applied to the other, which shares no {self.unit} with it, the calibration error goes from "
            f"{self.before.error:.3f} to {self.after.error:.3f}"
        )
        if self.characters is None:
            return told
        before, after = self.characters
        scale = self.calibration.temperature
        return f"{told}; that of characters from {before:.3f} to {after:.3f}, by a temperature of {scale:.2f}"

    def table(self) -> Table:
        """Return a row for the half that was held out, before and after."""
        rows = (("as they were", *self.before.row()), ("calibrated", *self.after.row()))
        return Table(("scores of the half held out", *Confidence.COLUMNS), rows)

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON values."""
        return {
            "folder": str(self.folder),
            "stored": self.calibration.to_dict(),
            "halves_by": self.unit,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "characters": self.characters,
        }


@dataclass(frozen=True)
class Judged:
    """An utterance with the notes of its words, and what became of them and of their tokens.

    Attributes:
        item: its words are those of the evidence.
        evidence: (words, len(EVIDENCE)).
        token_log_probs: (tokens, len(TEMPERATURES)).
        token_right: (tokens,).
        searched: whether a search found them.
    """

    item: Scored
    evidence: Floats
    token_log_probs: Floats
    token_right: NDArray[np.bool_]
    searched: bool


def fit_and_store(recognizer: Recognizer, judged: Sequence[Judged], folder: Path, *, manifest: str) -> Fitted:
    """Fit a calibration, prove it on the voices of one half, and store it.

    Args:
        recognizer: that heard the utterances.
        judged: what it heard.
        folder: of `writable_folder`; becomes a copy of the model's where it is another.
        manifest: for those who read the file.

    Raises:
        XlsrError: there are too few words.
    """
    second, unit = _halves([one.item for one in judged])
    halves = [[one for one, is_second in zip(judged, second, strict=True) if is_second == half] for half in (0, 1)]
    counts = [sum(len(one.item.words) for one in half) for half in halves]
    if min(counts) < MIN_WORDS:
        raise XlsrError(
            f"{counts[0]} words were heard in one half of {manifest} and {counts[1]} in the other, which share no "
            f"{unit}; {MIN_WORDS} in each are wanted: calibrate on more recordings"
        )
    trial = _fit(halves[0])
    before = measure_confidence([one.item for one in halves[1]])
    after = measure_confidence([_rescored(one, trial) for one in halves[1]])
    assert before is not None
    assert after is not None
    calibration = replace(
        _fit(judged),
        language=recognizer.tokenizer.language,
        fitted_on=_origin(judged, manifest, unit, before, after),
    )
    copy_model(recognizer.description, folder)
    update_extras(folder, {KEY: calibration.to_dict()})
    return Fitted(calibration, folder, unit, before, after, _character_errors(halves[1], trial.temperature))


def judge_notes(
    item: Scored, notes: Sequence[WordNotes], normalize: Callable[[str], str], units: Callable[[str], list[str]]
) -> Judged:
    """Say of each word of an utterance, and of each of its tokens, whether it is right.

    Args:
        item: the utterance.
        notes: of every word that was heard in it, those too that normalisation leaves nothing of.
        normalize: the form in which texts are compared.
        units: the words of a text.
    """
    verdicts = judge(units(item.reference), [normalize(note.text).split() for note in notes])
    kept = [note.evidence for note, verdict in zip(notes, verdicts, strict=True) if verdict is not None]
    assert len(kept) == len(item.words)
    # Spaces between words take part in the alignment, but are no tokens.
    parts = [part for note in notes for part in (*map(normalize, note.tokens), " ")]
    scores = [row for note in notes for row in (*note.token_log_probs, None)]
    judged = zip(scores, judge(list(item.reference), parts), strict=True)
    tokens = [(row, right) for row, right in judged if row is not None and right is not None]
    return Judged(
        item,
        np.array(kept).reshape(-1, len(EVIDENCE)),
        np.array([row for row, _ in tokens]).reshape(-1, len(TEMPERATURES)),
        np.array([right for _, right in tokens], bool),
        any(note.searched for note in notes),
    )


def _fit(judged: Sequence[Judged]) -> Calibration:
    right = np.array([word.right for one in judged for word in one.item.words], bool)
    bias, weights = fit_words(np.concatenate([one.evidence for one in judged]), right)
    tokens = np.concatenate([one.token_log_probs for one in judged])
    temperature = fit_temperature(tokens, np.concatenate([one.token_right for one in judged]))
    return Calibration(bias, weights, temperature, any(one.searched for one in judged))


def _rescored(one: Judged, calibration: Calibration) -> Scored:
    """The utterance with the scores that a calibration gives its words."""
    scores = calibration.word_probabilities(one.evidence).tolist()
    words = tuple(replace(word, score=score) for word, score in zip(one.item.words, scores, strict=True))
    return replace(one.item, words=words, score=sum(scores) / len(scores) if scores else None)


def _character_errors(judged: Sequence[Judged], temperature: float) -> tuple[float, float] | None:
    """The calibration error of characters as their scores are, and at a temperature."""
    right = np.concatenate([one.token_right for one in judged])
    if not len(right):
        return None
    chances = np.exp(np.concatenate([one.token_log_probs for one in judged]))
    columns = (len(TEMPERATURES) // 2, TEMPERATURES.index(temperature))
    before, after = (calibration_error(reliability(chances[:, column], right)) for column in columns)
    return before, after


def _halves(items: Sequence[Scored]) -> tuple[list[bool], Unit]:
    """Which utterances are held out, about half of the words and none of the speakers of the others."""
    groups, unit = units_of(len(items), [item.speaker for item in items])
    words = np.bincount(groups, weights=[len(item.words) for item in items])
    held, sums = np.zeros(len(words), bool), np.zeros(2)
    for group in np.argsort(-words, kind="stable"):  # the largest first, each to the half that has less
        held[group] = sums[1] < sums[0]
        sums[int(held[group])] += words[group]
    return held[groups].tolist(), unit


def _origin(
    judged: Sequence[Judged], manifest: str, unit: Unit, before: Confidence, after: Confidence
) -> dict[str, Json]:
    """Where a calibration comes from; of paths only the name, as folders are handed on."""
    return {
        "manifest": Path(manifest).name,
        "words": sum(len(one.item.words) for one in judged),
        "held_out": {
            "by": unit,
            "words": after.words,
            "ece_before": round(before.error, 4),
            "ece": round(after.error, 4),
        },
    }
