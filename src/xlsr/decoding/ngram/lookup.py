"""The n-gram trie in flat arrays, and the compiled loops that walk it. Knows word ids; no words, no files.

A node spells an n-gram; node 0, the root, spells none, and the node of the single word w is 1 + w. Children of the root
are found by that rule, all others in a hash table with open addressing. A state is the node of a history.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xlsr.compiled import compiled

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]

# 2^64 over the golden ratio, as a signed number. Of the product the bits from 32 on count: they are the same whether
# the product wraps at 64 bits or not, so that the plain Python version finds the same slots.
_SPREAD = -7046029254386353131


class NGramArrays(NamedTuple):
    """A back-off model as plain arrays, one number a node, so that compiled code takes it as one tuple.

    Attributes:
        log_prob: (nodes,) float32, natural logarithm of p(last word | the words before) of the n-gram.
        backoff: (nodes,) float32, natural logarithm of the back-off weight, 0 where there is none.
        suffix: (nodes,) int32, node of the longest proper suffix in the model: the root for single words, -1 for the
            root.
        slots: (size,) int64, hash table, size a power of two: node << 32 | word, or -1.
        children: (size,) int32, the child's node in each slot.
        is_state: (nodes,) uint8, 1 where the node is a history of its own: it has children or a back-off weight.
    """

    log_prob: Float32
    backoff: Float32
    suffix: Int32
    slots: npt.NDArray[np.int64]
    children: Int32
    is_state: npt.NDArray[np.uint8]


@compiled
def find_child(arrays: NGramArrays, node: int, word: int) -> int:
    """Return the node of the n-gram of `node` followed by `word`, or -1 where it is not in the model."""
    if node == 0:
        return int(word) + 1
    slots = arrays.slots
    mask = len(slots) - 1
    key = (int(node) << 32) | int(word)
    slot = ((key * _SPREAD) >> 32) & mask
    while slots[slot] >= 0:
        if slots[slot] == key:
            return int(arrays.children[slot])
        slot = (slot + 1) & mask
    return -1


@compiled
def advance(arrays: NGramArrays, state: int, word: int) -> tuple[float, int]:
    """Return the natural log-probability of a word after a state, and the state behind the word.

    Where the n-gram is not in the model, the back-off weights on the way to a shorter history are added. The new state
    is the longest suffix that is a history.
    """
    total = 0.0
    node = int(state)
    child = find_child(arrays, node, word)
    while child < 0:
        total += arrays.backoff[node]
        node = int(arrays.suffix[node])
        child = find_child(arrays, node, word)
    total += arrays.log_prob[child]
    while arrays.is_state[child] == 0:
        child = int(arrays.suffix[child])
    return total, child


@compiled
def score_ids(arrays: NGramArrays, state: int, ids: Int32) -> tuple[Float32, int]:
    """Return the log-probability of each word of a sequence, and the state behind the last."""
    scores = np.empty(len(ids), np.float32)
    for place in range(len(ids)):
        scores[place], state = advance(arrays, state, ids[place])
    return scores, state


@compiled
def insert_children(arrays: NGramArrays, parents: Int32, words: Int32, first: int) -> None:
    """Enter nodes first, first + 1, … into the hash table, which has room; no n-gram comes twice."""
    mask = len(arrays.slots) - 1
    for place in range(len(parents)):
        key = (int(parents[place]) << 32) | int(words[place])
        slot = ((key * _SPREAD) >> 32) & mask
        while arrays.slots[slot] >= 0:
            slot = (slot + 1) & mask
        arrays.slots[slot] = key
        arrays.children[slot] = first + place


@compiled
def find_prefixes(arrays: NGramArrays, words: Int32) -> Int32:
    """Return the nodes of what stands before the last words of n-grams (n, order), -1 where it is not in the model."""
    nodes = np.empty(len(words), np.int32)
    for row in range(len(words)):
        node = 0
        for place in range(words.shape[1] - 1):
            node = find_child(arrays, node, words[row, place])
            if node < 0:
                break
        nodes[row] = node
    return nodes


@compiled
def link_suffixes(arrays: NGramArrays, parents: Int32, words: Int32, first: int) -> None:
    """Set the suffixes of nodes first, first + 1, …; a log-probability that is NaN becomes what backing off gives."""
    for place in range(len(parents)):
        total = arrays.backoff[parents[place]]
        node = int(arrays.suffix[parents[place]])
        child = find_child(arrays, node, words[place])
        while child < 0:
            total += arrays.backoff[node]
            node = int(arrays.suffix[node])
            child = find_child(arrays, node, words[place])
        arrays.suffix[first + place] = child
        if np.isnan(arrays.log_prob[first + place]):
            arrays.log_prob[first + place] = total + arrays.log_prob[child]
