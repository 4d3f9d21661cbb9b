"""Hotwords as an automaton: each token of one is worth a bonus, which is taken back where the hotword is not finished.

The automaton is Aho and Corasick's over whole words: where a hotword breaks off, the longest end of what was heard that
begins another one goes on. A word that two hotwords share counts once. Knows tokens and ends of words as numbers,
symbols in short; not how a word is spelt (`lexicon`), nor paths and frames (`search`).

Source: Aho and Corasick 1975; the bonus that is taken back: Zhao et al. 2019.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled_in_place

_START, _OTHER = 0, 1  # states: no hotword is begun, and none can begin before the next word; within another word
_SPREAD = -7046029254386353131  # 2^64 over the golden ratio, as a signed number


ARC = np.dtype([("key", np.int64), ("target", np.int32)], align=True)  # key: state << 32 | symbol, or -1
STATE = np.dtype(
    [
        ("fallback", np.int32),  # where to go on when no arc fits
        ("worth", np.float64),  # bonus of what is begun, in nats
        ("loss", np.float64),  # bonus given up by falling back
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


@compiled_in_place
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
    builder = _Builder([tuple(hotword) for hotword in hotwords])
    states = np.zeros(len(builder.numbers), STATE)
    for state, number in builder.numbers.items():
        fallback = builder.numbers[builder.fallback(state)]
        states[number] = (fallback, score * state.worth, 0.0, score * state.open)
    states["loss"] = states["open"] - states["open"][states["fallback"]]
    arrays = HotwordArrays(_table(builder.arcs), states, first_end, offset)
    return arrays, _largest_gain(builder.arcs, states)


NO_HOTWORDS = HotwordArrays(np.full(1, -1, np.int64).astype(ARC), np.zeros(2, STATE), -1, 0)


class _State(NamedTuple):
    """What was heard, as far as it begins a hotword.

    Attributes:
        words: finished ones.
        is_kept: for each of them whether it lies in a hotword that was heard to its end.
        begun: tokens of the next.
        is_other: whether it is a word with which no hotword goes on.
    """

    words: tuple[HotUnit, ...] = ()
    is_kept: tuple[bool, ...] = ()
    begun: tuple[int, ...] = ()
    is_other: bool = False

    @property
    def worth(self) -> int:
        return sum(unit.length for unit in self.words) + len(self.begun)

    @property
    def open(self) -> int:
        return self.worth - sum(unit.length for unit, kept in zip(self.words, self.is_kept, strict=True) if kept)


_Place = tuple[tuple[HotUnit, ...], tuple[int, ...]]  # words and tokens with which a hotword begins


class _Builder:
    """Numbers every state that can be reached, from the start on."""

    def __init__(self, hotwords: Sequence[tuple[HotUnit, ...]]) -> None:
        self.hotwords = set(hotwords)
        self.tokens: dict[_Place, set[int]] = defaultdict(set)  # that go on from a place
        self.units: dict[_Place, set[HotUnit]] = defaultdict(set)  # that are spelt there
        for words, unit in ((hotword[:n], hotword[n]) for hotword in hotwords for n in range(len(hotword))):
            for spelling in unit.spellings:
                self.units[words, spelling].add(unit)
                for n in range(len(spelling)):
                    self.tokens[words, spelling[:n]].add(spelling[n])
        self.places = {*self.tokens, *self.units, *((hotword, ()) for hotword in hotwords)}
        self.numbers = {_State(): _START, _State(is_other=True): _OTHER}
        self.arcs: dict[tuple[int, int], int] = {}
        waiting = [_State()]
        while waiting:
            state = waiting.pop()
            reached = [*self._arcs(state)]
            for target in (*(target for _, target in reached), self.fallback(state)):
                if target not in self.numbers:
                    self.numbers[target] = len(self.numbers)
                    waiting.append(target)
            self.arcs |= {(self.numbers[state], symbol): self.numbers[target] for symbol, target in reached}

    def _arcs(self, state: _State) -> Iterator[tuple[int, _State]]:
        place = (state.words, state.begun)
        for token in self.tokens.get(place, ()):
            yield token, state._replace(begun=(*state.begun, token))
        for unit in self.units.get(place, ()):
            yield unit.end, self._finished((*state.words, unit), (*state.is_kept, False))

    def _finished(self, words: tuple[HotUnit, ...], is_kept: tuple[bool, ...]) -> _State:
        longest = max((n for n in range(1, len(words) + 1) if words[-n:] in self.hotwords), default=0)
        return _State(words, (*is_kept[: len(words) - longest], *[True] * longest))

    def fallback(self, state: _State) -> _State:
        """Return the longest proper end of what was heard with which a hotword begins."""
        for start in range(1, len(state.words) + 1):
            if (state.words[start:], state.begun) in self.places:
                return state._replace(words=state.words[start:], is_kept=state.is_kept[start:])
        return _State(is_other=state.is_other or bool(state.begun))


def _table(arcs: dict[tuple[int, int], int]) -> NDArray[np.void]:
    table = np.zeros(1 << (2 * len(arcs)).bit_length(), ARC)
    table["key"] = -1
    for (state, symbol), target in arcs.items():
        key = (state << 32) | symbol
        slot = ((key * _SPREAD) >> 32) & (len(table) - 1)
        while table["key"][slot] >= 0:
            slot = (slot + 1) % len(table)
        table[slot] = (key, target)
    return table


def _largest_gain(arcs: dict[tuple[int, int], int], states: NDArray[np.void]) -> float:
    """Return the largest bonus of a single symbol: along an arc, perhaps after falling back, which brings nothing."""
    worth = states["worth"]
    return float(max((worth[target] - worth[state] for (state, _), target in arcs.items()), default=0.0))
