"""Log-probabilities and a written text -> segments of words, characters and phones with times. Floor 3.

Joins the three parts of the folder: what the text sounds like, where its symbols are, where their sounds begin and end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from xlsr.alignment.boundaries import seconds_of, sound_edges
from xlsr.alignment.spelling import ANYTHING, Spelling, WrittenWord, spell
from xlsr.decoding.hypothesis import WILDCARD, TokenSpan
from xlsr.errors import AlignmentError
from xlsr.results import Character, Phone, Segment, Transcript, Word, split_segments
from xlsr.tokenizer import Tokenizer

DOUBTFUL_SCORE = 0.05


def align_text(
    log_probs: NDArray[np.floating],
    text: str,
    tokenizer: Tokenizer,
    *,
    language: str | None = None,
    levels: NDArray[np.floating] | None = None,
) -> tuple[Segment, ...]:
    """Find when each word of a text is said.

    Words keep the form in which they are written; numbers, symbols and letters outside the vocabulary have times too,
    but no scores. A lone `*` takes what is said and not written there; what is said before and after the text is
    passed over.

    Args:
        log_probs: (frames, vocab) of the recording.
        text: words, or for a phone model phones, with white space between. Of several lines each is a segment; one
            line is cut at pauses.
        tokenizer: of the model.
        language: ISO 639-3, in which numbers are said (needs unicode-rbnf).
        levels: (frames,) decibels, by `frame_levels`: words then end where the sound ends. Without, by a rule of thumb.

    Returns:
        Segments with words and characters, or with phones. A word that was not found (a number, a symbol) begins
        and ends where the word before it ends.

    Raises:
        AlignmentError: the text is longer than the recording can hold, or empty; or log-probabilities are NaN.
        ValueError: not as many levels as frames.
    """
    from xlsr.decoding.viterbi import align_ids  # numba, which takes a third of a second to load

    if levels is not None and len(levels) != len(log_probs):
        raise ValueError(f"levels has {len(levels)} frames; wanted the {len(log_probs)} of log_probs")
    if np.isnan(log_probs).any():
        raise AlignmentError("the log-probabilities are no numbers (NaN): the weights of the model are damaged")
    spelling = spell(text, tokenizer, language=language)
    spans = align_ids(log_probs, spelling.ids, tokenizer.blank_id, space_id=spelling.space_id)
    times = _times(spelling, spans, len(log_probs), levels, are_phones=tokenizer.is_phones)
    words: list[Word] = []
    lines: list[int] = []
    for written in spelling.words:
        word = _word(written, spelling, spans, times, before=words[-1].end if words else 0.0)
        if word.text != ANYTHING or word.start < word.end:
            words.append(replace(word, characters=()) if tokenizer.is_phones else word)
            lines.append(written.line)
    return _segments(words, lines, are_phones=tokenizer.is_phones)


def doubtful(transcript: Transcript) -> tuple[Word | Phone, ...]:
    """Return the words and phones of an aligned text that the recording does not seem to hold.

    They were not found at all, or their score is below `DOUBTFUL_SCORE`, or they have none, as nothing in them can be
    spelt with the model's symbols: there the text, or the model, is wrong.
    """
    parts: list[Word | Phone] = [*transcript.words, *transcript.phones]
    return tuple(
        part
        for part in parts
        if part.text != ANYTHING and (part.start == part.end or part.score is None or part.score < DOUBTFUL_SCORE)
    )


def _times(
    spelling: Spelling,
    spans: Sequence[TokenSpan],
    frames: int,
    levels: NDArray[np.floating] | None,
    *,
    are_phones: bool,
) -> NDArray[np.float64]:
    """Start and end of each symbol in seconds, NaN where it was not found: (labels, 2)."""
    # What is written as one word and said as several, such as 77, is several here: each space begins another.
    owners = np.cumsum([id == spelling.space_id for id in spelling.ids])
    for place, word in enumerate(spelling.words):
        owners[word.labels.start : word.labels.stop] += word.line if are_phones else place
    places = [place for place, span in enumerate(spans) if span.start < span.end and span.id != spelling.space_id]
    edges = sound_edges(
        [spans[place] for place in places], owners[places].tolist(), frames, levels=levels, can_part=are_phones
    )
    times = np.full((len(spans), 2), np.nan)
    times[places] = seconds_of(edges, frames)
    return times


def _word(
    written: WrittenWord, spelling: Spelling, spans: Sequence[TokenSpan], times: NDArray[np.float64], *, before: float
) -> Word:
    found = times[written.labels.start : written.labels.stop]
    found = found[~np.isnan(found[:, 0])]
    start, end = (float(found[0, 0]), float(found[-1, 1])) if len(found) else (before, before)
    characters: list[Character] = []
    for piece in written.pieces:
        inside = times[piece.labels.start : piece.labels.stop]
        inside = inside[~np.isnan(inside[:, 0])]
        # What is silent stands between its neighbours.
        last = characters[-1].end if characters else start
        first, last = (float(inside[0, 0]), float(inside[-1, 1])) if len(inside) else (last, last)
        edges = np.linspace(first, last, len(piece.text) + 1).tolist()
        score = _score(piece.labels, spelling, spans)
        characters += [
            Character(char, left, right, score)
            for char, (left, right) in zip(piece.text, pairwise(edges), strict=True)
            if char != " "
        ]
    return Word(written.text, start, end, _score(written.labels, spelling, spans), tuple(characters))


def _score(labels: range, spelling: Spelling, spans: Sequence[TokenSpan]) -> float | None:
    """The geometric mean of the symbols' probabilities; None where there is no symbol but wildcards."""
    scores = [spans[place].score for place in labels if spelling.ids[place] not in (WILDCARD, spelling.space_id)]
    return min(1.0, math.exp(sum(scores) / len(scores))) if scores else None


def _segments(words: Sequence[Word], lines: Sequence[int], *, are_phones: bool) -> tuple[Segment, ...]:
    """One for each line of the text; of a single line, as for transcripts."""
    if len(set(lines)) < 2:
        return split_segments(words, are_phones=are_phones)
    found: list[Segment] = []
    for _, group in groupby(zip(lines, words, strict=True), key=itemgetter(0)):
        line = split_segments(
            [word for _, word in group], max_gap_seconds=math.inf, max_seconds=math.inf, are_phones=are_phones
        )
        found += [replace(segment, id=len(found)) for segment in line]
    return tuple(found)
