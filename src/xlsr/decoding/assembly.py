"""Options, words and a language model -> the arrays and numbers of a beam search. Floor 2.

Decides what kind of search it is, refuses what does not go together, and looks words up: those of the lexicon in the
language model, hotwords in both. Knows no frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.decoding.hotwords import NO_HOTWORDS, HotUnit, HotwordArrays, build_hotwords
from xlsr.decoding.lexicon import NO_WORDS, Lexicon, LexiconArrays
from xlsr.decoding.ngram import NGram, NGramArrays
from xlsr.decoding.options import BeamOptions
from xlsr.decoding.search.model import CHAR_LM, NO_LM, NODE, SPELLING, WORD_LM, Model, Rules
from xlsr.errors import ConfigError, LanguageModelError, LexiconError
from xlsr.tokenizer import SPECIAL_SYMBOLS, Tokenizer

UNK_SCORE = -10.0  # of a word outside a language model, where nothing is said
UNK_LENGTH = 6  # tokens that it has for that; each further one costs a sixth more, or it would swallow its neighbours
_NO_UNKNOWN = -200.0  # nats: a word less likely is none of the model's; <unk> gets 10^-100 where a file has none
_SPACE = "|"  # in a language model of characters
_NO_LM = NGramArrays(
    np.zeros(1, np.float32), np.zeros(1, np.float32), np.full(1, -1, np.int32),
    np.full(1, -1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.uint8),
)  # fmt: skip

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Assembly(NamedTuple):
    """What a search takes, and the words that its symbols stand for.

    Attributes:
        model: arrays.
        rules: numbers.
        words: those that are known; None: no word is told from another.
    """

    model: Model
    rules: Rules
    words: Lexicon | None


def assemble(tokenizer: Tokenizer, options: BeamOptions, lexicon: Lexicon | None, lm: NGram | None) -> Assembly:
    """Make ready what `search` takes.

    Args:
        tokenizer: of the network.
        options: all but the lexicon and the language model are read.
        lexicon: words that are known; None: those of a language model of words.
        lm: of words or of characters.

    Raises:
        LexiconError: a hotword cannot be spelt.
        LanguageModelError: a model of words where none can be told, or one of other characters.
        ConfigError: options that exclude each other.
    """
    unit = NO_LM if lm is None else CHAR_LM if lm.unit == "char" else WORD_LM
    words = _known_words(tokenizer, lexicon, lm, options.hotwords)
    unk_score = options.unk_score
    if unk_score is None:
        unk_score = 0.0 if words is None else UNK_SCORE if lexicon is None else -math.inf
    closed = words is not None and unk_score == -math.inf and unit != CHAR_LM
    _check(tokenizer, options, words, closed=closed)
    scores = _WordScores(lm, options.lm_weight)
    outside = 0.0 if unk_score == -math.inf else unk_score + scores.outside
    hot, ends, hot_gain = _hotwords(tokenizer, options, words)
    trie = NO_WORDS if words is None else words.trie.arrays
    tokens = _tokens_of(tokenizer)
    rate = min(0.0, unk_score) / UNK_LENGTH if unk_score > -math.inf else 0.0
    nodes, spellings = _records(words, scores, ends)
    if words is not None and unk_score > -math.inf:
        beyond = np.maximum(0, words.trie.depths() - UNK_LENGTH)
        nodes["look"][:-1] = np.maximum(nodes["look"][:-1], outside + rate * beyond)
    spellings["hot"] = np.where(spellings["hot"] < 0, hot.first_end, spellings["hot"])
    model = Model(
        _constant(nodes), _constant(spellings), NGramArrays(*(_constant(array) for array in scores.arrays)),
        _constant(_token_ids(tokenizer, lm)), _constant(tokens), hot,
    )  # fmt: skip
    rules = Rules(
        blank=tokenizer.blank_id, delimiter=delimiter_of(tokenizer), closed=closed, log_add=options.log_add,
        beam_size=options.beam_size, beam_size_token=options.beam_size_token or tokenizer.size,
        beam_threshold=float(options.beam_threshold), branching=_branching(trie, tokens, tokenizer, closed=closed),
        lm_unit=unit, start=scores.start if options.score_boundary else 0,
        end=scores.end if options.score_boundary else -1, unknown=scores.unknown, least=scores.least,
        lm_weight=float(options.lm_weight), word_score=float(options.word_score), unk_score=float(unk_score),
        unk_length=UNK_LENGTH, unk_rate=rate, unk_look=outside, gain=hot_gain + max(0.0, outside),
    )  # fmt: skip
    return Assembly(model, rules, words)


def _records(
    words: Lexicon | None, scores: _WordScores, ends: dict[str, int]
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the trie and its spellings."""
    trie = NO_WORDS if words is None else words.trie.arrays
    nodes, spellings = np.zeros(len(trie.first_child), NODE), np.zeros(len(trie.word), SPELLING)
    nodes["first_child"], nodes["first_spelling"], nodes["token"][:-1] = trie.first_child, trie.first_entry, trie.token
    spellings["word"], spellings["hot"] = trie.word, -1
    if words is not None:
        ids = scores.ids(words.words)
        nodes["look"][:-1] = words.trie.highest(scores.of(ids))
        spellings["lm_id"] = ids[trie.word]
        for name, end in ends.items():
            spellings["hot"][trie.word == words.words.index(name)] = end
    return nodes, spellings


def delimiter_of(tokenizer: Tokenizer) -> int:
    """Return the column of the word delimiter, or -1."""
    return -1 if tokenizer.word_delimiter is None else tokenizer.vocab[tokenizer.word_delimiter]


class _WordScores:
    """What a language model says of single words: ids, and weighted probabilities without a history."""

    def __init__(self, lm: NGram | None, weight: float) -> None:
        self._lm, self._weight = lm, weight
        self.arrays = _NO_LM if lm is None else lm.arrays
        self.start, self.end, self.unknown = (0, 0, 0) if lm is None else (lm.start, lm.end_id, lm.unk_id)
        self.least = -math.inf
        self.outside = 0.0
        if lm is not None and lm.unit == "word":
            single = lm.arrays.log_prob[1 : len(lm.words) + 1]
            if single[lm.unk_id] < _NO_UNKNOWN:  # a closed model: what it does not know is as rare as what is rarest
                self.least = float(single[single > _NO_UNKNOWN].min(initial=0.0))
            self.outside = weight * max(float(single[lm.unk_id]), self.least)

    def ids(self, words: Sequence[str]) -> Ints:
        """Return the id of each word, written as it is, else in lower or upper case: (words,) int32."""
        if self._lm is None or self._lm.unit == "char":
            return np.zeros(len(words), np.int32)
        ids = np.array([self._lm.id_of(word) for word in words], np.int32)
        for place in np.flatnonzero(ids == self.unknown).tolist():
            ids[place] = self._lm.id_of(known(words[place], self._lm) or words[place])
        return ids

    def of(self, ids: Ints) -> Floats:
        """Return the weighted log-probability of each word without a history: (words,) float32."""
        if self._lm is None or self._lm.unit == "char":
            return np.zeros(len(ids), np.float32)
        plain = self._weight * self.arrays.log_prob[ids + 1]
        return np.where(ids == self.unknown, np.float32(self.outside), plain).astype(np.float32)


def known(word: str, among: Lexicon | NGram) -> str | None:
    """Return a word as it is written there, as it is, else in lower or upper case; or None."""
    if word in among:
        return word
    return next((written for written in (word.lower(), word.upper()) if written in among), None)


def _known_words(
    tokenizer: Tokenizer, lexicon: Lexicon | None, lm: NGram | None, hotwords: Sequence[str]
) -> Lexicon | None:
    """Return the words that are known: the lexicon's, else the model's; and those of the hotwords."""
    if lexicon is None and (lm is None or lm.unit == "char"):
        return None
    if lexicon is None:
        assert lm is not None
        if tokenizer.is_phones or tokenizer.word_delimiter is None:
            why = "are phones" if tokenizer.is_phones else "have no word delimiter"
            raise LanguageModelError(
                f"a language model of words needs a lexicon where a model's symbols {why}: "
                "give a lexicon, or a language model of those symbols"
            )
        plain = [word for word in lm.words if not (word.startswith("<") and word.endswith(">"))]
        lexicon = Lexicon.from_words(plain, tokenizer, skip=True)
    new = {word for hotword in hotwords for word in hotword.split() if known(word, lexicon) is None}
    return lexicon.joined(Lexicon.from_words(sorted(new), tokenizer)) if new else lexicon


def _check(tokenizer: Tokenizer, options: BeamOptions, words: Lexicon | None, *, closed: bool) -> None:
    if words is None and options.unk_score is not None:
        raise ConfigError("unk_score needs words that are known: give a lexicon, or a language model of words")
    if tokenizer.word_delimiter is not None:
        return
    if options.sil_score:
        raise ConfigError("sil_score is for the word delimiter, which this model does not have")
    if words is None and options.word_score:
        raise ConfigError("word_score needs words, which this model does not separate: give a lexicon")
    if words is not None and not closed:
        raise ConfigError(
            "this model has no word delimiter: its lexicon can go neither with unknown words (unk_score) nor with a "
            "language model of characters"
        )


def _hotwords(
    tokenizer: Tokenizer, options: BeamOptions, words: Lexicon | None
) -> tuple[HotwordArrays, dict[str, int], float]:
    """Return the automaton, the symbol of the end of each known word in it, and the most that one symbol brings."""
    if not options.hotwords:
        return NO_HOTWORDS, {}, 0.0
    if not all(hotword.split() for hotword in options.hotwords):
        raise ConfigError("a hotword is empty; wanted words or phrases")
    ends: dict[str, int] = {}
    if words is None and tokenizer.word_delimiter is None:  # tokens by themselves, anywhere
        units = [_units_of_tokens(tokenizer, hotword) for hotword in options.hotwords]
        arrays, gain = build_hotwords(units, options.hotword_score, first_end=0, offset=1)
        return arrays, ends, gain
    units = []
    for hotword in options.hotwords:
        names = hotword.split()
        spelt = Lexicon.from_words(names, tokenizer) if words is None else words
        names = [known(name, spelt) or name for name in names]
        for name in names if words is not None else ():
            ends.setdefault(name, tokenizer.size + 1 + len(ends))
        units.append([HotUnit(ends.get(name, tokenizer.size), spelt.spellings_of(name)) for name in names])
    arrays, gain = build_hotwords(units, options.hotword_score, first_end=tokenizer.size, offset=0)
    return arrays, ends, gain


def _units_of_tokens(tokenizer: Tokenizer, hotword: str) -> list[HotUnit]:
    ids = tokenizer.encode(hotword if tokenizer.is_phones else "".join(hotword.split()))
    if tokenizer.unk_id in ids:
        raise LexiconError(f"the hotword {hotword!r} cannot be spelt with the model's vocabulary: leave it out")
    return [HotUnit(id + 1, ((),)) for id in ids]


def _tokens_of(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Return what can be heard: all but the blank and the marks of sentences and unknown symbols."""
    barred = {tokenizer.blank_id, tokenizer.unk_id}
    heard = (id for symbol, id in tokenizer.vocab.items() if id not in barred and symbol not in SPECIAL_SYMBOLS)
    return np.array(sorted(heard), np.int64)


def _token_ids(tokenizer: Tokenizer, lm: NGram | None) -> Ints:
    """Return a character model's id of each token: (vocab,) int32."""
    ids = np.zeros(tokenizer.size, np.int32)
    if lm is None or lm.unit == "word":
        return ids
    ids[:] = lm.unk_id
    for symbol, id in tokenizer.vocab.items():
        written = known(symbol, lm) or (_SPACE if symbol == tokenizer.word_delimiter else symbol)
        ids[id] = lm.id_of(written)
    if (ids[_tokens_of(tokenizer)] == lm.unk_id).all():
        raise LanguageModelError("the language model of characters knows none of the model's symbols")
    return ids


def _branching(trie: LexiconArrays, tokens: NDArray[np.int64], tokenizer: Tokenizer, *, closed: bool) -> int:
    """Return the most prefixes that can follow one: a child for each token, and a word for each spelling."""
    words = int(np.diff(trie.first_entry).max())
    if not closed:
        return len(tokens) + max(1, words)
    children = np.diff(trie.first_child)
    if tokenizer.word_delimiter is not None:
        return int(children.max()) + words
    below = trie.first_entry[trie.first_child[1:]] - trie.first_entry[trie.first_child[:-1]]
    return int((children + below).max())


def _constant(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array as one not to be written to, as those mapped from a file are: code is compiled for one kind."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
