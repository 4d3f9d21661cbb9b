"""What a pre-training run starts from: random weights, a pre-trained network, or an encoder that gets fresh heads."""

from __future__ import annotations

import re
from dataclasses import replace

import torch

from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.load import load_checkpoint
from xlsr.config import JsonObject, Wav2Vec2Config
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.wav2vec2 import Wav2Vec2Model
from xlsr.training.pretrain_recipe import PretrainRecipe
from xlsr.training.start import changed_keys

# Keys of the heads, and of the loss, which change no function of the encoder.
_HEADS = re.compile(r"(num_codevector.*|codevector_dim|proj_codevector_dim)")
_LOSS = re.compile(r"(num_negatives|diversity_loss_weight|contrastive_logits_temperature)")


def start_pretraining(recipe: PretrainRecipe) -> tuple[Description, Wav2Vec2ForPreTraining, tuple[str, ...]]:
    """The network to pre-train, and which of its tensors are drawn afresh although it starts from a checkpoint.

    Raises:
        TrainingError: the recipe asks for another architecture than the checkpoint's.
        CheckpointError, ConfigError: as `load_checkpoint`.
    """
    model = recipe.model
    torch.manual_seed(recipe.run.seed)
    if model.start is None:
        config = Wav2Vec2Config.from_dict(_masked(model.architecture), name="model.architecture")
        description = Description(config)
        description.preprocessor["do_normalize"] = recipe.data.normalize
        return description, Wav2Vec2ForPreTraining(config), ()
    found = load_checkpoint(model.start)
    network = found.network
    has_heads = isinstance(network, Wav2Vec2ForPreTraining)
    config = _changed(found.description.config, model.architecture, has_heads=has_heads)
    learner = Wav2Vec2ForPreTraining(config)
    prefix = "wav2vec2." if isinstance(network, Wav2Vec2Model) else ""
    weights = {prefix + name: value for name, value in network.state_dict().items()}
    state = learner.state_dict()
    learner.load_state_dict({name: weights.get(name, value) for name, value in state.items()})
    description = replace(found.description, config=config, tokenizer=None)
    return description, learner, tuple(name for name in state if name not in weights)


def _changed(config: Wav2Vec2Config, changes: JsonObject, *, has_heads: bool) -> Wav2Vec2Config:
    """The architecture of a checkpoint with other dropouts, losses or, where it has none, heads."""
    keys = changed_keys(config, changes, _LOSS, *([] if has_heads else [_HEADS]))
    named: JsonObject = {"architectures": ["Wav2Vec2ForPreTraining"]}
    return Wav2Vec2Config.from_dict(_masked(keys | named), name="model.architecture")


def _masked(keys: JsonObject) -> JsonObject:
    """The same keys with some masking in fine-tuning: else transformers leaves the mask embedding out of the file."""
    config = Wav2Vec2Config.from_dict(keys, name="model.architecture")
    if config.mask_time_prob or config.mask_feature_prob:
        return keys
    return keys | {"mask_time_prob": 0.05}
