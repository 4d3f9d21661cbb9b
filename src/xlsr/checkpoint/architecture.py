"""What a file without a configuration tells by its shapes, and whether all of a network is there. Needs torch.

Floor 3; readers of other systems' files end here. Shapes tell every size but the number of heads and the strides;
for these the released models are the rule (64 channels a head, 320 samples a frame), and what does not look like
one of them is refused with the request for a configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from xlsr.checkpoint.folder import read_description
from xlsr.checkpoint.foreign import Foreign
from xlsr.checkpoint.hf import Weights, check_names
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError, ConfigError
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

Shapes = Mapping[str, tuple[int, ...]]

PRETRAINING_HEADS = ("quantizer.", "project_q.", "project_hid.")

_CONV = "wav2vec2.feature_extractor.conv_layers."
_LAYERS = "wav2vec2.encoder.layers."
_WIDE_HEADS = {1280: 16, 1920: 16}  # XLS-R 1B and 2B; everything else that was released has 64 channels a head
_KERNELS = (10, 3, 3, 3, 3, 2, 2)


def build_foreign(
    format: str,
    weights: Weights,
    config: Wav2Vec2Config | None,
    *,
    source: Path,
    unused: dict[str, str] | None = None,
) -> Foreign:
    """Complete what a reader found: architecture, tokenizer, and the check that nothing is missing or left over.

    Args:
        format: as in `Foreign`.
        weights: Hugging Face name -> tensor.
        config: the architecture; None: that of the folder's `config.json`, else what the shapes tell.
        source: the file, or the folder.
        unused: as in `Foreign`.

    Raises:
        CheckpointError: tensors are missing, left over or of another shape, or the shapes do not tell enough.
        ConfigError, TokenizerError: a file beside it is damaged, or asks for what is not supported.
    """
    folder = source if source.is_dir() else source.parent
    described = read_description(folder) if (folder / "config.json").is_file() else None
    if config is None:
        found = {name: tuple(value.shape) for name, value in weights.items()}
        config = described.config if described else infer_config(found, source=str(source))
    check_complete(config, weights, source=str(source))
    return Foreign(
        format,
        config,
        weights,
        tokenizer=described.tokenizer if described else None,
        normalizes=described.normalizes if described else True,
        unused=unused or {},
    )


def infer_config(shapes: Shapes, *, source: str) -> Wav2Vec2Config:
    """Return the architecture of a network by the shapes of its tensors, under Hugging Face's names.

    Raises:
        CheckpointError: a tensor that tells a size is missing, or the shapes are not those of a released model.
    """

    def shape(name: str, rank: int) -> tuple[int, ...]:
        if name not in shapes:
            raise CheckpointError(f"{source} holds no {name}, without which the architecture cannot be told")
        if len(shapes[name]) != rank:
            raise CheckpointError(f"{source}: {name} has the shape {shapes[name]}; {rank} axes are wanted")
        return shapes[name]

    convs = [shape(f"{_CONV}{i}.conv.weight", 3) for i in range(_count(shapes, _CONV))]
    kernels = tuple(conv[2] for conv in convs)
    if kernels != _KERNELS:
        raise CheckpointError(
            f"{source}: the kernels of the feature encoder are {kernels}, not {_KERNELS} as in every released model, "
            "so its strides cannot be told: pass a configuration"
        )
    hidden = shape("wav2vec2.feature_projection.projection.weight", 2)[0]
    taps = "wav2vec2.encoder.pos_conv_embed.conv.weight_v"
    is_layer_norm = f"{_CONV}1.layer_norm.weight" in shapes
    try:
        config = Wav2Vec2Config(
            vocab_size=shape("lm_head.weight", 2)[0] if "lm_head.weight" in shapes else 32,
            hidden_size=hidden,
            num_hidden_layers=_count(shapes, _LAYERS),
            num_attention_heads=_heads(hidden, source),
            intermediate_size=shape(f"{_LAYERS}0.feed_forward.intermediate_dense.weight", 2)[0],
            conv_dim=tuple(conv[0] for conv in convs),
            conv_bias=f"{_CONV}0.conv.bias" in shapes,
            feat_extract_norm="layer" if is_layer_norm else "group",
            do_stable_layer_norm=is_layer_norm,
            num_conv_pos_embeddings=shape(taps, 3)[2],
            num_conv_pos_embedding_groups=hidden // max(shape(taps, 3)[1], 1),
            mask_time_prob=0.05 if "wav2vec2.masked_spec_embed" in shapes else 0.0,
        )
    except ConfigError as error:
        raise CheckpointError(f"{source}: the shapes of its tensors make no network: {error}") from error
    return _with_quantizer(config, shapes)


def check_complete(config: Wav2Vec2Config, weights: Weights, *, source: str) -> None:
    """Raise CheckpointError unless the encoder, and the CTC head where there is one, fit in names and shapes."""
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in Wav2Vec2ForCTC(config).state_dict().items()}
    if not any(name.startswith("lm_head.") for name in weights):
        wanted = {name: shape for name, shape in wanted.items() if not name.startswith("lm_head.")}
    embedding = "wav2vec2.masked_spec_embed"
    if embedding not in weights and not (config.mask_time_prob or config.mask_feature_prob):
        del wanted[embedding]
    found = {name: value for name, value in weights.items() if not name.startswith(PRETRAINING_HEADS)}
    check_names(wanted, found, source)


def _count(shapes: Shapes, prefix: str) -> int:
    """How many different numbers follow a prefix."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)})


def _heads(hidden: int, source: str) -> int:
    if hidden in _WIDE_HEADS:
        return _WIDE_HEADS[hidden]
    if hidden % 64 or not hidden:
        raise CheckpointError(
            f"{source}: with hidden_size {hidden} the number of attention heads cannot be told from the shapes "
            "(released models have 64 channels a head): pass a configuration"
        )
    return hidden // 64


def _with_quantizer(config: Wav2Vec2Config, shapes: Shapes) -> Wav2Vec2Config:
    """The sizes of a pre-training checkpoint's quantizer, where it is there."""
    codes, project = shapes.get("quantizer.codevectors", ()), shapes.get("project_q.weight", ())
    if len(codes) != 3 or len(project) != 2 or not codes[2] or project[1] % codes[2]:
        return config
    groups = max(project[1] // codes[2], 1)
    return replace(
        config,
        codevector_dim=project[1],
        proj_codevector_dim=project[0],
        num_codevector_groups=groups,
        num_codevectors_per_group=codes[1] // groups,
    )
