"""Shares of languages and corpora follow their formula, in the plan and in what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.data.batching import plan_batches
from xlsr.data.mixture import Mixture, shares

HOURS = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), st.floats(0.1, 1e5), min_size=1, max_size=12
)


@given(hours=HOURS, alpha=st.floats(0, 1))
def test_shares_are_the_papers_at_both_levels(hours, alpha) -> None:
    found = shares(hours, alpha=alpha)
    languages = {name: sum(v for (language, _), v in hours.items() if language == name) for name, _ in hours}
    total = sum(languages.values())
    norm = sum((v / total) ** alpha for v in languages.values())
    assert sum(found.values()) == pytest.approx(1)
    for name, value in languages.items():
        own = {group: v for group, v in hours.items() if group[0] == name}
        assert sum(found[group] for group in own) == pytest.approx((value / total) ** alpha / norm)
        inner = sum((v / value) ** alpha for v in own.values())
        for group, v in own.items():
            assert found[group] == pytest.approx((value / total) ** alpha / norm * (v / value) ** alpha / inner)


def test_the_example_of_fairseq() -> None:
    assert shares({("A", "x"): 100, ("B", "x"): 25}, alpha=0.5) == pytest.approx({("A", "x"): 2 / 3, ("B", "x"): 1 / 3})


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_100000_draws_have_their_shares(alpha: float) -> None:
    sizes = {("eng", "read"): 500, ("eng", "phone"): 60, ("tat", "read"): 25, ("zul", "read"): 4}
    groups = [group for group, count in sizes.items() for _ in range(count)]
    mixture = Mixture(groups, [3.0] * len(groups), alpha=alpha)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([mixture.draw(rng) for _ in range(170)])
    assert len(drawn) == pytest.approx(100_000, rel=0.01)
    wanted = shares({group: 3.0 * count for group, count in sizes.items()}, alpha=alpha)
    for group, share in wanted.items():
        found = np.mean([groups[index] == group for index in drawn])
        # Only the remainder of each epoch is drawn by chance: less than one utterance a group and epoch.
        assert found == pytest.approx(share, abs=1e-3)


def test_shares_are_of_audio_not_of_utterances() -> None:
    groups, seconds = [("a", "x")] * 100 + [("b", "x")] * 100, [2.0] * 100 + [8.0] * 100
    mixture = Mixture(groups, seconds, alpha=0.0)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([mixture.draw(rng) for _ in range(50)])
    audio = [np.asarray(seconds)[drawn][drawn < 100].sum(), np.asarray(seconds)[drawn][drawn >= 100].sum()]
    assert audio[0] == pytest.approx(audio[1], rel=0.01)
    assert sum(audio) == pytest.approx(50 * 1000.0, rel=0.01)


def test_alpha_one_takes_everything_once_and_every_epoch_its_own_remainder() -> None:
    groups = [("a", "x")] * 30 + [("b", "x")] * 10
    whole = Mixture(groups, [1.0] * 40, alpha=1.0).draw(np.random.default_rng(0))
    assert sorted(whole) == list(range(40))
    half = Mixture(groups, [1.0] * 40, alpha=0.5)
    first, again, second = (half.draw(np.random.default_rng([0, epoch])) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(np.sort(first), np.sort(second))
    assert set(range(30, 40)) <= set(first)  # the small language whole, and some of it twice


@given(
    durations=st.lists(st.floats(0.5, 30), min_size=1, max_size=60), stretch=st.floats(1.0, 3.0),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_batch_stretches_only_so_far(durations, stretch, seed) -> None:
    plan = plan_batches(durations, max_seconds=60, rng=np.random.default_rng(seed), stretch=stretch)
    assert sorted(index for batch in plan for index in batch) == list(range(len(durations)))
    for batch in plan:
        seconds = [durations[index] for index in batch]
        assert max(seconds) <= stretch * min(seconds)
        assert len(batch) == 1 or len(batch) * max(seconds) <= 60
