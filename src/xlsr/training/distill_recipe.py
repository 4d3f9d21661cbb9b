"""The recipe of distillation: its tables `[data]`, `[model]`, `[teacher]` and `[augment]`."""

from __future__ import annotations

from dataclasses import dataclass, field

from xlsr.config import Json, JsonObject  # noqa: F401  (the types of fields are looked up here, JsonObject by Json)
from xlsr.data.augment import AugmentRecipe
from xlsr.errors import RecipeError
from xlsr.training.fields import ModelName, above_zero, not_negative
from xlsr.training.recipe import Recipe, check_architecture
from xlsr.training.speech_recipe import SpeechData


@dataclass(frozen=True)
class DistillData(SpeechData):
    """What student and teacher listen to, and how it is batched."""

    max_seconds: float = above_zero(15.0)  # of longer ones a random part is taken
    cache_mib: int = not_negative(512)  # of decoded audio kept in memory, 4.5 h in 1,000; not with run.workers


@dataclass(frozen=True)
class DistillModel:
    """The student."""

    start: ModelName | None = None  # a model folder, checkpoint file or hub name; none: random weights
    architecture: JsonObject = field(default_factory=dict)  # keys of config.json; its masks hide frames of the student
    gradient_checkpointing: bool = False  # less memory, a third more time


@dataclass(frozen=True)
class TeacherRecipe:
    """Whose frames are regressed, and which."""

    model: ModelName | None = None  # any checkpoint of the family; none: the features that the manifests name
    layers: tuple[int, ...] = ()  # of the teacher, counted from 1; none: the last
    student_layers: tuple[int, ...] = ()  # that learn them: one for all, or one each; none: the last
    l1: float = not_negative(1.0)  # weight of the mean distance of the numbers of a frame
    cosine: float = not_negative(1.0)  # weight of 1 - cosine
    normalize: int = not_negative(100)  # utterances by which each dimension gets mean 0 and deviation 1; 0: as it is


@dataclass(frozen=True)
class DistillRecipe(Recipe):
    """Regression of a teacher's frames."""

    data: DistillData = field(default_factory=DistillData)
    model: DistillModel = field(default_factory=DistillModel)
    teacher: TeacherRecipe = field(default_factory=TeacherRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)

    def check(self, place: str) -> None:
        """Raise RecipeError for what could only fail later."""
        super().check(place)
        check_architecture(self.model.architecture, place)
        self.data.check(place)
        if self.augment.speed_prob:
            raise RecipeError(
                f"{place}: augment.speed_prob is {self.augment.speed_prob}; 0 is wanted, as the teacher hears "
                "the clean waveform and its frames must stay at their times"
            )
        self._check_teacher(place)

    def _check_teacher(self, place: str) -> None:
        teacher = self.teacher
        if teacher.layers and teacher.model is None:
            raise RecipeError(
                f"{place}: teacher.layers are of teacher.model, which is missing; stored features are one"
            )
        if not teacher.l1 + teacher.cosine:
            raise RecipeError(f"{place}: teacher.l1 and teacher.cosine are both 0; nothing would be learnt")
        count = max(len(teacher.layers), 1)
        if len(teacher.student_layers) not in (0, 1, count):
            raise RecipeError(
                f"{place}: teacher.student_layers are {len(teacher.student_layers)} for {count} of the teacher; one "
                "for all, or one each is wanted"
            )
        for key in ("layers", "student_layers"):
            if any(layer < 1 for layer in getattr(teacher, key)):
                raise RecipeError(f"{place}: teacher.{key} are {list(getattr(teacher, key))}; the first layer is 1")
