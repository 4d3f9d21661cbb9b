"""What a decoder returns: tokens with the frames they fill and their scores, and the words they spell. Floor 2.

Every decoder, and forced alignment, ends in these types; `words_of` takes them to seconds. Does not know log
probabilities (the decoders do) or output formats (`results`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from xlsr.results import Character, Word
from xlsr.tokenizer import Tokenizer

FRAME_SECONDS = 0.02  # 320 samples at 16 kHz
WILDCARD = -1  # in place of an id, in forced alignment: any symbols, or none


@dataclass(frozen=True)
class TokenSpan:
    """One token and the frames it fills.

    Attributes:
        id: of the vocabulary; never the blank.
        start: first frame.
        end: frame after the last.
        score: mean natural log-probability of the token over its frames.
    """

    id: int
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class SpeltWord:
    """A word that a lexicon names, and the tokens that spell it.

    Attributes:
        text: the word as it is written.
        start: place of its first token in `Hypothesis.spans`.
        end: place after its last token.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Hypothesis:
    """One way to read an utterance.

    Attributes:
        spans: its tokens in order of time.
        score: what the decoder ranks by; for the best path, the log-probability of all frames on it.
        acoustic_score: the network's part of `score`, where a decoder adds others.
        lm_score: the language model's part of `score`.
        words: as a lexicon names them; None: the tokens spell the words.
    """

    spans: tuple[TokenSpan, ...]
    score: float
    acoustic_score: float | None = None
    lm_score: float | None = None
    words: tuple[SpeltWord, ...] | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """Label ids; decode them with `group=False`, since repetitions are real."""
        return tuple(span.id for span in self.spans)


def words_of(
    hypothesis: Hypothesis,
    tokenizer: Tokenizer,
    *,
    frame_seconds: float = FRAME_SECONDS,
    offset_seconds: float = 0.0,
) -> list[Word]:
    """Group the tokens of a hypothesis into words with times and probabilities.

    A word reaches from its first token's first frame to its last token's last frame. Its score is the exponential of
    the mean of its tokens' scores. Of a phone model each phone is a word of its own, without characters; of a script
    without spaces each character is one; unless a lexicon named words.

    Args:
        hypothesis: of log-probabilities over this tokenizer's vocabulary.
        tokenizer: names the symbols and the word delimiter.
        frame_seconds: seconds a frame.
        offset_seconds: time of the first frame in the recording.
    """

    def character(span: TokenSpan) -> Character:
        return Character(
            text=_symbol(tokenizer, span),
            start=offset_seconds + span.start * frame_seconds,
            end=offset_seconds + span.end * frame_seconds,
            score=_probability([span]),
        )

    words = []
    groups = word_spans(hypothesis, tokenizer)
    for text, group in zip(_texts(hypothesis, groups, tokenizer), groups, strict=True):
        characters = tuple(character(span) for span in group)
        words.append(
            Word(
                text=text,
                start=characters[0].start,
                end=characters[-1].end,
                score=_probability(group),
                characters=() if tokenizer.is_phones else characters,
            )
        )
    return words


def word_spans(hypothesis: Hypothesis, tokenizer: Tokenizer) -> list[list[TokenSpan]]:
    """Return the tokens of each word of `words_of`, without delimiters."""
    if hypothesis.words is not None:
        return [list(hypothesis.spans[word.start : word.end]) for word in hypothesis.words]
    delimiter = None if tokenizer.word_delimiter is None else tokenizer.vocab[tokenizer.word_delimiter]
    if tokenizer.is_phones or delimiter is None:
        return [[span] for span in hypothesis.spans if span.id != delimiter]
    runs = groupby(hypothesis.spans, key=lambda span: span.id == delimiter)
    return [list(run) for is_delimiter, run in runs if not is_delimiter]


def _texts(hypothesis: Hypothesis, groups: Sequence[Sequence[TokenSpan]], tokenizer: Tokenizer) -> list[str]:
    """Each word as it is written."""
    if hypothesis.words is not None:
        return [word.text for word in hypothesis.words]
    texts = ["".join(tokenizer.symbol(span.id) for span in group) for group in groups]
    return [text.lower() for text in texts] if tokenizer.lowercase else texts


def _symbol(tokenizer: Tokenizer, span: TokenSpan) -> str:
    symbol = tokenizer.symbol(span.id)
    return symbol.lower() if tokenizer.lowercase else symbol


def _probability(spans: list[TokenSpan]) -> float:
    return min(1.0, math.exp(sum(span.score for span in spans) / len(spans)))
