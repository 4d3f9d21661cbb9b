"""Counting: the same n-grams in one block, in many, and by a counter of tuples."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.decoding.ngram.counts import NGramCounts, count_distinct, windows

BEGIN, END = 1, 2


def counted(sentences: list[list[int]], order: int, size: int, memory_bytes: int) -> list[tuple[tuple[int, ...], int]]:
    """What the blocks hold, in their order, as n-grams that are read from left to right."""
    with NGramCounts(order, size, memory_bytes) as counts:
        blocks = [np.array([*words, END], np.int32) for words in sentences]
        if memory_bytes > 1000:
            blocks = [np.concatenate(blocks)]
        counts.count(blocks, BEGIN, END)
        found = [
            (tuple(gram[::-1]), count)
            for block in counts.blocks()
            for gram, count in zip(block.columns.T.tolist(), block.counts.tolist(), strict=True)
        ]
        again = sum(len(block.counts) for block in counts.blocks())
    assert again == len(found)
    return found


@settings(max_examples=40, deadline=None)
@given(
    sentences=st.lists(st.lists(st.integers(3, 6), max_size=5), min_size=1, max_size=8),
    order=st.integers(2, 5),
    size=st.sampled_from([7, 1 << 20, 1 << 30]),
    memory=st.sampled_from([1, 1 << 20]),
)
def test_every_n_gram_is_counted_once(sentences, order, size, memory) -> None:
    wanted = Counter(
        tuple([BEGIN] * (order - 1) + words + [END])[place : place + order]
        for words in sentences
        for place in range(len(words) + 1)
    )
    if memory == 1 and size == 1 << 30:
        size = 1 << 10  # merging counts the last words in an array
    found = counted(sentences, order, size, memory)
    assert dict(found) == wanted
    assert [gram[::-1] for gram, _ in found] == sorted(gram[::-1] for gram in wanted)


def test_sentences_do_not_run_into_each_other() -> None:
    found = windows(np.array([3, END, 4, 5, END], np.int32), 3, BEGIN, END)
    assert found.T[:, ::-1].tolist() == [[1, 1, 3], [1, 3, 2], [1, 1, 4], [1, 4, 5], [4, 5, 2]]


@pytest.mark.parametrize("weights", [None, [5, 1, 2]])
def test_numbers_of_more_than_63_bits_are_told_apart(weights) -> None:
    size = 1 << 30
    columns = np.array([[size - 1, 0, size - 1], [7, 7, 7], [0, size - 1, 0], [size - 2, 1, size - 2]], np.int32)
    found = count_distinct(columns, None if weights is None else np.array(weights), size)
    assert found.columns.T.tolist() == [[0, 7, size - 1, 1], [size - 1, 7, 0, size - 2]]
    assert found.counts.tolist() == ([1, 2] if weights is None else [1, 7])
