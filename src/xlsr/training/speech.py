"""Speech that needs no labels: which utterances of several manifests train, and in which mixture.

Pre-training and distillation both begin here. Opens no audio and draws nothing (`data.mixture` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from xlsr.data.manifest import read_manifest
from xlsr.data.mixture import Group, Mixture
from xlsr.data.utterance import Utterance
from xlsr.errors import TrainingError

_UNKNOWN = "und"  # ISO 639's code of a language that is not told


@dataclass(frozen=True)
class Speech:
    """The usable utterances of some manifests.

    Attributes:
        utterances: that are long enough.
        groups: their languages and corpora.
        dropped: how many were too short.
    """

    utterances: list[Utterance]
    groups: list[Group]
    dropped: int


def read_speech(manifests: Sequence[Path], split: str | None, min_seconds: float, purpose: str) -> Speech:
    """Read manifests, one a corpus.

    Args:
        manifests: see `read_manifest`.
        split: take the rows of this split only.
        min_seconds: shorter utterances are dropped.
        purpose: what they are for, for the message: "learn from".

    Raises:
        ManifestError, AudioError: as `read_manifest`.
        TrainingError: nothing is left.
    """
    every = [(u, str(path)) for path in manifests for u in read_manifest(path, split=split)]
    kept = [(u, path) for u, path in every if u.duration >= min_seconds]
    if not kept:
        raise TrainingError(f"no recording of at least {min_seconds} s (data.min_seconds) is left to {purpose}")
    return Speech([u for u, _ in kept], [(language_of(u), path) for u, path in kept], len(every) - len(kept))


def language_of(utterance: Utterance) -> str:
    """The language that an utterance is counted with."""
    return utterance.language or _UNKNOWN


def summary(
    train: Sequence[Utterance], dev: Sequence[Utterance], dropped: tuple[int, int], min_seconds: float
) -> list[str]:
    """What is learnt from and chosen by, and what was dropped of either, in sentences."""
    hours, spoken = (sum(u.duration for u in utterances) / 3600 for utterances in (train, dev))
    return [
        f"{len(train)} recordings ({hours:.2f} h) to learn from, {len(dev)} ({spoken:.2f} h) to choose by",
        *(
            f"{count} {split} recordings dropped: shorter than {min_seconds} s"
            for split, count in zip(("training", "development"), dropped, strict=True)
            if count
        ),
    ]


def mixture_table(mixture: Mixture, alpha: float) -> Table:
    """Languages and corpora with their hours and their shares of an epoch."""
    table = Table(
        "language", "corpus", "hours", "share", f"of an epoch (alpha {alpha:g})", box=None, pad_edge=False,
        header_style="dim",
    )  # fmt: skip
    for source in mixture.sources:
        corpus = Path(source.corpus)
        table.add_row(
            source.language, f"{corpus.parent.name}/{corpus.name}", f"{source.seconds / 3600:.2f}",
            f"{source.natural:.2%}", f"{source.share:.2%}",
        )  # fmt: skip
    return table
