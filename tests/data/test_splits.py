"""Splits: no speaker is in two, every utterance is in one, the same seed gives the same."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.data.splits import divide
from xlsr.data.utterance import Utterance
from xlsr.errors import ManifestError

SHARES = [(0.9, 0.05, 0.05), (0.8, 0.2), (0.5, 0.25, 0.25), (0.9, 0.0, 0.1)]


def row(number: int, duration: float = 1.0, **known: str | None) -> Utterance:
    return Utterance(Path(known.pop("audio", None) or f"a/{number}.wav"), duration, **known)


@st.composite
def spoken(draw) -> list[Utterance]:
    count = draw(st.integers(3, 12))
    lengths = draw(st.lists(st.floats(0.1, 30), min_size=count, max_size=60))
    return [row(number, length, speaker=f"s{number % count}") for number, length in enumerate(lengths)]


@given(spoken(), st.sampled_from(SHARES), st.integers(0, 5), st.randoms())
def test_speakers_are_whole_and_everyone_is_somewhere(utterances, shares, seed: int, random) -> None:
    divided, notes = divide(utterances, shares, seed=seed)
    assert not notes
    assert [each.audio for each in divided] == [each.audio for each in utterances]
    splits = defaultdict(set)
    for each in divided:
        splits[each.speaker].add(each.split)
    assert all(len(found) == 1 for found in splits.values())
    wanted = {name for name, share in zip(("train", "dev", "test"), shares, strict=False) if share}
    assert {each.split for each in divided} == wanted
    shuffled = random.sample(utterances, len(utterances))
    again = {each.audio: each.split for each in divide(shuffled, shares, seed=seed)[0]}
    assert again == {each.audio: each.split for each in divided}


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_met_where_speakers_are_many(seed: int) -> None:
    utterances = [row(number, 1 + number % 7, speaker=f"s{number % 200}") for number in range(2000)]
    divided, _ = divide(utterances, (0.9, 0.05, 0.05), seed=seed)
    total = sum(each.duration for each in divided)
    for split, share in (("train", 0.9), ("dev", 0.05), ("test", 0.05)):
        found = sum(each.duration for each in divided if each.split == split) / total
        assert found == pytest.approx(share, abs=0.01)  # a speaker is at most 0.9 % of the whole


def test_another_seed_divides_otherwise() -> None:
    utterances = [row(number, speaker=f"s{number}") for number in range(50)]
    assert divide(utterances, (0.5, 0.5), seed=0) != divide(utterances, (0.5, 0.5), seed=1)


def test_without_speakers_folders_stay_together() -> None:
    utterances = [row(number, audio=f"{number % 5}/{number}.wav") for number in range(40)]
    divided, notes = divide(utterances, (0.6, 0.2, 0.2))
    assert "40 utterances have no speaker: divided by folder (5 folders)" in notes[0]
    assert len({(each.audio.parent, each.split) for each in divided}) == 5


def test_without_speakers_and_folders_recordings_stay_together() -> None:
    utterances = [row(number, audio=f"a/{number // 4}.wav") for number in range(40)]
    divided, notes = divide(utterances, (0.6, 0.2, 0.2))
    assert "divided by recording" in notes[0]
    assert len({(each.audio, each.split) for each in divided}) == 10


def test_what_the_corpus_divided_stays_and_its_speakers_follow() -> None:
    given_ = [row(0, speaker="x", split="test"), row(1, speaker="y", split="extra")]
    rest = [row(number, speaker=f"s{number}") for number in range(2, 12)] + [row(12, speaker="x")]
    divided, _ = divide([*given_, *rest], (0.5, 0.5))
    assert divided[:2] == given_
    assert divided[-1].split == "test"
    assert {each.split for each in divided[2:-1]} == {"train", "dev"}


def test_too_few_speakers_are_refused() -> None:
    with pytest.raises(
        ManifestError, match="2 speakers, folders or recordings cannot be divided into train, dev, test"
    ):
        divide([row(number, speaker=f"s{number % 2}") for number in range(9)], (0.8, 0.1, 0.1))


@pytest.mark.parametrize(
    "shares", [(), (1.0,), (0.5, 0.4), (0.5, 0.6, -0.1), (0.0, 1.0), (0.25,) * 4, (float("nan"), 1)]
)
def test_shares_that_are_none_are_refused(shares) -> None:
    with pytest.raises(ManifestError, match="shares of train, dev, test"):
        divide([row(0), row(1)], shares)
