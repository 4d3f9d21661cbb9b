"""Distillation, from a recipe to a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from xlsr.config import Json
from xlsr.training.distill_recipe import DistillRecipe
from xlsr.training.distilling import DistillTask
from xlsr.training.distributed import settle_precision, start_ranks
from xlsr.training.recipe import read_recipe
from xlsr.training.trainer import Result, Trainer


def distill(
    recipe: Path | str, out: Path | str, *, overrides: Mapping[str, Json] | None = None, resume: bool = False
) -> Result:
    """Teach a small encoder the frames of a big one.

    Args:
        recipe: the TOML file, or the name of a recipe that ships with the package.
        out: folder of the run; `best/` in it is the encoder that is nearest to its teacher on the development set.
        overrides: dotted recipe keys to values, such as `{"optim.lr": 1e-4}`.
        resume: go on with the run in `out`.

    Raises:
        RecipeError: the recipe is not understood.
        TrainingError: the run cannot start, or its loss is no longer finite.
        CheckpointError, ConfigError: teacher or student cannot be loaded, or have no such layers.
    """
    read = read_recipe(recipe, DistillRecipe, overrides)
    with start_ranks(read.run.device) as ranks:
        read = settle_precision(read, ranks.device)
        task = DistillTask(read)
        if ranks.leads:
            _introduce(task)
        return Trainer(task, read, Path(out), ranks).run(resume=resume)


def _introduce(task: DistillTask) -> None:
    """Say what is about to learn from what."""
    console = Console(stderr=True)
    parameters = sum(p.numel() for p in task.network.wav2vec2.parameters())
    console.print(f"{parameters / 1e6:.1f} M parameters; the teacher: {task.teacher}", markup=False, highlight=False)
    for line in task.speech.notes():
        console.print(line)
    for note in task.notes:
        console.print(note, markup=False, highlight=False)
    console.print(task.speech.table())
