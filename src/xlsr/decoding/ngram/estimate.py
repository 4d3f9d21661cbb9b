"""Tables of counts -> probabilities and back-off weights: interpolated modified Kneser-Ney, as KenLM's lmplz has it.

    p(w | h) = (a(h w) - D(a)) / sum of a(h ·) + backoff(h) p(w | h without its first word)

with adjusted counts a, a discount D for a = 1, 2, and 3 or more, and single words interpolated with the uniform
distribution over all words but <s>. N-grams that are too rare to keep give what they have to the back-off weight.

Sources: Chen and Goodman 1998, equations 26 and 27; Heafield et al. 2013, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from xlsr.decoding.ngram.counts import Int64
from xlsr.decoding.ngram.lookup import Int32
from xlsr.decoding.ngram.tables import Table, Tables, join_tables

Float64 = npt.NDArray[np.float64]
_FALLBACK = (0.5, 1.0, 1.5)  # lmplz's


@dataclass(frozen=True)
class Discounts:
    """What is taken off the adjusted counts of one order.

    Attributes:
        values: for counts 1, 2, and 3 or more.
        estimated: from the counts of counts; else they are the usual ones, since the text is too small or not natural.
    """

    values: tuple[float, float, float]
    estimated: bool

    def of(self, adjusted: Int64) -> Float64:
        """Return the discount of each count."""
        return np.array([0.0, *self.values])[np.minimum(adjusted, 3)]


@dataclass(frozen=True)
class Grams:
    """N-grams of one order with their probabilities; rows refer to the order below.

    Attributes:
        first: (n,) int32, the first word.
        suffix: (n,) int32, row below of the n-gram without its first word.
        context: (n,) int32, row below of the n-gram without its last word.
        count: (n,) int64, how often it occurs.
        prob: (n,) float64, of the last word after the others.
        backoff: (n,) float64, weight of shorter histories after this one.
    """

    first: Int32
    suffix: Int32
    context: Int32
    count: Int64
    prob: Float64
    backoff: Float64

    def select(self, rows: npt.NDArray[np.bool_]) -> Grams:
        """Return some of the rows."""
        return Grams(*(getattr(self, field.name)[rows] for field in fields(self)))


def estimate_discounts(histogram: Int64) -> Discounts:
    """Return the discounts of one order.

    Args:
        histogram: (5 or more,) how many n-grams have adjusted count 0, 1, 2, 3, 4.
    """
    n1, n2, n3, n4 = histogram[1:5].tolist()
    if not n1 * n2 * n3:
        return Discounts(_FALLBACK, estimated=False)
    ratio = n1 / (n1 + 2 * n2)
    one, two, more = 1 - 2 * ratio * n2 / n1, 2 - 3 * ratio * n3 / n2, 3 - 4 * ratio * n4 / n3
    if min(one, two, more) <= 0:  # without a discount nothing would be left for what was never seen
        return Discounts(_FALLBACK, estimated=False)
    return Discounts((one, two, more), estimated=True)


def estimate(tables: Tables, discounts: Sequence[Discounts], prune: Sequence[int]) -> list[Grams]:
    """Return the n-grams of orders 1, 2, … that are kept.

    Args:
        tables: of all orders.
        discounts: of each order.
        prune: of each order: n-grams that occur so often or less are left out; never falling, so that all parts of what
            is kept are kept. Words are always kept.
    """
    size = len(tables.words)
    root = np.zeros(1, np.int32)
    uniform = np.full(1, 1 / (size - 1))  # <s> never follows anything
    grams = [Grams(root, root, root, root.astype(np.int64), uniform, uniform)]
    kept = np.ones(1, bool)  # rows of the order below
    for order, (discount, threshold) in enumerate(zip(discounts, prune, strict=True), 1):
        blocks = tables.blocks(order)
        found = _Order(blocks, len(kept), discount, threshold if order > 1 else -1)
        grams[-1] = replace(grams[-1], backoff=found.backoff[kept])
        grams.append(found.grams(grams[-1], np.cumsum(kept) - 1))
        kept = found.kept
    return grams[1:]


class _Order:
    """What all n-grams of one order give and get; those that are kept, still with the rows of all below.

    Attributes:
        kept: (n,) bool, of all rows.
        backoff: (contexts,) float64.
    """

    def __init__(self, blocks: Iterable[Table], contexts: int, discounts: Discounts, threshold: int) -> None:
        total, freed = np.zeros(contexts), np.zeros(contexts)
        kept, tables = [], []
        for table in blocks:
            keep = table.count > threshold
            given = np.where(keep, discounts.of(table.adjusted), table.adjusted)
            total += np.bincount(table.context, table.adjusted, contexts)
            freed += np.bincount(table.context, given, contexts)
            kept.append(keep)
            tables.append(table.select(keep))
        self.kept = np.concatenate(kept)
        self.backoff = np.divide(freed, total, out=np.ones(contexts), where=total > 0)
        self._table, self._total, self._discounts = join_tables(tables), total, discounts

    def grams(self, below: Grams, rows: Int64) -> Grams:
        """Return the kept n-grams with their probabilities.

        Args:
            below: the kept n-grams of the order below.
            rows: what was a row below before pruning -> its row now.
        """
        table = self._table
        suffix, context = rows[table.suffix].astype(np.int32), rows[table.context].astype(np.int32)
        own = (table.adjusted - self._discounts.of(table.adjusted)) / self._total[table.context]
        prob = own + self.backoff[table.context] * below.prob[suffix]
        return Grams(table.first, suffix, context, table.count, prob, np.ones(len(prob)))
