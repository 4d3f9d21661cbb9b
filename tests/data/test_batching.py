"""Batches: every utterance once, little padding, a bounded size, an order that can be repeated."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xlsr.data.batching import plan_batches


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=200), st.floats(10, 100), st.integers(0, 2**32 - 1))
def test_every_utterance_once_and_no_batch_too_large(durations, max_seconds: float, seed: int) -> None:
    plan = plan_batches(durations, max_seconds=max_seconds, rng=np.random.default_rng(seed))
    assert sorted(index for batch in plan for index in batch) == list(range(len(durations)))
    for batch in plan:
        assert len(batch) == 1 or len(batch) * max(durations[i] for i in batch) <= max_seconds


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    durations = list(np.random.default_rng(0).uniform(1, 10, 300))
    plans = [plan_batches(durations, max_seconds=60, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_padding_stays_small() -> None:
    durations = list(np.random.default_rng(0).uniform(1, 15, 2000))
    plan = plan_batches(durations, max_seconds=120, rng=np.random.default_rng(0))
    padded = sum(len(batch) * max(durations[i] for i in batch) for batch in plan)
    assert sum(durations) / padded > 0.93
