"""What a student starts from: random weights, or the encoder of any checkpoint; its heads are always new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import Network
from xlsr.checkpoint.load import load_checkpoint
from xlsr.config import JsonObject, Wav2Vec2Config
from xlsr.model.distillation import Wav2Vec2ForDistillation
from xlsr.model.wav2vec2 import Wav2Vec2Model
from xlsr.training.distill_recipe import DistillRecipe
from xlsr.training.start import OWN, bare_name, changed_keys
from xlsr.training.teacher import check_pace

_ENCODER = "wav2vec2."
_MASK = "masked_spec_embed"


@dataclass(frozen=True)
class Student:
    """What a run begins with.

    Attributes:
        description: of the encoder to be.
        network: the encoder with its heads.
        notes: what was kept, left aside and drawn afresh, in sentences.
    """

    description: Description
    network: Wav2Vec2ForDistillation
    notes: tuple[str, ...]


def start_distilling(recipe: DistillRecipe, teacher_sizes: Sequence[int]) -> Student:
    """Make the student that a recipe starts from; what is random is drawn with the run's seed.

    Args:
        recipe: of the run.
        teacher_sizes: numbers a frame, one for each of the teacher's layers.

    Raises:
        TrainingError: the recipe asks for another architecture than the start's.
        ConfigError: the student has no such layers, or its frames are not 20 ms.
        CheckpointError: as `load_checkpoint`.
    """
    model = recipe.model
    origin: JsonObject = {"teacher": bare_name(recipe.teacher.model)} if recipe.teacher.model is not None else {}
    torch.manual_seed(recipe.run.seed)
    if model.start is None:
        config = Wav2Vec2Config.from_dict(model.architecture, name="model.architecture")
        description = Description(config, extras=origin)
        if "do_normalize" in description.preprocessor:
            description.preprocessor["do_normalize"] = recipe.data.normalize
        return Student(description, _network(recipe, config, teacher_sizes), ("every weight is drawn afresh",))
    found = load_checkpoint(model.start)
    config = Wav2Vec2Config.from_dict(
        changed_keys(found.description.config, model.architecture), name="model.architecture"
    )
    network = _network(recipe, config, teacher_sizes)
    kept, left = _encoder(found.network)
    own = network.wav2vec2.state_dict()
    assert own.keys() - kept.keys() <= {_MASK}
    network.wav2vec2.load_state_dict({name: kept.get(name, value) for name, value in own.items()})
    extras = {key: value for key, value in found.description.extras.items() if key not in OWN}
    extras |= origin | {"start": bare_name(model.start)}
    notes = [
        f"starts from {model.start}: {len(kept)} tensors kept",
        f"left aside of it: {', '.join(left)}" if left else "",
        "drawn afresh: heads" if _MASK in kept else f"drawn afresh: heads, {_MASK}",
    ]
    description = replace(found.description, config=config, tokenizer=None, extras=extras)
    return Student(description, network, tuple(filter(None, notes)))


def _network(recipe: DistillRecipe, config: Wav2Vec2Config, sizes: Sequence[int]) -> Wav2Vec2ForDistillation:
    check_pace(config, "student")
    taps = recipe.teacher.student_layers or (config.num_hidden_layers,)
    return Wav2Vec2ForDistillation(config, sizes, taps * len(sizes) if len(taps) == 1 else taps)


def _encoder(network: Network) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of an encoder by their names in it, and the parts of a network that are none of it."""
    weights = network.state_dict()
    if isinstance(network, Wav2Vec2Model):
        return weights, []
    kept = {name.removeprefix(_ENCODER): value for name, value in weights.items() if name.startswith(_ENCODER)}
    return kept, sorted({name.partition(".")[0] for name in weights if not name.startswith(_ENCODER)})
