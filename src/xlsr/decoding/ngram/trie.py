"""N-grams with their probabilities -> the arrays of a trie. Knows word ids; reads no file.

Nodes are numbered order by order, within an order by parent and word, so that siblings lie side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlsr.decoding.ngram.lookup import Float32, Int32, NGramArrays, find_prefixes, insert_children, link_suffixes


@dataclass(frozen=True)
class Level:
    """The n-grams of one order, in any order.

    Attributes:
        words: (n, order) int32 word ids.
        log_prob: (n,) float32, natural logarithm.
        backoff: (n,) float32, natural logarithm of the weight; 0 without.
    """

    words: Int32
    log_prob: Float32
    backoff: Float32


class RepeatedNGramError(ValueError):
    """An n-gram is there twice.

    Attributes:
        order: of the n-gram.
        row: of the second one in its level.
    """

    def __init__(self, order: int, row: int) -> None:
        super().__init__(f"n-gram {row} of order {order} is a repetition")
        self.order, self.row = order, row


def build_trie(levels: Sequence[Level]) -> tuple[NGramArrays, tuple[int, ...]]:
    """Return the arrays of a back-off model, and the number of its n-grams of each order.

    What stands before the last word of an n-gram need not be in the model: it is added with the probability that
    backing off gives it, and no weight, which changes no score.

    Args:
        levels: orders 1, 2, …; the first holds every word id exactly once.

    Raises:
        RepeatedNGramError: an n-gram is there twice.
    """
    levels = list(levels)
    arrays = _empty_trie([len(level.log_prob) for level in levels])
    first = 1
    for order, level in enumerate(levels, 1):
        parents = find_prefixes(arrays, level.words)
        if (parents < 0).any():
            levels[order - 2] = _with_blanks(levels[order - 2], level.words[parents < 0, :-1])
            return build_trie(levels)
        last = level.words[:, -1]
        rows = np.lexsort((last, parents))
        parents, last = parents[rows], last[rows]
        repeated = (parents[1:] == parents[:-1]) & (last[1:] == last[:-1])
        if repeated.any():
            pair = rows[np.flatnonzero(repeated)[0] :][:2]
            raise RepeatedNGramError(order, int(pair.max()))
        arrays.log_prob[first : first + len(rows)] = level.log_prob[rows]
        arrays.backoff[first : first + len(rows)] = level.backoff[rows] if order < len(levels) else 0.0
        attach(arrays, parents, last, first)
        first += len(rows)
    arrays.is_state[arrays.backoff != 0] = 1
    return arrays, tuple(len(level.log_prob) for level in levels)


def attach(arrays: NGramArrays, parents: Int32, words: Int32, first: int) -> None:
    """Enter the nodes of one order, first, first + 1, …, below their parents, with their suffixes."""
    if first > 1:
        insert_children(arrays, parents, words, first)
        link_suffixes(arrays, parents, words, first)
        arrays.is_state[parents] = 1
    else:
        arrays.suffix[first : first + len(words)] = 0


def parents_and_words(arrays: NGramArrays) -> tuple[Int32, Int32]:
    """Return (nodes,) int32 each: the node before the last word and the last word; -1 for the root."""
    parents = np.zeros(len(arrays.log_prob), np.int32)
    words = np.arange(-1, len(parents) - 1, dtype=np.int32)
    parents[0] = -1
    taken = arrays.slots >= 0
    parents[arrays.children[taken]] = arrays.slots[taken] >> 32
    words[arrays.children[taken]] = arrays.slots[taken] & 0xFFFFFFFF
    return parents, words


def _empty_trie(counts: Sequence[int]) -> NGramArrays:
    nodes = 1 + sum(counts)
    size = 1 << max(3, (2 * sum(counts[1:]) - 1).bit_length())  # half full at most: a miss takes 2.5 looks
    arrays = NGramArrays(
        log_prob=np.zeros(nodes, np.float32),
        backoff=np.zeros(nodes, np.float32),
        suffix=np.full(nodes, -1, np.int32),
        slots=np.full(size, -1, np.int64),
        children=np.zeros(size, np.int32),
        is_state=np.zeros(nodes, np.uint8),
    )
    arrays.is_state[0] = 1
    return arrays


def _with_blanks(level: Level, missing: Int32) -> Level:
    words = np.unique(missing, axis=0).astype(np.int32)
    blank = np.full(len(words), np.nan, np.float32)
    return Level(
        np.concatenate((level.words, words)),
        np.concatenate((level.log_prob, blank)),
        np.concatenate((level.backoff, np.zeros_like(blank))),
    )
