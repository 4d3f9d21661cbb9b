"""The best path against brute force and recorded spans."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xlsr.decoding.greedy import GreedyDecoder
from xlsr.decoding.hypothesis import Hypothesis, TokenSpan


def path(ids: list[int], vocab: int, probability: float = 0.9) -> np.ndarray:
    """Log-probabilities whose best path is `ids`: (frames, vocab)."""
    rest = (1 - probability) / (vocab - 1)
    probabilities = np.full((len(ids), vocab), rest, dtype=np.float32)
    probabilities[np.arange(len(ids)), ids] = probability
    return np.log(probabilities)


def brute_force(log_probs: np.ndarray, blank_id: int) -> list[tuple[int, int, int, float]]:
    spans, frame = [], 0
    for token, run in groupby(int(np.argmax(row)) for row in log_probs):
        end = frame + len(list(run))
        if token != blank_id:
            spans.append((token, frame, end, float(np.mean([log_probs[i, token] for i in range(frame, end)]))))
        frame = end
    return spans


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 12), st.integers(2, 4)),
        elements=st.integers(-6, 0).map(float),  # few values: ties and repetitions are common
    ),
    st.integers(0, 1),
)
def test_spans_equal_brute_force(log_probs: np.ndarray, blank_id: int) -> None:
    (found,) = GreedyDecoder(blank_id).decode(log_probs)
    wanted = brute_force(log_probs, blank_id)
    assert [(span.id, span.start, span.end) for span in found.spans] == [span[:3] for span in wanted]
    np.testing.assert_allclose([span.score for span in found.spans], [span[3] for span in wanted], atol=1e-5)
    np.testing.assert_allclose(found.score, log_probs.max(axis=1, initial=-np.inf).sum() if len(log_probs) else 0)


def test_spans_equal_recorded_offsets(reference: Path) -> None:
    golden = json.loads((reference / "golden" / "tokenizer_golden.json").read_text(encoding="utf-8"))
    (found,) = GreedyDecoder(0).decode(path(golden["ids"], 32))
    wanted = [(offset["start_offset"], offset["end_offset"]) for offset in golden["char_offsets"]]
    assert [(span.start, span.end) for span in found.spans] == wanted


def test_score_of_a_token_is_the_mean_of_its_frames() -> None:
    log_probs = np.log(np.array([[0.2, 0.8], [0.5, 0.5], [0.4, 0.6]], dtype=np.float32))
    (found,) = GreedyDecoder(0).decode(log_probs)
    assert found.ids == (1, 1)  # the tie in the middle goes to the blank, the lower id
    assert found.spans[0] == TokenSpan(1, 0, 1, pytest.approx(np.log(0.8)))
    assert found.score == pytest.approx(np.log(0.8 * 0.5 * 0.6))


def test_no_frames_are_an_empty_hypothesis() -> None:
    assert GreedyDecoder(0).decode(np.zeros((0, 4), dtype=np.float32)) == [Hypothesis(spans=(), score=0.0)]


def test_silence_is_an_empty_hypothesis() -> None:
    (found,) = GreedyDecoder(2).decode(path([2] * 5, 3))
    assert found.spans == ()
    assert found.score < 0


def test_one_frame_is_one_token() -> None:
    (found,) = GreedyDecoder(0).decode(path([2], 3))
    assert (found.ids, found.spans[0].start, found.spans[0].end) == ((2,), 0, 1)


def test_nan_and_wrong_shapes_are_named() -> None:
    log_probs = path([1, 1, 0], 3)
    log_probs[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN in 1 of 3 frames"):
        GreedyDecoder(0).decode(log_probs)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        GreedyDecoder(0).decode(np.zeros(3))
    with pytest.raises(ValueError, match="a column 5"):
        GreedyDecoder(5).decode(path([1], 3))
    with pytest.raises(ValueError, match="blank_id is -1"):
        GreedyDecoder(-1)
