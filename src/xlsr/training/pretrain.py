"""Self-supervised pre-training, from a recipe to a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from xlsr.config import Json
from xlsr.training.distributed import settle_precision, start_ranks
from xlsr.training.pretrain_recipe import PretrainRecipe
from xlsr.training.pretraining import PretrainTask
from xlsr.training.recipe import read_recipe
from xlsr.training.trainer import Result, Trainer


def pretrain(
    recipe: Path | str, out: Path | str, *, overrides: Mapping[str, Json] | None = None, resume: bool = False
) -> Result:
    """Pre-train an encoder on speech without labels, or go on with a pre-trained one.

    Args:
        recipe: the TOML file, or the name of a recipe that ships with the package.
        out: folder of the run; `best/` in it is the model with the lowest contrastive loss on the development set.
        overrides: dotted recipe keys to values, such as `{"optim.lr": 1e-4}`.
        resume: go on with the run in `out`.

    Raises:
        RecipeError: the recipe is not understood.
        TrainingError: the run cannot start, or it fails and `run.on_alarm` does not mend it.
    """
    read = read_recipe(recipe, PretrainRecipe, overrides)
    with start_ranks(read.run.device) as ranks:
        read = settle_precision(read, ranks.device)
        task = PretrainTask(read)
        if ranks.leads:
            _introduce(task)
        return Trainer(task, read, Path(out), ranks).run(resume=resume)


def _introduce(task: PretrainTask) -> None:
    """Say what is about to learn from what."""
    console, recipe = Console(stderr=True), task.recipe
    parameters = sum(p.numel() for p in task.model.parameters())
    console.print(f"{parameters / 1e6:.1f} M parameters")
    for line in task.speech.notes():
        console.print(line)
    if recipe.model.start is not None:
        heads = sorted({name.partition(".")[0] for name in task.fresh})
        console.print(f"goes on from {recipe.model.start}; drawn afresh: {', '.join(heads) or 'nothing'}")
    console.print(task.speech.table())
