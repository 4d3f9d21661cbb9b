"""Sentences of word ids -> every distinct n-gram with its count, sorted, in bounded memory.

N-grams are columns: the last word first, then the word before it, and so on; before the start of a sentence stands <s>,
as often as needed. Sorted by these columns, all n-grams that end alike lie together, so that one pass tells the counts
and the left neighbours of every shorter n-gram. Blocks of tokens are counted in memory; where there are several, their
sorted counts wait on disk and are merged a range of last words at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from xlsr.decoding.ngram.lookup import Int32

Int64 = npt.NDArray[np.int64]
_KEY_BITS = 63


class Counted(NamedTuple):
    """Distinct n-grams of one length, sorted by their columns.

    Attributes:
        columns: (order, n) int32, the last word first.
        counts: (n,) int64.
    """

    columns: Int32
    counts: Int64


def windows(ids: Int32, order: int, begin: int, end: int) -> Int32:
    """Return the n-gram that ends at each word of whole sentences, as (order, words) int32, the last word first."""
    places = np.arange(len(ids))
    starts = np.zeros(len(ids), np.int64)
    starts[1:][ids[:-1] == end] = places[1:][ids[:-1] == end]
    depth = places - np.maximum.accumulate(starts)  # words before this one in its sentence
    columns = np.empty((order, len(ids)), np.int32)
    for back in range(order):
        columns[back] = np.where(depth >= back, np.roll(ids, back), begin)
    return columns


def count_distinct(columns: Int32, weights: Int64 | None, size: int) -> Counted:
    """Sort the columns and add up what is equal.

    Args:
        columns: (order, n) int32 ids below `size`.
        weights: (n,) what each counts; None: one.
        size: number of ids.
    """
    key, ranked = _packed(columns, size)
    if weights is None:
        key.sort()
        heads = _heads(key)
        counts = np.diff(np.append(heads, len(key)))
    else:
        rows = np.argsort(key)
        key = key[rows]
        heads = _heads(key)
        counts = np.add.reduceat(weights[rows], heads)
    return Counted(_unpacked(key[heads], ranked, len(columns), size), counts.astype(np.int64))


class NGramCounts:
    """The n-grams of a corpus, a block at a time; a context manager, since sorted runs may lie on disk.

    Args:
        order: length of the n-grams.
        size: number of word ids.
        memory_bytes: for one block of them while it is sorted.
    """

    def __init__(self, order: int, size: int, memory_bytes: int) -> None:
        self.order, self.size = order, size
        self.block_rows = max(1, memory_bytes // (8 * order + 48))  # columns twice, keys, sorting, counts
        self._runs: list[Counted] = []
        self._folder = tempfile.TemporaryDirectory(prefix="xlsr-lm-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runs.clear()
        self._folder.cleanup()

    def count(self, blocks: Iterable[Int32], begin: int, end: int) -> None:
        """Count the n-grams of blocks of whole sentences, each ended by `end`; a run that is alone stays in memory."""
        for ids in blocks:
            if len(self._runs) == 1:
                self._runs[0] = self._stored(self._runs[0], 0)
            run = count_distinct(windows(ids, self.order, begin, end), None, self.size)
            self._runs.append(self._stored(run, len(self._runs)) if self._runs else run)

    def blocks(self) -> Iterator[Counted]:
        """Yield all n-grams in their order; a block holds all that end in the same words. May be called again."""
        if len(self._runs) == 1:
            yield self._runs[0]
            return
        for low, high in self._ranges():
            places = [np.searchsorted(run.columns[0], (low, high)) for run in self._runs]
            slices = [slice(*place) for place in places]
            columns = [run.columns[:, part] for run, part in zip(self._runs, slices, strict=True)]
            counts = [run.counts[part] for run, part in zip(self._runs, slices, strict=True)]
            yield count_distinct(np.concatenate(columns, axis=1), np.concatenate(counts), self.size)

    def _ranges(self) -> list[tuple[int, int]]:
        """Ranges of last words that fill a block; a word with more than that has one of its own."""
        rows = sum((np.bincount(run.columns[0], minlength=self.size) for run in self._runs), np.zeros(self.size, int))
        filled = np.flatnonzero(rows)
        ranges, low, inside = [], 0, 0
        for word, more in zip(filled.tolist(), rows[filled].tolist(), strict=True):
            if inside and inside + more > self.block_rows:
                ranges.append((low, word))
                low, inside = word, 0
            inside += more
        return [*ranges, (low, self.size)]

    def _stored(self, run: Counted, number: int) -> Counted:
        columns, counts = (Path(self._folder.name, f"{number}-{name}.npy") for name in Counted._fields)
        np.save(columns, run.columns)
        np.save(counts, run.counts)
        return Counted(np.load(columns, mmap_mode="r"), np.load(counts, mmap_mode="r"))


def _packed(columns: Int32, size: int) -> tuple[Int64, dict[int, Int64]]:
    """Return (n,) numbers in the order of the columns; where these need more than 63 bits, the first become ranks.

    The second value holds, for each column before which that was done, the numbers of the ranks.
    """
    bits = max(1, (size - 1).bit_length())
    key, used, ranked = columns[0].astype(np.int64), bits, {}
    for place in range(1, len(columns)):
        if used + bits > _KEY_BITS:
            ranked[place], key = np.unique(key, return_inverse=True)
            used = len(ranked[place]).bit_length()
        key = key << bits | columns[place]
        used += bits
    return key, ranked


def _unpacked(key: Int64, ranked: dict[int, Int64], order: int, size: int) -> Int32:
    bits = max(1, (size - 1).bit_length())
    columns = np.empty((order, len(key)), np.int32)
    for place in range(order - 1, 0, -1):
        columns[place] = key & ((1 << bits) - 1)
        key = key >> bits
        if place in ranked:
            key = ranked[place][key]
    columns[0] = key
    return columns


def _heads(key: Int64) -> Int64:
    """Places where a sorted array has a new value."""
    return np.flatnonzero(np.concatenate((np.ones(min(len(key), 1), bool), key[1:] != key[:-1])))
