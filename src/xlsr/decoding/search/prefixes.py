"""The prefixes that a beam search weighs against each other, and the symbols behind each of them.

Knows how equal prefixes are found and added up, how the best are kept, and how the symbols behind each are remembered;
not what may follow a prefix, or what it costs (`steps`).

The key of a prefix is a hash of 64 bits of everything in which two may differ. Two of one frame get the same by chance
once in 10^10 minutes of speech or so, and would then be added up.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled, compiled_in_place

Prefixes = NDArray[np.void]
Ints = NDArray[np.int32]
Tokens = NDArray[np.int64]
Floats = NDArray[np.float32]


class Prefix(Protocol):
    """One record.

    Attributes:
        key: hash of the whole prefix.
        history: of its symbols, up to the last finished word where only whole words are symbols; 0 of none.
        blank: log-probability of its alignments that end in a blank.
        token: of those that end in its last token.
        total: of both.
        lm: the language model's part.
        bonus: word and unknown-word scores, hotwords.
        look: what the word begun can still get at best.
        score: sum of the last four, by which prefixes are ranked.
        state: of the language model.
        hot: state of the hotwords.
        node: of the lexicon: 0 between words, -1 in a word outside it.
        last: token; -1 before the first.
        length: tokens of the word begun.
        trace: newest remembered symbol; -1 before the first.
        symbol: what comes after it once the prefix is kept; -1: nothing.
    """

    key: int
    history: int
    blank: float
    token: float
    total: float
    lm: float
    bonus: float
    look: float
    score: float
    state: int
    hot: int
    node: int
    last: int
    length: int
    trace: int
    symbol: int


PREFIX = np.dtype(
    [(name, np.float64 if kind == "float" else np.int64) for name, kind in Prefix.__annotations__.items()]
)


@compiled_in_place
def join(a: float, b: float, log_add: bool) -> float:
    """Return log(exp(a) + exp(b)), or the larger one."""
    high, low = (a, b) if a > b else (b, a)
    if not log_add or not low > high - 40.0:  # exp(-40) is beyond a double's digits; and both may be -inf
        return high
    return high + math.log1p(math.exp(low - high))


@compiled_in_place
def mix(history: int, symbol: int) -> int:
    """Return the hash of a history followed by a symbol: the finaliser of splitmix64, with two odd constants."""
    value = (history + symbol + 1) * 0x1E3779B97F4A7C15
    value = (value ^ ((value >> 30) & 0x3FFFFFFFF)) * 0x3F58476D1CE4E5B9
    value = (value ^ ((value >> 27) & 0x1FFFFFFFFF)) * 0x14D049BB133111EB
    return int(value ^ ((value >> 31) & 0x1FFFFFFFF))


@compiled_in_place
def find(pool: Prefixes, table: Ints, key: int) -> int:
    """Return the slot of a hash table that holds the prefix of this key, or the free slot where it belongs."""
    mask = len(table) - 1
    slot = key & mask
    while table[slot] >= 0 and pool[table[slot]].key != key:
        slot = (slot + 1) & mask
    return slot


@compiled_in_place
def rank(pool: Prefixes, count: int, log_add: bool) -> None:
    """Bring the totals and scores of the first `count` prefixes up to date."""
    for i in range(count):
        prefix = pool[i]
        prefix.total = join(prefix.blank, prefix.token, log_add)
        prefix.score = prefix.total + prefix.lm + prefix.bonus + prefix.look


@compiled_in_place
def thin(pool: Prefixes, count: int, table: Ints) -> None:
    """Give up prefixes that another one with the same future is ahead of: of best paths, none will be the best of all.

    Where paths are added up, such a prefix could still gain from shorter ones; the room is worth more.

    The same may follow both where the lexicon, the language model, the hotwords and the last token stand alike; one is
    ahead if its paths that end in a blank and those that end in the token both score higher.

    Args:
        pool: ranked; the score of what is given up becomes -inf.
        count: number of prefixes.
        table: for scribbling; -1 throughout, before and after; longer than twice the count, a power of two.
    """
    mask = len(table) - 1
    for i in range(count):
        prefix = pool[i]
        key = mix(mix(mix(prefix.state, prefix.node), prefix.last), prefix.hot)
        slot = mix(key, prefix.length) & mask
        while table[slot] >= 0 and not _has_same_future(pool[table[slot]], prefix):
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = i
            continue
        other = pool[table[slot]]
        gain = prefix.lm + prefix.bonus - other.lm - other.bonus
        if prefix.blank + gain <= other.blank and prefix.token + gain <= other.token:
            prefix.score = -np.inf
        elif prefix.blank + gain >= other.blank and prefix.token + gain >= other.token:
            other.score = -np.inf
            table[slot] = i
    table[:] = -1


@compiled_in_place
def _has_same_future(a: Prefix, b: Prefix) -> bool:
    """Whether the same may follow two prefixes at the same cost; a history of 0 is that of the first word."""
    return bool(
        a.state == b.state
        and a.node == b.node
        and a.last == b.last
        and a.hot == b.hot
        and a.length == b.length
        and (a.history == 0) == (b.history == 0)
    )


@compiled_in_place
def best(pool: Prefixes, count: int, size: int, threshold: float, order: Ints) -> int:
    """Put the indices of the best prefixes first into `order`, in any order, and return how many they are.

    Args:
        pool: ranked.
        count: number of prefixes.
        size: keep so many at most.
        threshold: and none that is so far below the best.
        order: (count or more,) overwritten.
    """
    top = -np.inf
    for i in range(count):
        top = max(top, pool[i].score)
    found = 0
    for i in range(count):
        if pool[i].score >= top - threshold:
            order[found] = i
            found += 1
    low, high = 0, found - 1
    while found > size and low < high:  # Hoare's selection: what belongs to the first `size` moves there
        pivot = pool[order[(low + high) // 2]].score
        i, j = low, high
        while i <= j:
            while pool[order[i]].score > pivot:
                i += 1
            while pool[order[j]].score < pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i, j = i + 1, j - 1
        if size - 1 <= j:
            high = j
        elif size - 1 >= i:
            low = i
        else:
            break
    return min(found, size)


@compiled_in_place
def keep(beams: Prefixes, pool: Prefixes, order: Ints, kept: int, trace: Ints, used: int) -> int:
    """Copy the kept prefixes to the next frame and remember their new symbols; return the length of the memory."""
    for i in range(kept):
        beams[i] = pool[order[i]]
        prefix = beams[i]
        if prefix.symbol >= 0:
            trace[used, 0] = prefix.trace
            trace[used, 1] = prefix.symbol
            prefix.trace = used
            prefix.symbol = -1
            used += 1
    return used


@compiled
def compact(trace: Ints, used: int, beams: Prefixes, count: int) -> tuple[Ints, int]:
    """Forget the symbols that no prefix goes back to, and make room where that frees less than half.

    Args:
        trace: (capacity, 2) symbol before and symbol, older ones first.
        used: number of rows in use.
        beams: whose traces are numbered anew.
        count: how many they are.

    Returns:
        The memory, perhaps a larger one, and the number of its rows in use.
    """
    place = np.zeros(used, np.int32)  # 1: alive; then the new row
    for i in range(count):
        row = int(beams[i].trace)
        while row >= 0 and place[row] == 0:
            place[row] = 1
            row = trace[row, 0]
    alive = int(place.sum())
    room = len(trace) if 2 * alive <= len(trace) else 2 * len(trace)
    moved = np.empty((room, 2), np.int32)
    filled = 0
    for row in range(used):
        if place[row]:
            place[row] = filled
            before = trace[row, 0]
            moved[filled, 0] = place[before] if before >= 0 else -1
            moved[filled, 1] = trace[row, 1]
            filled += 1
    for i in range(count):
        if beams[i].trace >= 0:
            beams[i].trace = place[beams[i].trace]
    return moved, filled
