"""Texts under a language model: log-probabilities and perplexities, with unknown words and without."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlsr.decoding.ngram.lookup import score_ids
from xlsr.decoding.ngram.model import END, NGram
from xlsr.decoding.ngram.text import Normalization, read_lines
from xlsr.errors import LanguageModelError
from xlsr.normalize import KEEPS_CASE, KEEPS_PUNCTUATION

_BLOCK_SENTENCES = 1 << 12


@dataclass(frozen=True)
class SentenceScore:
    """One line of a text.

    Attributes:
        log10_prob: decimal logarithm of its probability, </s> included.
        tokens: its words, or characters.
        unknown: those outside the model.
        unknown_log10_prob: their part of `log10_prob`.
    """

    log10_prob: float
    tokens: int
    unknown: int
    unknown_log10_prob: float


@dataclass(frozen=True)
class TextScore:
    """Texts under a language model, counted as KenLM's `query` counts: </s> is a token of each sentence.

    Attributes:
        sentences: lines that have words, in order.
        normalization: what was done to the texts.
    """

    sentences: tuple[SentenceScore, ...]
    normalization: str

    @property
    def log10_prob(self) -> float:
        """Decimal logarithm of the probability of all."""
        return math.fsum(sentence.log10_prob for sentence in self.sentences)

    @property
    def tokens(self) -> int:
        """Words, or characters, and ends of sentences."""
        return sum(sentence.tokens + 1 for sentence in self.sentences)

    @property
    def unknown(self) -> int:
        """Tokens outside the model."""
        return sum(sentence.unknown for sentence in self.sentences)

    @property
    def perplexity(self) -> float:
        """Per token, unknown ones included."""
        return float(10 ** (-self.log10_prob / self.tokens))

    @property
    def known_perplexity(self) -> float:
        """Per token, unknown ones left out of sum and count."""
        unknown = math.fsum(sentence.unknown_log10_prob for sentence in self.sentences)
        return float(10 ** (-(self.log10_prob - unknown) / (self.tokens - self.unknown)))

    def __str__(self) -> str:
        return (
            f"{len(self.sentences):,} sentences, {self.tokens:,} tokens with </s>, {self.unknown:,} unknown "
            f"({self.unknown / self.tokens:.2%}); {self.normalization}\n"
            f"log10 probability {self.log10_prob:.4f}\n"
            f"perplexity {self.perplexity:.4f}, without unknown words {self.known_perplexity:.4f}"
        )


def score_lm(
    model: NGram | str | Path,
    texts: Sequence[str | Path],
    *,
    lowercase: bool | None = None,
    drop_punctuation: bool | None = None,
    space: str = "|",
) -> TextScore:
    """Score texts under a language model, a sentence a line.

    Args:
        model: a model, or its file: `.arpa`, `.arpa.gz` or `.ngram`.
        texts: UTF-8 files, plain or gzipped; `-` is stdin.
        lowercase: score words in lower case; None: if the model counted them so, as its file may say, else yes.
        drop_punctuation: score words without punctuation and symbols; None: likewise.
        space: the symbol of the space in a model of characters.

    Raises:
        LanguageModelError: the model or a text cannot be read, or there are no words.
    """
    model = model if isinstance(model, NGram) else NGram.load(model)
    said = model.comment
    normalization = Normalization(
        KEEPS_CASE not in said if lowercase is None else lowercase,
        KEEPS_PUNCTUATION not in said if drop_punctuation is None else drop_punctuation,
        model.unit,
        space,
    )
    lines = (normalization.words(line) for path in texts for line in read_lines(path))
    sentences = tuple(_scores(model, filter(None, lines)))
    if not sentences:
        raise LanguageModelError("the texts have no words; wanted one sentence a line")
    return TextScore(sentences, str(normalization))


def _scores(model: NGram, sentences: Iterator[list[str]]) -> Iterator[SentenceScore]:
    while block := list(itertools.islice(sentences, _BLOCK_SENTENCES)):
        ids = np.array([model.id_of(word) for words in block for word in (*words, END)], np.int32)
        log10 = score_ids(model.arrays, model.start, ids, model.end_id) / np.float64(math.log(10))
        unknown = ids == model.unk_id
        lengths = np.array([len(words) for words in block])
        starts = np.cumsum(lengths + 1) - lengths - 1
        sums = (np.add.reduceat(values, starts) for values in (log10, unknown, np.where(unknown, log10, 0.0)))
        columns = [values.tolist() for values in sums]
        yield from (SentenceScore(p, n, u, q) for p, u, q, n in zip(*columns, lengths.tolist(), strict=True))
