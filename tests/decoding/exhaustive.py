"""What a beam search must find: every alignment of a small problem, collapsed, read as words and added up."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from xlsr.decoding.hypothesis import Hypothesis
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.options import BeamOptions
from xlsr.tokenizer import Tokenizer

Tokens = tuple[int, ...]
Identity = tuple[object, ...]


class ReadWord(NamedTuple):
    text: str
    tokens: Tokens
    is_known: bool


class Found(NamedTuple):
    score: float
    acoustic: float
    lm: float


def places_of(wanted: list[list[str]], within: list[str]) -> set[int]:
    """The places of a sequence that lie in an occurrence of another one."""
    starts = ((a, len(w)) for w in wanted for a in range(len(within) - len(w) + 1) if within[a : a + len(w)] == w)
    return {place for start, length in starts for place in range(start, start + length)}


@cache
def collapsed(frames: int, vocab: int, blank: int) -> dict[Tokens, np.ndarray]:
    """Every path there is, (paths, frames), by the tokens that it collapses to."""
    found: dict[Tokens, list[Tokens]] = defaultdict(list)
    for path in itertools.product(range(vocab), repeat=frames):
        found[tuple(token for token, _ in itertools.groupby(path) if token != blank)].append(path)
    return {tokens: np.array(paths, int).reshape(len(paths), frames) for tokens, paths in found.items()}


class Exhaustive:
    """Scores every hypothesis of a small problem."""

    def __init__(self, tokenizer: Tokenizer, options: BeamOptions) -> None:
        self.tokenizer, self.options, self.lm = tokenizer, options, options.lm
        self.delimiter = None if tokenizer.word_delimiter is None else tokenizer.vocab[tokenizer.word_delimiter]
        self.is_word_lm = self.lm is not None and self.lm.unit == "word"
        lexicon, self.unk_score = options.lexicon, options.unk_score
        if lexicon is None and self.is_word_lm:
            lexicon = Lexicon.from_words([word for word in self.lm.words if "<" not in word], tokenizer)
            self.unk_score = -10.0 if self.unk_score is None else self.unk_score
        elif lexicon is not None and self.unk_score is None:
            self.unk_score = -math.inf
        new = {word for hotword in options.hotwords for word in hotword.split() if lexicon and word not in lexicon}
        if new:
            lexicon = lexicon.joined(Lexicon.from_words(sorted(new), tokenizer))
        self.is_closed = lexicon is not None and self.unk_score == -math.inf and (self.lm is None or self.is_word_lm)
        self.spellings: dict[Tokens, list[str]] | None = None if lexicon is None else defaultdict(list)
        for word in () if lexicon is None else lexicon.words:
            for spelling in lexicon.spellings_of(word):
                self.spellings[spelling].append(word)

    def hypotheses(self, log_probs: np.ndarray) -> dict[Identity, Found]:
        values = log_probs.astype(np.float64)
        if self.options.sil_score:
            values[:, self.delimiter] += self.options.sil_score
        scores: dict[Identity, list[float]] = defaultdict(list)
        words_of: dict[Identity, list[ReadWord]] = {}
        for tokens, paths in collapsed(*values.shape, self.tokenizer.blank_id).items():
            of_paths = values[np.arange(len(values)), paths].sum(axis=1)
            for words in self.readings(tokens):
                identity = tuple(word.text if self.is_closed else word[:2] for word in words)
                scores[identity] += of_paths.tolist()
                words_of[identity] = words
        found = {}
        for identity, words in words_of.items():
            total = float(np.logaddexp.reduce(scores[identity])) if self.options.log_add else max(scores[identity])
            lm = self.options.lm_weight * self.language(words)
            found[identity] = Found(total + lm + self.bonus(words), total, lm)
        return found

    def readings(self, tokens: Tokens) -> Iterator[list[ReadWord]]:
        """Every way to read tokens as words; without a delimiter and a lexicon all tokens are one word."""
        if self.delimiter is not None:
            runs = itertools.groupby(tokens, key=lambda token: token == self.delimiter)
            parts = [[tuple(run) for is_delimiter, run in runs if not is_delimiter]]
        else:
            parts = [[tokens]] if self.spellings is None else self.segmentations(tokens)
        for part in parts:
            yield from map(list, itertools.product(*map(self.words, part)))

    def segmentations(self, tokens: Tokens) -> Iterator[list[Tokens]]:
        if not tokens:
            yield []
        for spelling in self.spellings:
            if tokens[: len(spelling)] == spelling:
                yield from ([spelling, *rest] for rest in self.segmentations(tokens[len(spelling) :]))

    def words(self, tokens: Tokens) -> list[ReadWord]:
        if self.spellings is not None and tokens in self.spellings:
            return [ReadWord(name, tokens, True) for name in self.spellings[tokens]]
        unknown = [ReadWord(self.tokenizer.decode(tokens, group=False), tokens, False)]
        return [] if self.unk_score == -math.inf else unknown

    def language(self, words: list[ReadWord]) -> float:
        if self.lm is None:
            return 0.0
        units = [word.text if word.is_known else "<unk>" for word in words]
        if not self.is_word_lm:
            units = [*"|".join("".join(map(self.tokenizer.symbol, word.tokens)) for word in words)]
        return self.lm.score(units, bos=self.options.score_boundary, eos=self.options.score_boundary)

    def bonus(self, words: list[ReadWord]) -> float:
        unknown = [] if self.spellings is None else [word for word in words if not word.is_known]
        scores = (self.unk_score + min(0.0, self.unk_score) * max(0, len(word.tokens) - 6) / 6 for word in unknown)
        return self.options.word_score * len(words) + sum(scores) + self.hotwords(words)

    def hotwords(self, words: list[ReadWord]) -> float:
        """So many nats for each token of the hotwords heard."""
        if self.delimiter is None and self.spellings is None:  # tokens are heard one by one
            texts = [self.tokenizer.symbol(token) for token in words[0].tokens]
            wanted = [[*map(self.tokenizer.symbol, self.tokenizer.encode(word))] for word in self.options.hotwords]
            lengths = [1] * len(texts)
        else:
            texts, wanted = [word.text for word in words], [hotword.split() for hotword in self.options.hotwords]
            lengths = [max(map(len, self.spellings_of(word))) for word in words]
        return self.options.hotword_score * sum(lengths[place] for place in places_of(wanted, texts))

    def spellings_of(self, word: ReadWord) -> list[Tokens]:
        return [tokens for tokens, names in (self.spellings or {}).items() if word.text in names] or [word.tokens]

    def identity(self, hypothesis: Hypothesis) -> Identity:
        if hypothesis.words is not None:
            ids = hypothesis.ids
            return tuple(
                word.text if self.is_closed else (word.text, ids[word.start : word.end]) for word in hypothesis.words
            )
        (words,) = self.readings(hypothesis.ids)
        return tuple(word.text if self.is_closed else word[:2] for word in words)
