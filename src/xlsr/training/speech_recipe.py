"""The table `[data]` of recipes that learn without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xlsr.errors import RecipeError
from xlsr.training.fields import above_zero, not_negative
from xlsr.training.recipe import check_files


@dataclass(frozen=True)
class SpeechData:
    """What is listened to, and how it is batched."""

    train: tuple[Path, ...] = ()  # manifests, one a corpus
    dev: tuple[Path, ...] = ()  # manifests of other speakers, for choosing the best model
    train_split: str | None = None  # rows of this split only
    dev_split: str | None = None
    alpha: float = not_negative(1.0)  # languages by hours ** alpha: 1 takes speech as it comes, 0 the same of each
    normalize: bool = True  # waveforms to zero mean and unit variance; model.start has its own way
    min_seconds: float = above_zero(0.5)  # shorter recordings are dropped, and it is said
    max_seconds: float = above_zero(20.0)  # of longer ones a random part is taken
    batch_seconds: float = above_zero(60.0)  # of one batch

    def check(self, place: str) -> None:
        """Raise RecipeError for what could only fail later."""
        check_files(self, ("train", "dev"), place)
        if self.min_seconds > self.max_seconds:
            raise RecipeError(f"{place}: data.min_seconds is more than data.max_seconds")
