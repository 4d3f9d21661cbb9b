"""How much of each language and corpus an epoch takes, and which utterances these are.

A language of n_l of all N hours gets the share p_l, proportional to (n_l / N) ** alpha, and the corpora of a language
share that by the same rule: alpha 1 takes speech as it comes, 0 takes the same of every language. Shares are of audio,
not of utterances. Knows no batches.

Source: XLSR-53, arXiv 2006.13979, section 3; an epoch takes whole copies and a random remainder, as fairseq does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Group: TypeAlias = tuple[str, str]  # language, corpus


@dataclass(frozen=True)
class Source:
    """The speech of one language in one corpus.

    Attributes:
        language, corpus: their names.
        seconds: of audio that an epoch can take.
        natural: its share of all audio.
        share: its share of an epoch.
    """

    language: str
    corpus: str
    seconds: float
    natural: float
    share: float


def shares(seconds: Mapping[Group, float], *, alpha: float) -> dict[Group, float]:
    """Shares of an epoch by language and corpus, which add up to 1."""
    languages: dict[str, float] = {}
    for (language, _), value in seconds.items():
        languages[language] = languages.get(language, 0.0) + value
    total = sum(languages.values())
    wanted = {language: (value / total) ** alpha for language, value in languages.items()}
    within = {group: (value / languages[group[0]]) ** alpha for group, value in seconds.items()}
    corpora = {name: sum(value for group, value in within.items() if group[0] == name) for name in languages}
    every = sum(wanted.values())
    return {group: wanted[group[0]] / every * value / corpora[group[0]] for group, value in within.items()}


class Mixture:
    """Utterances by language and corpus, drawn for an epoch as long as all of them together."""

    def __init__(self, groups: Sequence[Group], seconds: Sequence[float], *, alpha: float) -> None:
        """Count the audio.

        Args:
            groups: language and corpus of each utterance.
            seconds: above 0, of each utterance.
            alpha: see the module.
        """
        members: dict[Group, list[int]] = {}
        for index, group in enumerate(groups):
            members.setdefault(group, []).append(index)
        lengths = np.asarray(seconds, dtype=np.float64)
        self.members = {group: np.array(indices) for group, indices in sorted(members.items())}
        found = {group: float(lengths[indices].sum()) for group, indices in self.members.items()}
        wanted, total = shares(found, alpha=alpha), sum(found.values())
        self.sources = tuple(
            Source(*group, seconds=value, natural=value / total, share=wanted[group]) for group, value in found.items()
        )

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the utterances of one epoch, some several times, some not; the same state gives the same."""
        drawn = []
        for source, indices in zip(self.sources, self.members.values(), strict=True):
            copies, part = divmod(source.share / source.natural, 1)
            rest = rng.choice(indices, int(part * len(indices) + rng.random()), replace=False)
            drawn += [np.tile(indices, int(copies)), rest]
        return np.concatenate(drawn)
