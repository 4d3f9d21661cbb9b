"""Hotwords as an automaton: each token of one is worth a bonus, which is taken back where the hotword is not finished.

The automaton is Aho and Corasick's over whole words: where a hotword breaks off, the longest end of what was heard that
begins another one goes on. Words shared by two hotwords that overlap count for both. Knows tokens and ends of words as
numbers, symbols in short; not how a word is spelt (`lexicon`), nor paths and frames (`search`).

Source: Aho and Corasick 1975; the bonus that is taken back: Zhao et al. 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled

_START, _OTHER = 0, 1  # states: no hotword is begun, and none can begin before the next word; within another word
_SPREAD = -7046029254386353131  # 2^64 over the golden ratio, as a signed number


ARC = np.dtype([("key", np.int64), ("target", np.int32)], align=True)  # key: state << 32 | symbol, or -1
STATE = np.dtype(
    [
        ("fallback", np.int32),  # where to go on when no arc fits
        ("worth", np.float64),  # bonus of what is begun, in nats
        ("loss", np.float64),  # bonus given up by falling back; below zero where that of a finished hotword is kept
        ("open", np.float64),  # bonus that is lost if the recording ends here
    ],
    align=True,
)


class HotwordArrays(NamedTuple):
    """The automaton for compiled code.

    Attributes:
        arcs: (size,) of ARC, hash table, size a power of two.
        states: (states,) of STATE.
        first_end: symbols from here on end words; -1: there are no hotwords.
        offset: added to a token for its symbol.
    """

    arcs: NDArray[np.void]
    states: NDArray[np.void]
    first_end: int
    offset: int


@dataclass(frozen=True)
class HotUnit:
    """One word of a hotword.

    Attributes:
        end: the symbol of its end.
        spellings: tokens before it; a single token that is a unit of its own has an empty one.
    """

    end: int
    spellings: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        """Tokens that it is worth, however it is spelt."""
        return max(1, *map(len, self.spellings))


@compiled
def follow(arrays: HotwordArrays, state: int, symbol: int) -> tuple[int, float]:
    """Return the state after a symbol, and what the bonus changes by."""
    arcs, states = arrays.arcs, arrays.states
    mask = len(arcs) - 1
    gain = 0.0
    state = int(state)
    while True:
        key = (state << 32) | int(symbol)
        slot = ((key * _SPREAD) >> 32) & mask
        while arcs[slot].key >= 0:
            if arcs[slot].key == key:
                target = int(arcs[slot].target)
                return target, gain + states[target].worth - states[state].worth
            slot = (slot + 1) & mask
        if state <= _OTHER:
            return (_START if symbol >= arrays.first_end else _OTHER), gain
        gain -= states[state].loss
        state = int(states[state].fallback)


def build_hotwords(
    hotwords: Sequence[Sequence[HotUnit]], score: float, first_end: int, offset: int
) -> tuple[HotwordArrays, float]:
    """Return the automaton of hotwords, and the most bonus that one symbol can bring.

    Args:
        hotwords: the words of each.
        score: nats a token.
        first_end: symbols from here on end words.
        offset: added to a token for its symbol.
    """
    builder = _Builder()
    for hotword in hotwords:
        builder.add(tuple(hotword))
    return builder.arrays(score, first_end, offset)


NO_HOTWORDS = HotwordArrays(np.full(1, -1, np.int64).astype(ARC), np.zeros(2, STATE), -1, 0)

_Words = tuple[HotUnit, ...]


@dataclass
class _Builder:
    """States are known by the words finished and the tokens of the word begun; None stands for another word."""

    states: dict[tuple[_Words, tuple[int, ...]] | None, int] = field(default_factory=lambda: {((), ()): 0, None: 1})
    arcs: dict[tuple[int, int], int] = field(default_factory=dict)
    finished: set[_Words] = field(default_factory=set)

    def add(self, hotword: _Words) -> None:
        self.finished.add(hotword)
        for place, unit in enumerate(hotword):
            before, after = hotword[:place], hotword[: place + 1]
            for spelling in unit.spellings:
                state = self._state(before, ())
                for length, token in enumerate(spelling, 1):
                    state = self._arc(state, token, self._state(before, spelling[:length]))
                self._arc(state, unit.end, self._state(after, ()))

    def _state(self, words: _Words, begun: tuple[int, ...]) -> int:
        return self.states.setdefault((words, begun), len(self.states))

    def _arc(self, state: int, symbol: int, target: int) -> int:
        self.arcs[state, symbol] = target
        return target

    def arrays(self, score: float, first_end: int, offset: int) -> tuple[HotwordArrays, float]:
        states = np.zeros(len(self.states), STATE)
        states["fallback"] = _OTHER
        for known, state in self.states.items():
            if known is not None:
                words, begun = known
                worth = sum(unit.length for unit in words) + len(begun)
                kept = sum(words[place].length for place in self._covered(words))
                states[state] = (self._fallback(words, begun), score * worth, 0.0, score * (worth - kept))
        states["loss"] = states["open"] - states["open"][states["fallback"]]
        states["loss"][[_START, _OTHER]] = 0.0
        return HotwordArrays(self._table(), states, first_end, offset), self._gain(states)

    def _covered(self, words: _Words) -> set[int]:
        """The places of words that lie in a finished hotword."""
        spans = ((a, b) for a in range(len(words)) for b in range(a + 1, len(words) + 1))
        return {place for a, b in spans if words[a:b] in self.finished for place in range(a, b)}

    def _fallback(self, words: _Words, begun: tuple[int, ...]) -> int:
        """The state of the longest proper end of what was heard that begins a hotword."""
        for start in range(1, len(words) + 1):
            if (words[start:], begun) in self.states:
                return self.states[words[start:], begun]
        return _OTHER if begun else _START

    def _gain(self, states: NDArray[np.void]) -> float:
        """The largest bonus of a single symbol: along an arc, perhaps after falling back."""
        along = np.zeros(len(states))
        for (state, _), target in self.arcs.items():
            along[state] = max(along[state], states["worth"][target] - states["worth"][state])
        most = 0.0
        for state in range(len(states)):
            gain = 0.0
            while state > _OTHER:
                most = max(most, gain, gain + float(along[state]))
                gain -= float(states["loss"][state])
                state = int(states["fallback"][state])
            most = max(most, gain, gain + float(along[state]))
        return most

    def _table(self) -> NDArray[np.void]:
        table = np.zeros(1 << (2 * len(self.arcs)).bit_length(), ARC)
        table["key"] = -1
        for (state, symbol), target in self.arcs.items():
            key = (state << 32) | symbol
            slot = ((key * _SPREAD) >> 32) & (len(table) - 1)
            while table["key"][slot] >= 0:
                slot = (slot + 1) % len(table)
            table[slot] = (key, target)
        return table
