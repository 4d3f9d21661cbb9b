"""The recipe of self-supervised pre-training: its tables `[data]` and `[model]`."""

from __future__ import annotations

from dataclasses import dataclass, field

from xlsr.config import Json, JsonObject  # noqa: F401  (the types of fields are looked up here, JsonObject by Json)
from xlsr.errors import RecipeError
from xlsr.training.fields import ModelName, above_zero, not_negative
from xlsr.training.recipe import Recipe, check_architecture
from xlsr.training.speech_recipe import SpeechData


@dataclass(frozen=True)
class PretrainData(SpeechData):
    """What is listened to, and how it is batched."""

    min_seconds: float = above_zero(2.0)  # shorter recordings are dropped, and it is said
    batch_seconds: float = above_zero(75.0)  # of one batch; all of a batch are cut to its shortest


@dataclass(frozen=True)
class PretrainModel:
    """Where the network starts, and what it is to find."""

    start: ModelName | None = None  # a model folder, checkpoint file or hub name to go on from; none: random weights
    architecture: JsonObject = field(default_factory=dict)  # keys of config.json
    mask_prob: float = above_zero(0.65)  # spans times their length over the frames; config.json's is for fine-tuning
    mask_length: int = above_zero(10)  # frames
    mask_min_spans: int = not_negative(2)
    feature_grad_mult: float = not_negative(1.0)  # scales the gradient that enters the convolutions
    features_pen: float = not_negative(0.0)  # weight of the mean square of their output
    temperature: tuple[float, float] = (2.0, 0.5)  # of the quantizer's noise: first, and least
    temperature_decay: float = above_zero(0.999995)  # for each update
    gradient_checkpointing: bool = False  # less memory, a third more time


@dataclass(frozen=True)
class PretrainRecipe(Recipe):
    """Contrastive learning on speech without labels."""

    data: PretrainData = field(default_factory=PretrainData)
    model: PretrainModel = field(default_factory=PretrainModel)

    def check(self, place: str) -> None:
        """Raise RecipeError for what could only fail later."""
        super().check(place)
        check_architecture(self.model.architecture, place)
        self.data.check(place)
        first, least = self.model.temperature
        if not 0 < least <= first:
            raise RecipeError(f"{place}: model.temperature is {[first, least]}; from high to low, above 0, is wanted")
        if self.model.temperature_decay > 1:
            raise RecipeError(
                f"{place}: model.temperature_decay is {self.model.temperature_decay}; at most 1 is wanted"
            )
