"""Forced alignment against an exhaustive search over all paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xlsr.decoding.hypothesis import TokenSpan
from xlsr.decoding.viterbi import WILDCARD, align_ids
from xlsr.errors import AlignmentError

COST = 0.5


def random_log_probs(frames: int, vocab: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(frames, vocab)) * 3
    return (values - np.log(np.exp(values).sum(axis=1, keepdims=True))).astype(np.float32)


def exhaustive(log_probs: np.ndarray, ids: list[int], blank_id: int) -> float:
    """The score of the best of all monotone paths through the states gap, token, gap ...; wildcards are free gaps."""
    tokens = [id for id in ids if id != WILDCARD]
    free = {sum(id != WILDCARD for id in ids[:place]) for place, id in enumerate(ids) if id == WILDCARD}
    best = -np.inf
    for path in product(range(2 * len(tokens) + 1), repeat=len(log_probs)):
        moves = zip((0, *path), path, strict=False)
        if path[0] > 1 or path[-1] < 2 * len(tokens) - 1 or not all(_may(a, b, tokens) for a, b in moves):
            continue
        score = 0.0
        for row, state in zip(log_probs, path, strict=True):
            emission = row[tokens[state // 2]] if state % 2 else row[blank_id]
            if state % 2 == 0 and state // 2 in free:
                emission = max(emission, np.delete(row, blank_id).max() - COST)
            score += float(emission)
        best = max(best, score)
    return best


def _may(old: int, new: int, tokens: list[int]) -> bool:
    if new - old in (0, 1):
        return True
    return new - old == 2 and new % 2 == 1 and tokens[new // 2] != tokens[old // 2]


def score_of(spans: list[TokenSpan], log_probs: np.ndarray, blank_id: int) -> float:
    """The score of the path that the spans describe."""
    total, frame = 0.0, 0
    for span in spans:
        total += float(log_probs[frame : span.start, blank_id].sum())
        total += (span.end - span.start) * span.score
        frame = span.end
    return total + float(log_probs[frame:, blank_id].sum())


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(4)), elements=st.integers(-6, 0).map(float)),
    st.lists(st.integers(1, 3), max_size=3),
)
def test_the_path_is_the_best_of_all(log_probs: np.ndarray, ids: list[int]) -> None:
    wanted = exhaustive(log_probs, ids, 0)
    if wanted == -np.inf:
        with pytest.raises(AlignmentError, match="too long for it"):
            align_ids(log_probs, ids, 0)
        return
    spans = align_ids(log_probs, ids, 0)
    assert [span.id for span in spans] == ids
    assert all(span.start < span.end for span in spans)
    assert all(a.end <= b.start and (a.id != b.id or a.end < b.start) for a, b in zip(spans, spans[1:], strict=False))
    assert score_of(spans, log_probs, 0) == pytest.approx(wanted, abs=1e-4)
