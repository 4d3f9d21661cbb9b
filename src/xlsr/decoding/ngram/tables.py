"""Counted n-grams -> a table for every order: how often each comes, and after how many different words.

An n-gram is a row; it is tied to two rows of the order below, the n-gram without its first word and the one without its
last. The highest order is the largest: its rows are given out a block at a time and never held together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from xlsr.decoding.ngram.counts import Counted, Int64, NGramCounts
from xlsr.decoding.ngram.lookup import Int32

_LARGEST = 5  # counts above it are as good as it: discounts look at 1 to 4


@dataclass(frozen=True)
class Table:
    """N-grams of one order, or a block of them.

    Attributes:
        first: (n,) int32, the first word.
        suffix: (n,) int32, row below of the n-gram without its first word.
        context: (n,) int32, row below of the n-gram without its last word.
        count: (n,) int64, how often it occurs.
        adjusted: (n,) int64, what Kneser-Ney counts: the different words before it; of the highest order, and where it
            begins with <s>, how often it occurs.
    """

    first: Int32
    suffix: Int32
    context: Int32
    count: Int64
    adjusted: Int64

    def select(self, rows: npt.NDArray[np.bool_]) -> Table:
        """Return some of the rows."""
        return Table(*(getattr(self, field.name)[rows] for field in fields(self)))

    def histogram(self) -> Int64:
        """Return how many n-grams have adjusted count 0, 1, … 4, and how many a larger one."""
        return np.bincount(np.minimum(self.adjusted, _LARGEST), minlength=_LARGEST + 1)


class Tables:
    """The tables of all orders.

    Args:
        words: (size,) int64, how often each word occurs; of <s>, the number of sentences.
        counted: the n-grams of the highest order; None: words are all there is.
        begin: id of <s>.

    Attributes:
        words: as given.
        histograms: of each order.
    """

    def __init__(self, words: Int64, counted: NGramCounts | None, begin: int) -> None:
        self.words, self._counted, self._begin = words, counted, begin
        rows = np.arange(len(words), dtype=np.int32)
        adjusted = np.where(rows == begin, 0, words)
        self._lower = [Table(rows, rows * 0, rows * 0, words, adjusted)]
        highest = np.zeros(_LARGEST + 1, np.int64)
        pieces: list[list[Table]] = [[] for _ in range(counted.order - 2)] if counted else []
        neighbours = adjusted * 0
        for tables in self._blocks():
            neighbours += np.bincount(tables[0].suffix, minlength=len(words))
            highest += tables[-1].histogram()
            for place, table in enumerate(tables[:-1]):
                pieces[place].append(table)
        if counted:
            self._lower = [replace(self._lower[0], adjusted=neighbours)]
        for parts in pieces:
            self._lower.append(self._with_context(join_tables(parts)))
        self.histograms = [*(table.histogram() for table in self._lower), *([highest] if counted else [])]

    def blocks(self, order: int) -> Iterable[Table]:
        """Return the n-grams of one order, in one block or several. May be called again."""
        if order <= len(self._lower):
            return [self._lower[order - 1]]
        return (self._with_context(tables[-1]) for tables in self._blocks())

    def _blocks(self) -> Iterator[list[Table]]:
        """Yield tables of orders 2 and up, without their contexts, block by block."""
        if self._counted is None:
            return
        offsets = [0] * (self._counted.order + 1)
        for block in self._counted.blocks():
            yield _tables_of(block, self._begin, offsets)

    def _with_context(self, table: Table) -> Table:
        """Find the n-grams without their last words, once all orders below are there."""
        below = self._lower[-1]
        if len(self._lower) == 1:
            return replace(table, context=table.first)
        # What is left of `first suffix` without its last word is first, then the suffix without its last word.
        rows = np.searchsorted(_keys(below.suffix, below.first), _keys(below.context[table.suffix], table.first))
        return replace(table, context=rows.astype(np.int32))


def _tables_of(block: Counted, begin: int, offsets: list[int]) -> list[Table]:
    """Return the n-grams of orders 2, 3, … of a block, sorted by suffix and first word, still without contexts.

    Args:
        block: n-grams of the highest order.
        begin: id of <s>.
        offsets: rows of each order in earlier blocks; they move on.
    """
    columns, counts = block
    tables: list[Table] = []
    new = np.zeros(len(counts), bool)  # where an n-gram begins that the row before has not
    new[:1] = True
    new[1:] = columns[0, 1:] != columns[0, :-1]
    rows = columns[0]  # for every n-gram of the block, that of the order below
    for order in range(2, len(columns) + 1):
        first = columns[order - 1]
        new[1:] |= first[1:] != first[:-1]
        real = columns[order - 2] != begin  # of several <s> only the last is one
        heads = np.flatnonzero(new & real)
        inside = np.cumsum(new & real) - 1
        count = np.bincount(inside[real], counts[real], len(heads)).astype(np.int64)
        if tables:
            tables[-1] = _with_neighbours(tables[-1], rows[heads] - offsets[order - 1], begin)
        tables.append(Table(first[heads], rows[heads], rows[:0], count, count))
        rows = (inside + offsets[order]).astype(np.int32)
    for order, table in enumerate(tables, 2):
        offsets[order] += len(table.first)
    return tables


def _with_neighbours(table: Table, suffixes: Int32, begin: int) -> Table:
    """Count the words before each n-gram, from the rows of those that are one longer; before <s> stands nothing."""
    neighbours = np.bincount(suffixes, minlength=len(table.first))
    return replace(table, adjusted=np.where(table.first == begin, table.count, neighbours))


def join_tables(tables: Sequence[Table]) -> Table:
    """Return one table of the rows of several."""
    return Table(*(np.concatenate([getattr(table, field.name) for table in tables]) for field in fields(Table)))


def _keys(above: Int32, below: Int32) -> Int64:
    return above.astype(np.int64) << 32 | below
