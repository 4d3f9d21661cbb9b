"""Texts -> a language model in a file: read, count, estimate, prune, write. Knows the order of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlsr.decoding.ngram.counts import NGramCounts
from xlsr.decoding.ngram.estimate import Discounts, Grams, estimate, estimate_discounts
from xlsr.decoding.ngram.model import BEGIN, END, MAX_ORDER, NGram, Unit, check_file, check_suffix
from xlsr.decoding.ngram.prune import prune_by_entropy
from xlsr.decoding.ngram.tables import Tables
from xlsr.decoding.ngram.text import STDIN, Corpus, Normalization, read_lines
from xlsr.decoding.ngram.trie import Level, build_trie
from xlsr.errors import LanguageModelError
from xlsr.tables import Table
from xlsr.version import __version__

_NEVER = -99.0 * np.log(10.0)  # <s> follows nothing; SRILM writes -99


@dataclass(frozen=True)
class BuildReport:
    """What a language model was made of, and what it became.

    Attributes:
        path: its file.
        unit: words or characters.
        normalization: what was done to the texts.
        sentences: lines with at least one word.
        tokens: words, or characters, in them.
        unknown: tokens outside the vocabulary, counted as <unk>.
        found: distinct n-grams of each order in the text.
        kept: n-grams of each order in the model; highest orders of which nothing is left are no part of it.
        discounts: of each order.
        bytes: size of the file.
    """

    path: Path
    unit: Unit
    normalization: str
    sentences: int
    tokens: int
    unknown: int
    found: tuple[int, ...]
    kept: tuple[int, ...]
    discounts: tuple[Discounts, ...]
    bytes: int

    def table(self) -> Table:
        """Return a row for each order."""
        columns = ("order", "n-grams found", "kept", "discounts 1, 2, 3+")
        rows = []
        for order, (found, discounts) in enumerate(zip(self.found, self.discounts, strict=True), 1):
            kept = self.kept[order - 1] if order <= len(self.kept) else 0
            taken = " ".join(f"{value:.3f}" for value in discounts.values)
            taken += "" if discounts.estimated else " (usual ones: too few counts to estimate them)"
            rows.append((str(order), f"{found:,}", f"{kept:,}", taken))
        return Table(columns, tuple(rows))

    def __str__(self) -> str:
        unit = {"word": "words", "char": "characters"}[self.unit]
        unknown = f", {self.unknown:,} of them unknown" if self.unknown else ""
        return (
            f"{self.sentences:,} sentences, {self.tokens:,} {unit}{unknown} ({self.normalization})\n"
            f"{self.table().to_text()}{self.path}: {self.bytes / 1e6:,.1f} MB"
        )


def build_lm(
    texts: Sequence[str | Path],
    out: str | Path,
    *,
    order: int = 3,
    unit: Unit = "word",
    prune: Sequence[int] = (0,),
    prune_entropy: float = 0.0,
    vocabulary: str | Path | None = None,
    vocab_size: int | None = None,
    lowercase: bool = True,
    drop_punctuation: bool = True,
    space: str = "|",
    quantize: bool = False,
    memory_mib: int = 1024,
) -> BuildReport:
    """Estimate an n-gram language model from texts, by interpolated modified Kneser-Ney as KenLM's lmplz.

    A line is a sentence; empty lines are none. Texts must be one sentence a line in the language of the recordings,
    written as they are spoken; they are normalised as `xlsr.normalize.normalize_text` does.

    Args:
        texts: UTF-8 files, plain or gzipped; `-` is stdin.
        out: `.arpa`, `.arpa.gz`, or `.ngram`, which loads at once.
        order: length of the longest n-grams.
        unit: `word`, or `char` for models of characters.
        prune: for orders 1, 2, …, n-grams that occur so often or less are left out, such as 0 0 1; the last one holds
            for all longer n-grams. Words are limited by the vocabulary instead.
        prune_entropy: leave out n-grams whose loss raises the perplexity by less than this share, such as 1e-8.
        vocabulary: a file with a word at the start of each line, such as a lexicon; all other words become <unk>.
        vocab_size: keep so many words (of the vocabulary), the commonest; all others become <unk>.
        lowercase: count words in lower case.
        drop_punctuation: count words without punctuation and symbols.
        space: the symbol of the space in a model of characters.
        quantize: a `.ngram` of three to five bytes an n-gram.
        memory_mib: for counting; what does not fit waits in temporary files. The model itself must fit besides.

    Raises:
        LanguageModelError: the texts cannot be read or hold no words, or an option makes no sense.
    """
    out = Path(out)
    check_suffix(out, quantize=quantize)
    thresholds = _check_options(order, prune, prune_entropy, vocab_size, memory_mib)
    normalization = Normalization(lowercase, drop_punctuation, unit, space)
    for path in texts if vocabulary is None else (*texts, vocabulary):  # all are there before work begins
        if str(path) != STDIN:
            check_file(Path(path))
    words = None if vocabulary is None else _read_vocabulary(vocabulary, normalization)
    memory = memory_mib << 20
    with Corpus(memory // 4) as corpus:
        for path in texts:
            corpus.read(path, normalization)
        corpus.number_words(words, vocab_size)
        tables, grams, discounts = _estimate(corpus, thresholds, prune_entropy, memory // 2)
        model = _model(grams, corpus.words, unit, _comment(normalization, thresholds, prune_entropy))
        unknown, _, sentences = corpus.counts[:3].tolist()
        tokens = int(corpus.counts.sum()) - sentences
    model.save(out, quantize=quantize)
    found = tuple(int(histogram.sum()) for histogram in tables.histograms)
    size = out.stat().st_size
    return BuildReport(out, unit, str(normalization), sentences, tokens, unknown, found, model.counts, discounts, size)


def _estimate(
    corpus: Corpus, thresholds: Sequence[int], prune_entropy: float, memory_bytes: int
) -> tuple[Tables, list[Grams], tuple[Discounts, ...]]:
    begin, end = corpus.words.index(BEGIN), corpus.words.index(END)
    words = corpus.counts.copy()
    words[begin] = words[end]
    with NGramCounts(len(thresholds), len(words), memory_bytes) as counted:
        if len(thresholds) > 1:
            counted.count(corpus.blocks(counted.block_rows), begin, end)
        tables = Tables(words, counted if len(thresholds) > 1 else None, begin)
        discounts = tuple(map(estimate_discounts, tables.histograms))
        grams = estimate(tables, discounts, thresholds)
    if prune_entropy:
        grams = prune_by_entropy(grams, prune_entropy, int(corpus.counts.sum()))
    while len(grams) > 1 and not len(grams[-1].prob):
        grams.pop()
    return tables, grams, discounts


def _model(grams: Sequence[Grams], words: Sequence[str], unit: Unit, comment: str) -> NGram:
    """Turn the tables into a trie."""
    rows = np.arange(len(words), dtype=np.int32)[:, None]
    levels: list[Level] = []
    for order, level in enumerate(grams, 1):
        if order > 1:
            rows = np.column_stack((level.first, rows[level.suffix]))
        log_prob = np.minimum(np.log(level.prob), 0.0)
        if order == 1:
            log_prob[words.index(BEGIN)] = _NEVER
        levels.append(Level(rows, log_prob.astype(np.float32), np.log(level.backoff).astype(np.float32)))
    arrays, counts = build_trie(levels)
    return NGram(arrays, tuple(words), counts, unit, comment)


def _check_options(
    order: int, prune: Sequence[int], prune_entropy: float, vocab_size: int | None, memory_mib: int
) -> list[int]:
    """Return the threshold of each order; raise LanguageModelError where an option makes no sense."""
    if not 1 <= order <= MAX_ORDER:
        raise LanguageModelError(f"order is {order}; wanted 1 to {MAX_ORDER}")
    if not 1 <= len(prune) <= order or list(prune) != sorted(prune) or prune[0] != 0:
        raise LanguageModelError(
            f"prune is {' '.join(map(str, prune))}; wanted a number for each order or less, 0 for single words (limit "
            "them by vocab_size), none below the one before, such as 0 0 1"
        )
    if not 0 <= prune_entropy < 1:
        raise LanguageModelError(f"prune_entropy is {prune_entropy}; wanted a share of the perplexity, such as 1e-8")
    if vocab_size is not None and vocab_size < 1:
        raise LanguageModelError(f"vocab_size is {vocab_size}; wanted at least one word")
    if memory_mib < 1:
        raise LanguageModelError(f"memory_mib is {memory_mib}; wanted at least 1")
    return [*prune, *[prune[-1]] * (order - len(prune))]


def _read_vocabulary(path: str | Path, normalization: Normalization) -> list[str]:
    firsts = (line.split(maxsplit=1)[:1] for line in read_lines(path))
    words = [word for first in firsts for part in first for word in normalization.words(part)]
    if not words:
        raise LanguageModelError(f"{path} has no words; wanted one at the start of each line")
    return words


def _comment(normalization: Normalization, thresholds: Sequence[int], prune_entropy: float) -> str:
    pruned = f"prune {' '.join(map(str, thresholds))}, prune_entropy {prune_entropy:g}"
    return (
        f"unit: {normalization.unit}\ntext: {normalization}\n"
        f"interpolated modified Kneser-Ney, {pruned}; xlsr {__version__}"
    )
