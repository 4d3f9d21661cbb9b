"""The architecture of a network: Hugging Face's `config.json` in one dataclass, read and written without loss.

Floor 1. Knows the names, defaults and limits of the keys; knows no tensor. Keys that do not take part in the
computation are kept in `extra` and written back as they came. A key that would change the computation in a way
that `xlsr` does not implement is refused by name: a model is computed exactly, or not at all.

Source: transformers' `Wav2Vec2Config` (keys and defaults).
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from xlsr.errors import ConfigError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

ACTIVATIONS = ("gelu", "relu", "silu", "swish")

# key -> the values with which it changes nothing that we do not compute; any other value is refused by name.
_SUPPORTED: dict[str, tuple[Json, ...]] = {
    "model_type": ("wav2vec2",),
    "feat_extract_norm": ("group", "layer"),
    "feat_extract_activation": ACTIVATIONS,
    "hidden_act": ACTIVATIONS,
    "add_adapter": (False, None),
    "adapter_attn_dim": (None,),
    "ctc_loss_reduction": ("sum", "mean"),
    "is_encoder_decoder": (False, None),
    "quantization_config": (None,),
}


@dataclass(frozen=True)
class Wav2Vec2Config:
    """One wav2vec 2.0 architecture; every field has Hugging Face's name, meaning and default.

    `conv_dim`, `conv_kernel` and `conv_stride` describe the convolutional feature encoder layer by layer;
    `feat_extract_norm` is "group" (base: one group norm after the first layer) or "layer" (large: a layer norm
    after each); `do_stable_layer_norm` is True for pre-norm layers (large), False for post-norm (base).
    """

    model_type: str = "wav2vec2"
    architectures: tuple[str, ...] = ()
    vocab_size: int = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    feat_quantizer_dropout: float = 0.0
    final_dropout: float = 0.1
    layerdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    feat_extract_norm: str = "group"
    feat_extract_activation: str = "gelu"
    conv_dim: tuple[int, ...] = (512, 512, 512, 512, 512, 512, 512)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False
    apply_spec_augment: bool = True
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    num_codevectors_per_group: int = 320
    num_codevector_groups: int = 2
    contrastive_logits_temperature: float = 0.1
    num_negatives: int = 100
    codevector_dim: int = 256
    proj_codevector_dim: int = 256
    diversity_loss_weight: float = 0.1
    ctc_loss_reduction: str = "sum"
    ctc_zero_infinity: bool = False
    pad_token_id: int = 0
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2
    extra: JsonObject = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _check_shapes(self)

    @classmethod
    def from_dict(cls, source: JsonObject, *, name: str = "config.json") -> Wav2Vec2Config:
        """Build a configuration from the keys of a `config.json`.

        Args:
            source: the parsed file.
            name: what error messages call it.

        Raises:
            ConfigError: a key has a value that this network does not compute, or a wrong type, or the shapes
                contradict each other.
        """
        for key, allowed in _SUPPORTED.items():
            if key in source and source[key] not in allowed:
                raise ConfigError(
                    f"{name}: {key} is {source[key]!r}, which changes the computation and is not supported; "
                    f"supported: {', '.join(repr(value) for value in allowed)}"
                )
        known = {f.name: f for f in dataclasses.fields(cls) if f.name != "extra"}
        values = {key: _typed(known[key], value, name) for key, value in source.items() if key in known}
        extra = {key: value for key, value in source.items() if key not in known}
        return cls(**values, extra=extra)  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, path: Path) -> Wav2Vec2Config:
        """Read a `config.json`. Raises ConfigError as `from_dict`, or where the file is no JSON object."""
        return cls.from_dict(read_json_object(path), name=str(path))

    def to_dict(self) -> JsonObject:
        """The keys of a `config.json`, with the keys of the file that was read which we do not use."""
        values: JsonObject = {}
        for item in dataclasses.fields(self):
            if item.name != "extra":
                value = getattr(self, item.name)
                values[item.name] = list(value) if isinstance(value, tuple) else value
        return self.extra | values

    def to_json(self, path: Path) -> None:
        """Write `config.json`."""
        path.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next: 320 in every released model, 20 ms."""
        return math.prod(self.conv_stride)

    @property
    def field_samples(self) -> int:
        """Samples that one frame sees, and the shortest input: 400 in every released model, 25 ms."""
        samples = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    def num_frames(self, samples: int) -> int:
        """Frames of an input of this many samples; 0 below `field_samples`."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1 if samples >= kernel else 0
        return samples


def read_json_object(path: Path) -> JsonObject:
    """Read a JSON file that holds an object. Raises ConfigError naming the file otherwise."""
    try:
        parsed = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} holds {type(parsed).__name__}; a JSON object is wanted")
    return cast(JsonObject, parsed)


def _typed(item: dataclasses.Field[object], value: Json, name: str) -> object:
    """Convert a JSON value to its field's type, or refuse it by name."""
    kind = str(item.type)
    if value is None and ("None" in kind or kind.startswith("tuple[str")):
        return () if kind.startswith("tuple") else None
    wanted: tuple[type, ...]
    if kind.startswith("tuple"):
        member: type = int if "int" in kind else str
        if isinstance(value, list) and all(isinstance(v, member) and not isinstance(v, bool) for v in value):
            return tuple(value)
    else:
        wanted = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}[kind.partition(" ")[0]]
        if isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool)):
            return float(value) if float in wanted else value
    raise ConfigError(f"{name}: {item.name} is {value!r}; {kind} is wanted")


def _check_shapes(config: Wav2Vec2Config) -> None:
    """Raise ConfigError where the sizes cannot be built."""
    stem = (config.conv_dim, config.conv_kernel, config.conv_stride)
    if len({len(part) for part in stem}) != 1 or not config.conv_dim:
        raise ConfigError(
            "conv_dim, conv_kernel and conv_stride must have one entry a layer; "
            f"they have {', '.join(str(len(part)) for part in stem)}"
        )
    sizes = {f"conv layer {i}": min(d, k, s) for i, (d, k, s) in enumerate(zip(*stem, strict=True))}
    for key in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "num_conv_pos_embeddings"):
        sizes[key] = getattr(config, key)
    for key, size in sizes.items():
        if not 0 < size < 1_000_000:
            raise ConfigError(f"{key} is {size}; a size between 1 and 999999 is wanted")
    if not 0 <= config.num_hidden_layers <= 1000:
        raise ConfigError(f"num_hidden_layers is {config.num_hidden_layers}; 0 to 1000 is wanted")
    for key in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if getattr(config, key) <= 0 or config.hidden_size % getattr(config, key):
            raise ConfigError(f"hidden_size {config.hidden_size} is not a multiple of {key} {getattr(config, key)}")
    if not 0 <= config.pad_token_id < config.vocab_size:
        raise ConfigError(
            f"pad_token_id {config.pad_token_id} is the CTC blank and must lie below vocab_size {config.vocab_size}"
        )
