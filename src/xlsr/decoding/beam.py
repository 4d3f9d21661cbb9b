"""CTC beam search with a lexicon, an n-gram model and hotwords: log-probabilities -> the best hypotheses. Floor 2.

Four ways to use it: with nothing, over whatever can be spelt; with a model of characters; with a model of words,
where words that it does not know are spelt freely at the price of `unk_score`; and with a lexicon, whose words alone
are heard.

Knows words and their tokens. `options` holds what can be chosen, `assembly` turns it into arrays and numbers, `search`
works on those (there it is told what a prefix is and when a word ends), and times come from `viterbi`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.decoding.assembly import assemble
from xlsr.decoding.hypothesis import Hypothesis, SpeltWord, TokenSpan
from xlsr.decoding.lexicon import Lexicon, shortest_spellings
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.decoding.search.loop import search
from xlsr.decoding.viterbi import align_ids
from xlsr.errors import AlignmentError
from xlsr.tokenizer import Tokenizer

_LEAST = -1e30  # in place of -inf, so that no prefix becomes impossible


class BeamSearchDecoder:
    """Decode log-probabilities by prefix beam search.

    Args:
        tokenizer: names the columns of the log-probabilities.
        options: how to search, with which words and which language model.

    Raises:
        LexiconError: the lexicon cannot be read, or does not fit the vocabulary, or a hotword does not.
        LanguageModelError: the language model cannot be read, or does not fit the vocabulary.
        ConfigError: options that exclude each other.

    Source: Hannun et al. 2014; the options are those of torchaudio's `ctc_decoder`.
    """

    def __init__(self, tokenizer: Tokenizer, options: BeamOptions | None = None) -> None:
        options = options or BeamOptions()
        lexicon, lm = options.lexicon, options.lm
        lexicon = Lexicon.from_file(lexicon, tokenizer) if isinstance(lexicon, str | Path) else lexicon
        lm = NGram.load(lm) if isinstance(lm, str | Path) else lm
        self.tokenizer, self.options = tokenizer, options
        self._has_names = lexicon is not None
        self._model, self._rules, self._words = assemble(tokenizer, options, lexicon, lm)

    @property
    def nbest(self) -> int:
        """How many hypotheses it returns at most."""
        return self.options.nbest

    @property
    def names_words(self) -> bool:
        """Whether a lexicon names the words of its hypotheses."""
        return self._has_names

    def decode(self, log_probs: NDArray[np.floating]) -> list[Hypothesis]:
        """Return the best hypotheses, best first: `nbest` at most, one at least.

        Args:
            log_probs: (frames, vocab) natural log-probabilities; no frames give a hypothesis without tokens.

        Returns:
            Hypotheses that differ in their words, or in their tokens where no words are told. `score` is what they are
            ranked by; `acoustic_score` the log-probability of their paths, with `sil_score`; `lm_score` the weighted
            part of the language model; the rest are `word_score`, `unk_score` and hotwords. The times, and the scores
            of single tokens, are those of the best path.

        Raises:
            ValueError: not two axes, fewer columns than the vocabulary names, or NaN among the values.
        """
        values = self._checked(log_probs)
        delimiter, blank = self._rules.delimiter, self._rules.blank
        heard = values
        if self.options.sil_score:
            heard = values.copy()
            heard[:, delimiter] += np.float32(self.options.sil_score)
        scores, nodes, symbols, starts = search(heard, self._model, self._rules, self.options.nbest)
        if delimiter >= 0:  # around words a delimiter is as good as a blank
            values[:, blank] = np.maximum(values[:, blank], values[:, delimiter])
        found = []
        for row in np.argsort(-scores[:, 0], kind="stable").tolist():
            ids, words = self._spell(symbols[starts[row] : starts[row + 1]].tolist(), int(nodes[row]))
            spans, placed = self._align(values, ids, words)
            score, acoustic, lm = scores[row].tolist()
            found.append(Hypothesis(spans, score, acoustic, lm, tuple(placed) if self._has_names else None))
        return found

    def _checked(self, log_probs: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return a copy of the columns that the vocabulary names."""
        size = self.tokenizer.size
        if log_probs.ndim != 2 or log_probs.shape[1] < size:
            raise ValueError(
                f"log_probs have shape {log_probs.shape}; wanted (frames, vocab) with the vocabulary's {size} columns"
            )
        values = np.array(log_probs[:, :size], np.float32, order="C")
        if (is_nan := np.isnan(values).any(axis=1)).any():
            raise ValueError(f"log_probs are NaN in {int(is_nan.sum())} of {len(values)} frames")
        return np.clip(values, _LEAST, -_LEAST, out=values)

    def _align(
        self, values: NDArray[np.float32], ids: Sequence[int], words: Sequence[SpeltWord]
    ) -> tuple[tuple[TokenSpan, ...], Sequence[SpeltWord]]:
        """Return the times of tokens, and the words with their places among them."""
        if not ids:
            return (), words
        try:
            return tuple(align_ids(values, ids, self._rules.blank)), words
        except AlignmentError:
            # Of each word its likeliest spelling up to there is remembered; together they may want more frames than
            # there are, where some path with shorter ones did not.
            if not self._rules.closed:
                raise
        assert self._words is not None
        delimiter = [self._rules.delimiter] * (self._rules.delimiter >= 0)
        choices = [self._words.spellings_of(word.text) for word in words]
        places: list[SpeltWord] = []
        tokens: list[int] = []
        for word, spelling in zip(words, shortest_spellings(choices, is_delimited=bool(delimiter)), strict=True):
            tokens += [*delimiter * bool(tokens), *spelling]
            places.append(SpeltWord(word.text, len(tokens) - len(spelling), len(tokens)))
        return tuple(align_ids(values, tokens, self._rules.blank)), places

    def _spell(self, symbols: Sequence[int], node: int) -> tuple[list[int], list[SpeltWord]]:
        """Return the ids that symbols stand for, without a delimiter at the end, and the words among them."""
        delimiter, vocab = self._rules.delimiter, self.tokenizer.size
        ids: list[int] = []
        words: list[SpeltWord] = []
        start = 0
        for symbol in symbols:
            if symbol < vocab and symbol != delimiter:
                ids.append(symbol)
                continue
            name = None
            if symbol >= vocab:
                assert self._words is not None
                trie = self._words.trie
                name = self._words.words[trie.arrays.word[symbol - vocab]]
                ids += trie.spelling(trie.node_of(symbol - vocab)) if self._rules.closed else ()
            words.append(SpeltWord(name or self.tokenizer.decode(ids[start:], group=False), start, len(ids)))
            ids += [delimiter] * (delimiter >= 0)
            start = len(ids)
        if node:  # a word that did not end
            assert self._words is not None
            ids += self._words.trie.spelling(node)
            words.append(SpeltWord(self.tokenizer.decode(ids[start:], group=False), start, len(ids)))
        return ids[: words[-1].end] if words else ids, words
