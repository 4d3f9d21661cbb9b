"""What log-probabilities say for each word of a hypothesis, and how sure they are of each token. Floor 2, NumPy only.

A word's own probability is a poor judge: a network that trained until it was sure is sure of its errors too. The
evidence gathered here looks beside it: at the weakest letter, at what else was likely, at the entropy of the frames, at
what the other hypotheses say. It makes no probability; `calibration` learns from it how often such words are right.

Source: Laptev & Ginsburg, "Fast entropy-based methods of word-level confidence estimation for end-to-end automatic
speech recognition", SLT 2022 (`frame_certainty` is their Tsallis measure, linearly normalised); Wessel et al.,
"Confidence measures for large vocabulary continuous speech recognition", IEEE TSAP 2001 (agreement of the n best).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xlsr.decoding.hypothesis import Hypothesis, TokenSpan, word_spans
from xlsr.tokenizer import Tokenizer

Floats = npt.NDArray[np.float64]

EVIDENCE = ("mean", "weakest", "rivals", "certainty", "doubt", "length", "agreement")
"""The columns of `word_evidence`; all but `length` are log-odds, higher for surer words.

    mean        geometric mean of its tokens' probabilities
    weakest     its least likely token
    rivals      the frame where the most goes to symbols that are neither blank nor the word's own there
    certainty   mean of `frame_certainty` where its tokens are
    doubt       the least `frame_certainty` from its first frame to its last
    length      natural logarithm of the number of its tokens
    agreement   share of the n best hypotheses, by their probability, with this word at this place
"""

# The exponent that Laptev & Ginsburg found best: entropy then counts faint rivals more than Shannon's.
_EXPONENT = 1 / 3
# Probabilities are taken as this far from 0 and 1 at least: log-odds of 11.5.
_LEAST = 1e-5


def word_evidence(
    hypotheses: Sequence[Hypothesis], log_probs: npt.NDArray[np.floating], tokenizer: Tokenizer
) -> Floats:
    """Return what speaks for each word of the best hypothesis.

    Args:
        hypotheses: best first; those after the first only say whether they agree.
        log_probs: (frames, vocab) natural log-probabilities that they were decoded from.
        tokenizer: of that vocabulary.

    Returns:
        (words, len(EVIDENCE)), a row for each word of `words_of`.
    """
    words = word_spans(hypotheses[0], tokenizer)
    if not words:
        return np.zeros((0, len(EVIDENCE)))
    certainty = frame_certainty(log_probs)
    rivals = _rivals(hypotheses[0].spans, log_probs, tokenizer.blank_id)
    rows = []
    for spans, agreed in zip(words, _agreement(hypotheses, words, tokenizer), strict=True):
        whole = slice(spans[0].start, spans[-1].end)
        inside = np.concatenate([certainty[span.start : span.end] for span in spans])
        scores = [span.score for span in spans]
        odds = [
            math.exp(sum(scores) / len(scores)),
            math.exp(min(scores)),
            1 - rivals[whole].max(),
            inside.mean(),
            certainty[whole].min(),
        ]
        rows.append([*_log_odds(np.array(odds)), math.log(len(spans)), *_log_odds(np.array([agreed]))])
    return np.array(rows)


def frame_certainty(log_probs: npt.NDArray[np.floating]) -> Floats:
    """Return how far each frame is from knowing nothing: (frames, vocab) -> (frames,), 1 if one symbol has all.

    One minus Tsallis' entropy of exponent 1/3 by its greatest value: (V^(2/3) - sum p^(1/3)) / (V^(2/3) - 1).
    """
    most = log_probs.shape[1] ** (1 - _EXPONENT)
    sums = np.exp(_EXPONENT * log_probs.astype(np.float64)).sum(axis=1)
    certainty: Floats = np.clip((most - sums) / (most - 1), 0, 1)
    return certainty


def token_log_probs(
    spans: Sequence[TokenSpan], log_probs: npt.NDArray[np.floating], temperatures: Sequence[float]
) -> Floats:
    """Return the mean log-probability of each token over its frames at other temperatures.

    Args:
        spans: tokens of a hypothesis.
        log_probs: (frames, vocab) natural log-probabilities.
        temperatures: that log-probabilities are divided by and then normalised again; above 1 they are less sure.

    Returns:
        (tokens, temperatures).
    """
    if not spans:
        return np.zeros((0, len(temperatures)))
    lengths = np.array([span.end - span.start for span in spans])
    frames = np.concatenate([np.arange(span.start, span.end) for span in spans])
    ids = np.repeat([span.id for span in spans], lengths)
    rows = log_probs[frames].astype(np.float64)  # (token frames, vocab)
    rows -= rows.max(axis=1, keepdims=True)
    firsts = np.cumsum(lengths) - lengths
    columns = []
    for temperature in temperatures:
        scaled = rows / temperature
        own = scaled[np.arange(len(ids)), ids] - np.log(np.exp(scaled).sum(axis=1))
        columns.append(np.add.reduceat(own, firsts) / lengths)
    return np.stack(columns, axis=1)


def _rivals(spans: Sequence[TokenSpan], log_probs: npt.NDArray[np.floating], blank: int) -> Floats:
    """What each frame gives to symbols that a path of this text cannot have there: (frames,).

    A path may have the blank, and the token of the frame, or between two tokens either.
    """
    frames = np.arange(len(log_probs))
    ids = np.array([span.id for span in spans])
    last = np.searchsorted([span.start for span in spans], frames, side="right") - 1
    following = np.searchsorted([span.end for span in spans], frames, side="right")
    before = ids[np.maximum(last, 0)]  # ahead of the first token and behind the last one there is but one neighbour
    after = ids[np.minimum(following, len(ids) - 1)]
    probs = np.exp(
        log_probs[frames[:, None], np.stack([np.full_like(before, blank), before, after], axis=1)], dtype=float
    )
    own = probs[:, 0] + probs[:, 1] + np.where(before == after, 0, probs[:, 2])
    rivals: Floats = np.clip(1 - own, 0, 1)
    return rivals


def _agreement(
    hypotheses: Sequence[Hypothesis], words: Sequence[Sequence[TokenSpan]], tokenizer: Tokenizer
) -> Sequence[float]:
    """The share of all hypotheses, by their probability, that has each word of the best one where it is."""
    scores = np.array([hypothesis.score for hypothesis in hypotheses])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    found = np.full(len(words), shares[0])
    for hypothesis, share in zip(hypotheses[1:], shares[1:], strict=True):
        places: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for spans in word_spans(hypothesis, tokenizer):
            places[tuple(span.id for span in spans)].append((spans[0].start, spans[-1].end))
        for index, word in enumerate(words):
            start, end = word[0].start, word[-1].end
            others = places.get(tuple(span.id for span in word), ())
            found[index] += share * any(first < end and start < last for first, last in others)
    return found.tolist()


def _log_odds(probabilities: Floats) -> Floats:
    clipped = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return np.log(clipped) - np.log1p(-clipped)
