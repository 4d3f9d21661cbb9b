"""Which utterances train, and which measure: splits by share of duration that no speaker crosses.

Knows utterances; opens no audio. What a corpus has divided itself stays as it is. Floor 2; below `prepare`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from xlsr.data.utterance import Utterance
from xlsr.errors import ManifestError

NAMES = ("train", "dev", "test")


def divide(
    utterances: Sequence[Utterance], shares: Sequence[float], *, seed: int = 0
) -> tuple[list[Utterance], list[str]]:
    """Give a split to each utterance that has none.

    Speakers are kept whole. What has no speaker is kept together by folder, if there are as many folders as splits,
    else by recording. A speaker of whom the corpus has put a part into a split follows it.

    Args:
        utterances: with their durations.
        shares: of the duration, for train, dev and, if there are three, test; their sum is 1.
        seed: the same seed gives the same splits, whatever the order of the utterances.

    Returns:
        The utterances in their order, and what the user should know: how many had a split already, and how those
        without a speaker were divided.

    Raises:
        ManifestError: the shares are none, or there are fewer speakers (folders, recordings) than splits.
    """
    targets = _targets(shares)
    keys, notes = _groups(utterances, len(targets))
    kept = sum(row.split is not None for row in utterances)
    if kept:
        notes.append(f"{kept} utterances keep the split that the corpus gives them (--resplit divides anew)")
    keyed = list(zip(keys, utterances, strict=True))
    # Who is in several already goes to the last in the alphabet: train before test before dev.
    fixed = dict(sorted((key, row.split) for key, row in keyed if row.split is not None))
    seconds: dict[str, float] = defaultdict(float)
    for key, row in keyed:
        if key not in fixed:
            seconds[key] += row.duration
    chosen = {**fixed, **_assign(seconds, targets, seed)}
    divided = [row if row.split is not None else replace(row, split=chosen[key]) for key, row in keyed]
    return divided, notes


def _targets(shares: Sequence[float]) -> dict[str, float]:
    """Split -> share of those that are wanted."""
    good = len(shares) in (2, 3) and all(0 <= share <= 1 for share in shares) and abs(sum(shares) - 1) < 1e-6
    if not good or not shares[0]:
        found = ",".join(f"{share:g}" for share in shares)
        raise ManifestError(
            f"split is {found}; two or three shares of train, dev, test that make 1 are wanted: 0.9,0.05,0.05"
        )
    return {name: share for name, share in zip(NAMES, shares, strict=False) if share}


def _groups(utterances: Sequence[Utterance], count: int) -> tuple[list[str], list[str]]:
    """What each utterance must stay together with, and how that was found where there is no speaker."""
    nameless = [row for row in utterances if row.speaker is None and row.split is None]
    folders = {row.audio.parent for row in nameless}
    by_folder = len(folders) >= max(2, count)
    keys = [
        f"speaker {row.speaker}" if row.speaker is not None else str(row.audio.parent if by_folder else row.audio)
        for row in utterances
    ]
    if not nameless:
        return keys, []
    how = f"folder ({len(folders)} folders)" if by_folder else "recording"
    return keys, [
        f"{len(nameless)} utterances have no speaker: divided by {how}; a voice may be in more than one split"
    ]


def _assign(seconds: Mapping[str, float], targets: Mapping[str, float], seed: int) -> dict[str, str]:
    """Group -> split: each split gets one that fits, then whichever lacks most gets the next."""
    if not seconds:
        return {}
    if len(seconds) < len(targets):
        raise ManifestError(
            f"{len(seconds)} speakers, folders or recordings cannot be divided into {', '.join(targets)} without one "
            "of them in two splits: ask for fewer splits"
        )
    names = sorted(seconds)
    waiting = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    total = sum(seconds[name] for name in names)
    lacking = {split: share * total for split, share in targets.items()}
    chosen: dict[str, str] = {}
    for split in sorted(targets, key=lambda split: targets[split]):  # the smallest has the least choice
        fits = (name for name in waiting if seconds[name] <= lacking[split])
        first = next(fits, min(waiting, key=lambda name: seconds[name]))
        waiting.remove(first)
        chosen[first] = split
        lacking[split] -= seconds[first]
    for name in waiting:
        split = max(lacking, key=lambda split: lacking[split])
        chosen[name] = split
        lacking[split] -= seconds[name]
    return chosen
