"""Speech that needs no labels: which utterances of several manifests train, in which mixture, in which batches.

Pre-training and distillation both begin here. Opens no audio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from xlsr.data.batching import plan_batches
from xlsr.data.manifest import read_manifest
from xlsr.data.mixture import Group, Mixture
from xlsr.data.utterance import Utterance
from xlsr.errors import TrainingError
from xlsr.training.speech_recipe import SpeechData

_UNKNOWN = "und"  # ISO 639's code of a language that is not told


class Speech:
    """Utterances to learn from and to choose by, and how those to learn from are mixed and batched.

    Args:
        data: the recipe's table.
        seed: of the run.
        stretch: as for `plan_batches`.

    Attributes:
        train: utterances to learn from.
        dev: utterances to choose by.
        seconds: that are heard of each utterance to learn from.
        dropped: how many of either were too short.
        mixture: of languages and corpora.

    Raises:
        ManifestError, AudioError: as `read_manifest`.
        TrainingError: nothing is left to learn from, or to choose by.
    """

    def __init__(self, data: SpeechData, seed: int, *, stretch: float = math.inf) -> None:
        train = _read(data.train, data.train_split, data.min_seconds, "learn from")
        dev = _read(data.dev, data.dev_split, data.min_seconds, "choose by")
        self.train, self.dev, self.dropped = train.utterances, dev.utterances, (train.dropped, dev.dropped)
        self.seconds = [min(u.duration, data.max_seconds) for u in self.train]
        self.mixture = Mixture(train.groups, self.seconds, alpha=data.alpha)
        self._data, self._seed, self._stretch = data, seed, stretch

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of indices for an epoch; the same epoch always gives the same plan."""
        rng = np.random.default_rng([self._seed, epoch])
        drawn = self.mixture.draw(rng)
        plan = self.batches([self.seconds[index] for index in drawn], rng)
        return [[int(drawn[index]) for index in batch] for batch in plan]

    def dev_plan(self) -> list[list[int]]:
        """Batches of indices of all utterances to choose by, the same ones always."""
        return self.batches([min(u.duration, self._data.max_seconds) for u in self.dev], np.random.default_rng(0))

    def batches(self, seconds: Sequence[float], rng: np.random.Generator) -> list[list[int]]:
        """Batches of utterances that have so many seconds."""
        return plan_batches(seconds, max_seconds=self._data.batch_seconds, rng=rng, stretch=self._stretch)

    def notes(self) -> list[str]:
        """What is learnt from and chosen by, and what was dropped of either, in sentences."""
        train, dev = ((len(some), sum(u.duration for u in some) / 3600) for some in (self.train, self.dev))
        return [
            f"{train[0]} recordings ({train[1]:.2f} h) to learn from, {dev[0]} ({dev[1]:.2f} h) to choose by",
            *(
                f"{count} {split} recordings dropped: shorter than {self._data.min_seconds} s"
                for split, count in zip(("training", "development"), self.dropped, strict=True)
                if count
            ),
        ]

    def table(self) -> Table:
        """Languages and corpora with their hours and their shares of an epoch."""
        table = Table(
            "language", "corpus", "hours", "share", f"of an epoch (alpha {self._data.alpha:g})", box=None,
            pad_edge=False, header_style="dim",
        )  # fmt: skip
        for source in self.mixture.sources:
            corpus = Path(source.corpus)
            table.add_row(
                source.language, f"{corpus.parent.name}/{corpus.name}", f"{source.seconds / 3600:.2f}",
                f"{source.natural:.2%}", f"{source.share:.2%}",
            )  # fmt: skip
        return table


def language_of(utterance: Utterance) -> str:
    """The language that an utterance is counted with."""
    return utterance.language or _UNKNOWN


class _Usable(NamedTuple):
    """The utterances of some manifests that are long enough, their languages and corpora, and how many were not."""

    utterances: list[Utterance]
    groups: list[Group]
    dropped: int


def _read(manifests: Sequence[Path], split: str | None, min_seconds: float, purpose: str) -> _Usable:
    """Read manifests, one a corpus; the purpose is for the message."""
    every = [(u, str(path)) for path in manifests for u in read_manifest(path, split=split)]
    kept = [(u, path) for u, path in every if u.duration >= min_seconds]
    if not kept:
        raise TrainingError(f"no recording of at least {min_seconds} s (data.min_seconds) is left to {purpose}")
    return _Usable([u for u, _ in kept], [(language_of(u), path) for u, path in kept], len(every) - len(kept))
