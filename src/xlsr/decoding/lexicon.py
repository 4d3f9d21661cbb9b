"""Words and how a model's tokens spell them: lexicon files, word lists, and the trie that a search walks. Floor 2.

A word may have several spellings, and a spelling several words. Knows no probabilities; the word delimiter behind a
spelling is implied wherever the model has one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.errors import LexiconError, TokenizerError
from xlsr.tokenizer import Tokenizer

Ints = NDArray[np.int32]
Spelling = tuple[int, ...]

_SHOWN = 3
_OUTSIDE, _ASK = -1, -2  # codes of characters: not in the vocabulary; to be spelt by the tokenizer
_MARK = re.compile(r"<.*>|\[.*\]", re.DOTALL)  # symbols that no word is spelt with, such as <pad> and [UNK]


class LexiconArrays(NamedTuple):
    """The trie of the spellings; node 0 is the root.

    Attributes:
        first_child: (nodes + 1,) int32; the nodes below n are first_child[n] to first_child[n + 1] - 1.
        token: (nodes,) int32, the token that leads to a node; -1 of the root.
        first_entry: (nodes + 1,) int32; the spellings that end at n are first_entry[n] to first_entry[n + 1] - 1.
        word: (spellings,) int32, the word of each.
    """

    first_child: Ints
    token: Ints
    first_entry: Ints
    word: Ints


NO_WORDS = LexiconArrays(np.ones(2, np.int32), np.full(1, -1, np.int32), np.zeros(2, np.int32), np.zeros(0, np.int32))


@dataclass(frozen=True, eq=False)
class Trie:
    """The trie, and its way back to the root.

    Attributes:
        arrays: what a search walks.
        parent: (nodes,) int32, -1 of the root; never falling.
        levels: the first node of each depth.
    """

    arrays: LexiconArrays
    parent: Ints
    levels: tuple[int, ...]

    def spelling(self, node: int) -> Spelling:
        """Return the tokens that lead to a node."""
        tokens = []
        while node > 0:
            tokens.append(int(self.arrays.token[node]))
            node = int(self.parent[node])
        return tuple(reversed(tokens))

    def node_of(self, entry: int) -> int:
        """Return the node where a spelling ends."""
        return int(np.searchsorted(self.arrays.first_entry, entry, side="right")) - 1

    def depths(self) -> Ints:
        """Return the number of tokens that lead to each node: (nodes,) int32."""
        bounds = (*self.levels, len(self.parent))
        return np.repeat(np.arange(len(self.levels), dtype=np.int32), np.diff(bounds))

    def highest(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return for each node the highest value of the words that can still be spelt there.

        Args:
            values: (words,) float32.
        """
        nodes = np.repeat(np.arange(len(self.parent)), np.diff(self.arrays.first_entry))
        found = np.full(len(self.parent), -np.inf, np.float32)
        np.maximum.at(found, nodes, values[self.arrays.word])
        for first, end in reversed([*zip(self.levels, (*self.levels[1:], len(found)), strict=True)][1:]):
            np.maximum.at(found, self.parent[first:end], found[first:end])
        return found


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Words with their spellings; `from_file` and `from_words` make one.

    Attributes:
        words: each once.
        word_of: (spellings,) int32, the word of each spelling.
        tokens: int32, the tokens of all spellings, one after the other.
        lengths: (spellings,) int32, tokens of each.
    """

    words: tuple[str, ...]
    word_of: Ints
    tokens: Ints
    lengths: Ints

    @classmethod
    def from_file(cls, path: str | Path, tokenizer: Tokenizer) -> Lexicon:
        """Read a lexicon: a word on each line, and behind a tab or space its tokens, separated by spaces.

        A word may have several lines. The word delimiter may end the tokens or not. A word without tokens is spelt by
        the tokenizer, so that a list of words is a lexicon too.

        Raises:
            LexiconError: the file cannot be read or holds no word, or lines cannot be spelt.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise LexiconError(f"the lexicon {path} cannot be read: {error}; wanted lines in UTF-8") from error
        entries: list[tuple[str, Spelling]] = []
        problems = []
        for number, line in enumerate(lines, 1):
            word, _, symbols = line.partition("\t") if "\t" in line else line.strip().partition(" ")
            if word := word.strip():
                spelling, problem = _read_spelling(word, symbols.split(), tokenizer)
                entries.append((word, spelling))
                problems += [f"line {number}, {word!r}, {problem}"] * bool(problem)
        if problems:
            more = f"; and {len(problems) - _SHOWN} lines more" if len(problems) > _SHOWN else ""
            raise LexiconError(f"the lexicon {path} does not fit the model: {'; '.join(problems[:_SHOWN])}{more}")
        if not entries:
            raise LexiconError(f"the lexicon {path} holds no words; wanted a word and its tokens on each line")
        return cls._from_entries(entries)

    @classmethod
    def from_words(cls, words: Sequence[str], tokenizer: Tokenizer, *, skip: bool = False) -> Lexicon:
        """Spell words with the letters of a model; characters of the wrong case change it.

        Args:
            words: repetitions count once.
            tokenizer: of letters.
            skip: leave out words that cannot be spelt; False: they are an error.

        Raises:
            LexiconError: the symbols are phones, or words cannot be spelt.
        """
        if tokenizer.is_phones:
            raise LexiconError("the model's symbols are phones: words need a lexicon with their pronunciations")
        names = tuple(dict.fromkeys(words))
        tokens, lengths = _spell_all(names, tokenizer)
        if missing := [word for word, length in zip(names, lengths.tolist(), strict=True) if not length]:
            if not skip or len(missing) == len(names):
                raise LexiconError(
                    f"{len(missing)} of {len(names)} words cannot be spelt with the model's vocabulary, such as "
                    f"{', '.join(map(repr, missing[:_SHOWN]))}: leave them out, or write their spellings behind them"
                )
            names = tuple(word for word, length in zip(names, lengths.tolist(), strict=True) if length)
        lengths = lengths[lengths > 0]
        return cls(names, np.arange(len(names), dtype=np.int32), tokens, lengths)

    def joined(self, other: Lexicon) -> Lexicon:
        """Return a lexicon of the words of both."""
        numbers = {word: number for number, word in enumerate(self.words)}
        moved = [numbers.setdefault(word, len(numbers)) for word in other.words]
        return Lexicon(
            tuple(numbers),
            np.concatenate((self.word_of, np.array(moved, np.int32)[other.word_of])),
            np.concatenate((self.tokens, other.tokens)),
            np.concatenate((self.lengths, other.lengths)),
        )

    def spellings_of(self, word: str) -> tuple[Spelling, ...]:
        """Return every spelling of a word; none where the lexicon does not hold it."""
        ends = np.cumsum(self.lengths)
        rows = np.flatnonzero(self.word_of == self._numbers.get(word, -1))
        return tuple(tuple(self.tokens[ends[row] - self.lengths[row] : ends[row]].tolist()) for row in rows)

    def __contains__(self, word: object) -> bool:
        return word in self._numbers

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def trie(self) -> Trie:
        """The trie of all spellings."""
        return _build_trie(self)

    @classmethod
    def _from_entries(cls, entries: Sequence[tuple[str, Spelling]]) -> Lexicon:
        numbers: dict[str, int] = {}
        word_of = [numbers.setdefault(word, len(numbers)) for word, _ in entries]
        tokens = [token for _, spelling in entries for token in spelling]
        lengths = [len(spelling) for _, spelling in entries]
        return cls(tuple(numbers), *(np.array(column, np.int32) for column in (word_of, tokens, lengths)))


def _build_trie(lexicon: Lexicon) -> Trie:
    """Number the nodes level by level, within a level by parent and token."""
    starts = np.cumsum(lexicon.lengths, dtype=np.int64) - lexicon.lengths
    vocab = int(lexicon.tokens.max()) + 1
    at = np.zeros(len(lexicon.lengths), np.int64)  # the node that each spelling has reached
    parents, tokens, levels = [np.array([-1])], [np.array([-1])], [0]
    count = 1
    for depth in range(int(lexicon.lengths.max())):
        going = np.flatnonzero(lexicon.lengths > depth)
        steps = at[going] * vocab + lexicon.tokens[starts[going] + depth]
        nodes, reached = np.unique(steps, return_inverse=True)
        at[going] = count + reached
        parents.append(nodes // vocab)
        tokens.append(nodes % vocab)
        levels.append(count)
        count += len(nodes)
    parent = np.concatenate(parents).astype(np.int32)
    entries = np.unique(at * len(lexicon.words) + lexicon.word_of)  # by node; a spelling given twice counts once
    bounds = np.arange(count + 1)
    arrays = LexiconArrays(
        first_child=(np.searchsorted(parent[1:], bounds) + 1).astype(np.int32),
        token=np.concatenate(tokens).astype(np.int32),
        first_entry=np.searchsorted(entries // len(lexicon.words), bounds).astype(np.int32),
        word=(entries % len(lexicon.words)).astype(np.int32),
    )
    return Trie(arrays, parent, tuple(levels))


def _read_spelling(word: str, symbols: list[str], tokenizer: Tokenizer) -> tuple[Spelling, str]:
    """Return the tokens of a line, and what is wrong with them, else ''."""
    if symbols and symbols[-1] == tokenizer.word_delimiter:
        symbols = symbols[:-1]
    if not symbols:
        spelling = () if tokenizer.is_phones else _spell(word, tokenizer)
        return spelling, "" if spelling else "has no tokens behind it, and the model's vocabulary does not spell it"
    ids = [_id_of(symbol, tokenizer) for symbol in symbols]
    if _OUTSIDE in ids:
        return (), f"is spelt with {symbols[ids.index(_OUTSIDE)]!r}, which is not in the vocabulary"
    return tuple(ids), ""


def _id_of(symbol: str, tokenizer: Tokenizer) -> int:
    """Return the id of a symbol that a word may be spelt with, of the other case if need be, else _OUTSIDE."""
    for written in (symbol,) if tokenizer.is_phones else (symbol, symbol.upper(), symbol.lower()):
        id = tokenizer.vocab.get(written, _OUTSIDE)
        if id not in (_OUTSIDE, tokenizer.blank_id, tokenizer.unk_id):
            return id
    return _OUTSIDE


def _spell(word: str, tokenizer: Tokenizer) -> Spelling:
    """Return the tokens of a word as the tokenizer spells it, of another case if need be; none if it cannot."""
    delimiter = None if tokenizer.word_delimiter is None else tokenizer.vocab[tokenizer.word_delimiter]
    for written in (word, word.upper(), word.lower()):
        try:
            ids = tokenizer.encode(written)
        except TokenizerError:  # there is no unknown symbol
            continue
        if ids and not {tokenizer.unk_id, tokenizer.blank_id, delimiter} & {*ids}:
            return tuple(ids)
    return ()


def _spell_all(words: Sequence[str], tokenizer: Tokenizer) -> tuple[Ints, Ints]:
    """Return the tokens of all words, one after the other, and how many each has; none where it cannot be spelt."""
    text = "".join(words)
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    table = np.full(int(letters.max(initial=0)) + 1, _OUTSIDE, np.int32)
    for letter in set(text):
        table[ord(letter)] = _code_of(letter, tokenizer)
    if any(len(symbol) > 1 and not _MARK.fullmatch(symbol) for symbol in tokenizer.vocab):
        table[:] = _ASK
    codes = table[letters]
    lengths = np.fromiter(map(len, words), np.int32, len(words))
    word_of = np.repeat(np.arange(len(words)), lengths)  # of each letter
    is_asked, is_kept = np.zeros(len(words), bool), np.ones(len(words), bool)
    is_asked[word_of[codes == _ASK]] = True
    is_kept[word_of[codes < 0]] = False
    if not is_asked.any():
        return codes[is_kept[word_of]], np.where(is_kept, lengths, 0).astype(np.int32)
    ends = np.cumsum(lengths)
    spelt = [
        _spell(word, tokenizer) if asked else codes[start:end] if kept else ()
        for word, asked, kept, start, end in zip(words, is_asked, is_kept, ends - lengths, ends, strict=True)
    ]
    found = [np.asarray(spelling, np.int32) for spelling in spelt]
    return np.concatenate(found), np.fromiter(map(len, found), np.int32, len(found))


def _code_of(letter: str, tokenizer: Tokenizer) -> int:
    delimiter = tokenizer.word_delimiter
    if letter == delimiter or letter.isspace():
        return _OUTSIDE
    if len(letter.upper()) > 1 or len(letter.lower()) > 1:
        return _ASK
    id = _id_of(letter.upper() if tokenizer.lowercase else letter, tokenizer)
    return _OUTSIDE if id == tokenizer.vocab.get(delimiter or "") else id


def shortest_spellings(choices: Sequence[Sequence[Spelling]], *, is_delimited: bool) -> list[Spelling]:
    """Return the spelling of each word with which all of them together want the fewest frames.

    Args:
        choices: the spellings of each word, in order; a token that repeats wants a frame between.
        is_delimited: whether a delimiter stands between words, so that no token repeats across them.
    """
    found: dict[int, tuple[int, list[Spelling]]] = {-1: (0, [])}  # by the last token: frames, spellings
    for spellings in choices:
        after: dict[int, tuple[int, list[Spelling]]] = {}
        for spelling in spellings:
            own = len(spelling) + sum(a == b for a, b in pairwise(spelling))
            ways = (
                (frames + own + (last == spelling[0] and not is_delimited), before)
                for last, (frames, before) in found.items()
            )
            frames, before = min(ways, key=itemgetter(0))
            if spelling[-1] not in after or frames < after[spelling[-1]][0]:
                after[spelling[-1]] = frames, [*before, spelling]
        found = after
    return min(found.values(), key=itemgetter(0))[1]
