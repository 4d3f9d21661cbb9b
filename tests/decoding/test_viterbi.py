"""Forced alignment against an exhaustive search over all paths, and against a plain table where there are too many."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xlsr.decoding import viterbi
from xlsr.decoding.hypothesis import WILDCARD, TokenSpan
from xlsr.decoding.viterbi import align_ids
from xlsr.errors import AlignmentError

COST = 0.5
SPACE = 4  # of the tests that have one


def random_log_probs(frames: int, vocab: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(frames, vocab)) * 3
    return (values - np.log(np.exp(values).sum(axis=1, keepdims=True))).astype(np.float32)


def spoken(ids: list[int], starts: list[int], frames: int, vocab: int, seed: int = 0) -> np.ndarray:
    """Log-probabilities of a peaky model that hears `ids` at `starts`, one frame each."""
    log_probs = random_log_probs(frames, vocab, seed) - 6
    log_probs[:, 0] = -0.1
    log_probs[starts, 0] = -4
    log_probs[starts, ids] = -0.2
    return log_probs


def emissions(log_probs: np.ndarray, ids: list[int]) -> tuple[list[int], np.ndarray]:
    """The tokens, and the log-probability of every frame in every state: gap 0, token 1, gap 1 ... The blank is 0."""
    tokens, gaps = [], [log_probs[:, 0]]
    for id in ids:
        if id == WILDCARD:
            gaps[-1] = np.maximum(gaps[-1], np.maximum(log_probs[:, SPACE], log_probs[:, 1:].max(axis=1) - COST))
        elif id == SPACE:
            gaps[-1] = np.maximum(gaps[-1], log_probs[:, SPACE])
        else:
            tokens.append(id)
            gaps += [log_probs[:, id], log_probs[:, 0]]
    return tokens, np.stack(gaps, axis=1).astype(np.float64)


def origins(state: int, tokens: list[int]) -> Iterator[int]:
    yield from range(max(state - 1, 0), state + 1)
    if state % 2 and state > 1 and tokens[state // 2] != tokens[state // 2 - 1]:
        yield state - 2


def exhaustive(log_probs: np.ndarray, ids: list[int]) -> float:
    """The score of the best of all paths, each of which is followed to its end."""
    tokens, table = emissions(log_probs, ids)

    def best_from(frame: int, state: int) -> float:
        if frame < 0:
            return 0.0 if state == 0 else -np.inf
        return table[frame, state] + max(best_from(frame - 1, origin) for origin in origins(state, tokens))

    return max(best_from(len(table) - 1, state) for state in range(2 * len(tokens) + 1)[-2:])


def full_table(log_probs: np.ndarray, ids: list[int]) -> float:
    """The score of the best path, by a table over all states in double precision."""
    tokens, table = emissions(log_probs, ids)
    scores = np.full(2 * len(tokens) + 1, -np.inf)
    scores[0] = 0
    for row in table:
        scores = row + [max(scores[origin] for origin in origins(state, tokens)) for state in range(len(scores))]
    return float(scores[-2:].max())


def score_of(spans: list[TokenSpan], log_probs: np.ndarray) -> float:
    """The score of the path that spans without wildcards describe."""
    total, frame = 0.0, 0
    for span in spans:
        total += float(log_probs[frame : span.start, 0].sum()) + (span.end - span.start) * span.score
        frame = span.end
    return total + float(log_probs[frame:, 0].sum())


def path_score(log_probs: np.ndarray, ids: list[int]) -> float:
    """The score of the path found; what lies between two tokens is the gap of the one before."""
    tokens, table = emissions(log_probs, ids)
    spans = align_ids(log_probs, ids, 0, space_id=SPACE, wildcard_cost=COST)
    states = np.zeros(len(log_probs), int)
    for place, span in enumerate(span for span in spans if span.id not in (WILDCARD, SPACE)):
        assert span.id == tokens[place]
        states[span.start : span.end] = 2 * place + 1
        states[span.end :] = 2 * place + 2
    return float(table[np.arange(len(states)), states].sum())


few_values = st.integers(-6, 0).map(float)  # ties and repetitions are common
small = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(5)), elements=few_values)


@settings(max_examples=100, deadline=None)
@given(small, st.lists(st.sampled_from([1, 2, 3, 3, SPACE, WILDCARD]), min_size=1, max_size=5))
def test_the_path_is_the_best_of_all_paths(log_probs: np.ndarray, ids: list[int]) -> None:
    wanted = exhaustive(log_probs, ids)
    assert full_table(log_probs, ids) == pytest.approx(wanted)
    if wanted == -np.inf:
        with pytest.raises(AlignmentError, match="too long for it"):
            align_ids(log_probs, ids, 0, space_id=SPACE)
        return
    assert path_score(log_probs, ids) == pytest.approx(wanted, abs=1e-4)  # sums of float32
    spans = align_ids(log_probs, ids, 0, space_id=SPACE)
    assert [span.id for span in spans] == ids
    assert all(a.end <= b.start for a, b in pairwise(spans))
    tokens = [span for span in spans if span.id not in (WILDCARD, SPACE)]
    assert all(span.start < span.end for span in tokens)
    assert all(a.end < b.start for a, b in pairwise(tokens) if a.id == b.id)
    if len(tokens) == len(spans):
        assert score_of(spans, log_probs) == pytest.approx(wanted, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(0, 140), st.sampled_from([0.1, 1.0]))
def test_stretches_computed_anew_make_one_best_path(seed: int, count: int, spare: int, share: float) -> None:
    random = np.random.default_rng(seed)
    ids = random.choice([1, 2, SPACE, WILDCARD], size=count, p=[share / 2, share / 2 - 0.02, 0.02, 1 - share]).tolist()
    log_probs = random_log_probs(2 * count + spare, 5, seed)
    assert path_score(log_probs, ids) == pytest.approx(full_table(log_probs, ids), abs=1e-3)


def test_any_column_can_be_the_blank() -> None:
    log_probs = random_log_probs(30, 4)
    moved = log_probs[:, [1, 2, 3, 0]]
    wanted = [(span.start, span.end) for span in align_ids(log_probs, [1, 3, 3, WILDCARD, 2], 0)]
    assert [(span.start, span.end) for span in align_ids(moved, [0, 2, 2, WILDCARD, 1], 3)] == wanted


def test_a_token_fills_its_frames_and_its_score_is_their_mean() -> None:
    log_probs = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]], np.float32))
    (span,) = align_ids(log_probs, [1], 0)
    assert span == TokenSpan(1, 1, 3, pytest.approx(np.log(0.8 * 0.6) / 2))


def test_equal_neighbours_are_parted_by_a_blank() -> None:
    log_probs = np.log(np.array([[0.1, 0.9]] * 3, np.float32))
    assert [(span.start, span.end) for span in align_ids(log_probs, [1, 1], 0)] == [(0, 1), (2, 3)]
    with pytest.raises(AlignmentError, match="2 tokens, 1 of them equal to the one before, want 3 frames"):
        align_ids(log_probs[:2], [1, 1], 0)


def test_every_frame_may_be_a_token() -> None:
    log_probs = random_log_probs(50, 5)
    ids = [1, 2] * 25
    assert [(span.start, span.end) for span in align_ids(log_probs, ids, 0)] == [(i, i + 1) for i in range(50)]


def test_more_tokens_than_a_byte_counts_are_aligned() -> None:
    ids = (np.arange(600) % 290 + 1).tolist()
    starts = (3 * np.arange(600) + 1).tolist()
    log_probs = spoken(ids, starts, 1800, 300)
    assert [span.start for span in align_ids(log_probs, ids, 0)] == starts
    narrow = np.array(ids[:300]) % 100 + 1
    found = align_ids(spoken(narrow.tolist(), starts[:300], 1800, 300), narrow.astype(np.int8), 0)
    assert [span.start for span in found] == starts[:300]


def test_a_wildcard_takes_the_symbols_that_no_token_explains() -> None:
    starts = [3, 6, 20, 24, 28, 40, 43]
    log_probs = spoken([1, 2, 3, 4, 3, 1, 2], starts, 50, 5)
    spans = align_ids(log_probs, [1, 2, WILDCARD, 1, 2], 0)
    assert [(span.start, span.end) for span in spans] == [(3, 4), (6, 7), (20, 29), (40, 41), (43, 44)]
    spans = align_ids(log_probs, [WILDCARD, 1, 2, WILDCARD], 0)
    assert spans[0] == TokenSpan(WILDCARD, 3, 29, pytest.approx(log_probs[3:29].max(axis=1).mean()))
    assert (spans[3].start, spans[3].end) == (44, 44)  # nothing is left for the last one


def test_a_space_may_be_left_out_and_heard_twice() -> None:
    log_probs = spoken([1, 4, 4, 2, 3], [2, 4, 9, 12, 14], 20, 5)
    spans = align_ids(log_probs, [1, 4, 2, 4, 3], 0, space_id=4)
    assert [(span.start, span.end) for span in spans] == [(2, 3), (4, 10), (12, 13), (13, 13), (14, 15)]
    assert [span.start for span in align_ids(log_probs, [1, 4, 2, 3], 0)] == [2, 9, 12, 14]  # one of a text, once


def test_neighbouring_wildcards_share_evenly() -> None:
    log_probs = spoken([1, 2, 2, 3], [2, 10, 19, 25], 30, 4)
    spans = align_ids(log_probs, [1, WILDCARD, WILDCARD, 3], 0)
    assert [(span.start, span.end) for span in spans] == [(2, 3), (10, 15), (15, 20), (25, 26)]
    (only,) = align_ids(log_probs, [WILDCARD], 0)
    assert (only.start, only.end) == (2, 26)


def test_a_band_widens_until_it_holds_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viterbi, "EXACT_CELLS", 0)
    monkeypatch.setattr(viterbi, "BAND_TOKENS", 4)
    widths = []
    search = viterbi.search
    monkeypatch.setattr(
        viterbi,
        "search",
        lambda *arguments: widths.append(int((arguments[2] - arguments[1]).max())) or search(*arguments),
    )
    random = np.random.default_rng(0)
    ids = random.integers(1, 9, 200).tolist()
    # Spoken evenly, the symbols heard lead straight to the path.
    even = (4 * np.arange(200) + 2).tolist()
    assert [span.start for span in align_ids(spoken(ids, even, 900, 9), ids, 0)] == even
    assert widths == [8]
    # 60 other symbols before them lead away from it.
    late = [start + 300 for start in even]
    log_probs = spoken([9] * 60 + ids, [4 * place + 1 for place in range(60)] + late, 1200, 10)
    spans = align_ids(log_probs, [WILDCARD, *ids], 0)
    assert [span.start for span in spans[1:]] == late
    assert len(widths) > 3
    assert full_table(log_probs, [WILDCARD, *ids]) == pytest.approx(path_score(log_probs, [WILDCARD, *ids]), abs=1e-2)


def test_memory_grows_with_the_length_and_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    def peak(frames: int) -> int:
        log_probs, ids = random_log_probs(frames, 8), np.arange(frames // 5) % 7 + 1
        tracemalloc.start()
        align_ids(log_probs, ids, 0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)  # compiles
    # 1 byte a cell would take 3.2 MB, and 51 MB; what is held per frame and token takes some hundred bytes a frame.
    assert peak(4000) < 1_500_000
    assert peak(16_000) < 6_000_000


def test_the_impossible_is_an_error() -> None:
    log_probs = random_log_probs(10, 4)
    log_probs[:, 2] = -np.inf
    assert len(align_ids(log_probs, [1, 3], 0)) == 2
    with pytest.raises(AlignmentError, match="no path has a probability above zero"):
        align_ids(log_probs, [1, 2], 0)


def test_no_tokens_and_no_frames() -> None:
    assert align_ids(random_log_probs(3, 4), [], 0) == []
    assert align_ids(np.zeros((0, 4), np.float32), [], 0) == []
    with pytest.raises(AlignmentError, match="the recording has 0"):
        align_ids(np.zeros((0, 4), np.float32), [1], 0)
    assert align_ids(np.zeros((0, 4), np.float32), [WILDCARD], 0) == [TokenSpan(WILDCARD, 0, 0, 0.0)]


def test_wrong_arguments_are_named() -> None:
    log_probs = random_log_probs(4, 3)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        align_ids(log_probs[0], [1], 0)
    with pytest.raises(ValueError, match="a column 3"):
        align_ids(log_probs, [1], 3)
    for id in (0, 3, -2):
        with pytest.raises(ValueError, match=f"id {id} cannot be aligned"):
            align_ids(log_probs, [1, id], 0)
    log_probs[2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN, or all infinite, in 1 of 4 frames"):
        align_ids(log_probs, [1], 0)
