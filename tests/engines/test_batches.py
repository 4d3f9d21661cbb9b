"""Batches: every waveform once, in its place, none padded beyond the limit."""

import numpy as np
import pytest

from xlsr.engines.batches import batched_log_probs


class CountingEngine:
    name = "counting"

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def log_probs(self, waveforms):
        self.calls.append([len(waveform) for waveform in waveforms])
        return [np.full((1, 1), len(waveform), np.float32) for waveform in waveforms]


@pytest.mark.parametrize("seconds", [0.5, 3.0, 100.0])
def test_results_keep_their_order_and_batches_their_limit(seconds: float) -> None:
    lengths = [48_000, 400, 16_000, 16_000, 8_000, 32_000]
    engine = CountingEngine()
    found = batched_log_probs(engine, [np.zeros(length, np.float32) for length in lengths], seconds)
    assert [int(row[0, 0]) for row in found] == lengths
    assert sorted(length for call in engine.calls for length in call) == sorted(lengths)
    assert all(len(call) == 1 or len(call) * max(call) <= seconds * 16_000 for call in engine.calls)


def test_nothing_is_no_call() -> None:
    engine = CountingEngine()
    assert batched_log_probs(engine, [], 10.0) == []
    assert engine.calls == []
