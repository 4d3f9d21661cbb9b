"""The architecture of a network: Hugging Face's `config.json` in one dataclass, read and written without loss.

Floor 1. Knows the names, defaults and limits of the keys; knows no tensor. Keys that do not take part in the
computation are kept in `extra` and written back as they came. A key that would change the computation in a way
that `xlsr` does not implement is refused by name: a model is computed exactly, or not at all.

Three families share the dataclass, told apart by `model_type`: wav2vec2, wav2vec2-conformer and wav2vec2-bert. A key
that a family does not have is never written for it; where a file of that family holds it nevertheless, it changes
nothing there, and is kept in `extra`.

Source: transformers' `Wav2Vec2Config`, `Wav2Vec2ConformerConfig` and `Wav2Vec2BertConfig` (keys and defaults).
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
    "model_type": ("wav2vec2", "wav2vec2-conformer", "wav2vec2-bert"),
    "feat_extract_norm": ("group", "layer"),
    "feat_extract_activation": ACTIVATIONS,
    "hidden_act": ACTIVATIONS,
    "adapter_act": ACTIVATIONS,
    "ctc_loss_reduction": ("sum", "mean"),
    "is_encoder_decoder": (False, None),
    "quantization_config": (None,),
}

# Keys that only some families have.
_CONV_FAMILIES = ("wav2vec2", "wav2vec2-conformer")
_CONFORMERS = ("wav2vec2-conformer", "wav2vec2-bert")
_FAMILIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("feat_extract_norm", "feat_extract_activation", "conv_dim", "conv_stride", "conv_kernel", "conv_bias",
         "num_conv_pos_embeddings", "num_conv_pos_embedding_groups", "feat_quantizer_dropout",
         "num_codevectors_per_group", "num_codevector_groups", "contrastive_logits_temperature", "num_negatives",
         "codevector_dim", "proj_codevector_dim", "diversity_loss_weight"),
        _CONV_FAMILIES,
    ),
    **dict.fromkeys(("do_stable_layer_norm", "adapter_attn_dim"), ("wav2vec2",)),
    **dict.fromkeys(
        ("position_embeddings_type", "rotary_embedding_base", "conv_depthwise_kernel_size", "conformer_conv_dropout"),
        _CONFORMERS,
    ),
    **dict.fromkeys(
        ("feature_projection_input_dim", "left_max_position_embeddings", "right_max_position_embeddings",
         "adapter_act", "use_intermediate_ffn_before_adapter"),
        ("wav2vec2-bert",),
    ),
}  # fmt: skip

# Defaults of a family where they are not the dataclass's.
_DEFAULTS: dict[str, JsonObject] = {
    "wav2vec2": {},
    "wav2vec2-conformer": {"vocab_size": None},
    "wav2vec2-bert": {
        "vocab_size": None, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096, "hidden_act": "swish", "hidden_dropout": 0.0, "activation_dropout": 0.0,
        "attention_dropout": 0.0, "position_embeddings_type": "relative_key", "classifier_proj_size": 768,
        "num_adapter_layers": 1,
    },
}  # fmt: skip

_SIZES = (
    "hidden_size", "num_attention_heads", "intermediate_size", "num_conv_pos_embeddings", "codevector_dim",
    "proj_codevector_dim", "num_codevectors_per_group", "num_codevector_groups", "adapter_kernel_size",
    "adapter_stride", "conv_depthwise_kernel_size", "feature_projection_input_dim", "classifier_proj_size",
    "rotary_embedding_base",
)  # fmt: skip

POSITIONS: dict[str, tuple[str | None, ...]] = {
    "wav2vec2-conformer": ("relative", "rotary", None),
    "wav2vec2-bert": ("relative_key", "relative", "rotary", None),
}

# wav2vec2-bert: log-mel frames of 400 samples every 160, stacked in pairs (`xlsr.features`).
_MEL_FIELD, _MEL_HOP, _MEL_STACK = 400, 160, 2


@dataclass(frozen=True)
class Wav2Vec2Config:
    """One wav2vec 2.0 architecture; every field has Hugging Face's name, meaning and default.

    `conv_dim`, `conv_kernel` and `conv_stride` describe the convolutional feature encoder layer by layer;
    `feat_extract_norm` is "group" (base: one group norm after the first layer) or "layer" (large: a layer norm
    after each); `do_stable_layer_norm` is True for pre-norm layers (large), False for post-norm (base).
    `adapter_attn_dim` puts an attention adapter after each pre-norm layer (MMS). `add_adapter` puts strided
    convolutions after the encoder, which thin out its frames. `position_embeddings_type` is that of conformer
    layers: "relative" (Transformer-XL), "rotary" or "relative_key" (a table of distances).

    The defaults here are wav2vec2's; `from_dict` takes those of the family that the file names.
    """

    model_type: str = "wav2vec2"
    architectures: tuple[str, ...] = ()
    vocab_size: int | None = 32
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
    adapter_attn_dim: int | None = None
    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 3
    adapter_act: str = "relu"
    use_intermediate_ffn_before_adapter: bool = False
    output_hidden_size: int | None = None
    position_embeddings_type: str | None = "relative"
    rotary_embedding_base: int = 10000
    conv_depthwise_kernel_size: int = 31
    conformer_conv_dropout: float = 0.1
    feature_projection_input_dim: int = 160
    left_max_position_embeddings: int = 64
    right_max_position_embeddings: int = 8
    use_weighted_layer_sum: bool = False
    classifier_proj_size: int = 256
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
        family = str(source.get("model_type", cls.model_type))
        known = _known_keys(family)
        given = _DEFAULTS[family] | {key: value for key, value in source.items() if key in known}
        values = {key: _typed(known[key], value, name) for key, value in given.items()}
        extra = {key: value for key, value in source.items() if key not in known}
        return cls(**values, extra=extra)  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, path: Path) -> Wav2Vec2Config:
        """Read a `config.json`. Raises ConfigError as `from_dict`, or where the file is no JSON object."""
        return cls.from_dict(read_json_object(path), name=str(path))

    def to_dict(self) -> JsonObject:
        """The keys of a `config.json`, with the keys of the file that was read which we do not use."""
        values: JsonObject = {}
        for name in _known_keys(self.model_type):
            value = getattr(self, name)
            values[name] = list(value) if isinstance(value, tuple) else value
        return self.extra | values

    def to_json(self, path: Path) -> None:
        """Write `config.json`."""
        path.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")

    @property
    def is_bert(self) -> bool:
        """Whether the network takes log-mel features rather than waveforms (wav2vec2-bert)."""
        return self.model_type == "wav2vec2-bert"

    @property
    def is_conformer(self) -> bool:
        """Whether the layers are conformers."""
        return self.model_type in _CONFORMERS

    @property
    def feature_size(self) -> int:
        """Channels of what the feature projection takes."""
        return self.feature_projection_input_dim if self.is_bert else self.conv_dim[-1]

    @property
    def output_size(self) -> int:
        """Channels of the frames that heads take: `hidden_size`, unless convolutions after the encoder change it."""
        return (self.output_hidden_size or self.hidden_size) if self.add_adapter else self.hidden_size

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes of a sequence classifier, from `id2label`; transformers' two where there is none."""
        named = self.extra.get("id2label")
        if isinstance(named, dict) and named:
            return tuple(str(named[key]) for key in sorted(named, key=int))
        count = self.extra.get("num_labels", 2)
        return tuple(f"LABEL_{index}" for index in range(count if isinstance(count, int) else 2))

    @property
    def thinning(self) -> int:
        """Frames of the encoder to one of the output: 1, unless `add_adapter` puts strided convolutions after it."""
        return int(self.adapter_stride**self.num_adapter_layers) if self.add_adapter else 1

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next: 320 in every released encoder, 20 ms."""
        return (_MEL_STACK * _MEL_HOP if self.is_bert else math.prod(self.conv_stride)) * self.thinning

    @property
    def field_samples(self) -> int:
        """Samples that one frame of the encoder's input sees, and the shortest input: 400, 25 ms; wav2vec2-bert 560."""
        if self.is_bert:
            return _MEL_FIELD + (_MEL_STACK - 1) * _MEL_HOP
        samples = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    def num_frames(self, samples: int) -> int:
        """Frames of an input of this many samples; 0 below `field_samples`.

        wav2vec2-bert: an odd last mel frame has no partner and makes no frame; transformers pads it and masks it out.
        """
        return self.num_output_frames(self.num_encoder_frames(samples))

    def num_output_frames(self, frames: int) -> int:
        """Frames that are left of the encoder's after the convolutions of `add_adapter`."""
        padding = self.adapter_padding
        for _ in range(self.num_adapter_layers if self.add_adapter else 0):
            frames = (frames + 2 * padding - self.adapter_kernel_size) // self.adapter_stride + 1 if frames else 0
        return max(frames, 0)

    @property
    def adapter_padding(self) -> int:
        """Zeros on either side of each convolution of `add_adapter`."""
        return self.adapter_stride // 2 if self.is_bert else 1

    def num_encoder_frames(self, samples: int) -> int:
        """Frames before the convolutions of `add_adapter`, 50 a second; else the same as `num_frames`."""
        if self.is_bert:
            return max(0, (samples - _MEL_FIELD) // _MEL_HOP + 1) // _MEL_STACK
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


def _known_keys(family: str) -> dict[str, dataclasses.Field[object]]:
    """The fields that a family has, in their order."""
    fields = (item for item in dataclasses.fields(Wav2Vec2Config) if item.name != "extra")
    return {item.name: item for item in fields if family in _FAMILIES.get(item.name, (family,))}


def _check_shapes(config: Wav2Vec2Config) -> None:
    """Raise ConfigError where the sizes cannot be built."""
    stem = (config.conv_dim, config.conv_kernel, config.conv_stride)
    if len({len(part) for part in stem}) != 1 or not config.conv_dim:
        raise ConfigError(
            "conv_dim, conv_kernel and conv_stride must have one entry a layer; "
            f"they have {', '.join(str(len(part)) for part in stem)}"
        )
    sizes = {f"conv layer {i}": min(d, k, s) for i, (d, k, s) in enumerate(zip(*stem, strict=True))}
    for key in _SIZES:
        sizes[key] = getattr(config, key)
    for key in ("vocab_size", "output_hidden_size", "adapter_attn_dim"):
        if (size := getattr(config, key)) is not None:
            sizes[key] = size
    for key, size in sizes.items():
        if not 0 < size < 1_000_000:
            raise ConfigError(f"{key} is {size}; a size between 1 and 999999 is wanted")
    counts = (
        "num_hidden_layers",
        "num_adapter_layers",
        "left_max_position_embeddings",
        "right_max_position_embeddings",
    )
    for key in counts:
        if not 0 <= getattr(config, key) <= 1000:
            raise ConfigError(f"{key} is {getattr(config, key)}; 0 to 1000 is wanted")
    groups = ("num_attention_heads",) if config.is_bert else ("num_attention_heads", "num_conv_pos_embedding_groups")
    for key in groups:
        if getattr(config, key) <= 0 or config.hidden_size % getattr(config, key):
            raise ConfigError(f"hidden_size {config.hidden_size} is not a multiple of {key} {getattr(config, key)}")
    if config.vocab_size is not None and not 0 <= config.pad_token_id < config.vocab_size:
        raise ConfigError(
            f"pad_token_id {config.pad_token_id} is the CTC blank and must lie below vocab_size {config.vocab_size}"
        )
    if config.is_conformer:
        _check_conformer(config)


def _check_conformer(config: Wav2Vec2Config) -> None:
    """Raise ConfigError where conformer layers cannot be built."""
    allowed = POSITIONS[config.model_type]
    if config.position_embeddings_type not in allowed:
        raise ConfigError(
            f"position_embeddings_type of {config.model_type} is {config.position_embeddings_type!r}; "
            f"supported: {', '.join(repr(value) for value in allowed)}"
        )
    if config.conv_depthwise_kernel_size % 2 == 0:
        raise ConfigError(f"conv_depthwise_kernel_size is {config.conv_depthwise_kernel_size}; an odd size is wanted")
    head_size = config.hidden_size // config.num_attention_heads
    if config.position_embeddings_type in ("relative", "rotary") and head_size % 2:
        raise ConfigError(
            f"a head has {head_size} channels; {config.position_embeddings_type} positions want them even"
        )
    if config.is_bert and config.add_adapter and config.output_size % config.num_attention_heads:
        raise ConfigError(
            f"output_hidden_size {config.output_size} is not a multiple of num_attention_heads "
            f"{config.num_attention_heads}"
        )
    if config.use_intermediate_ffn_before_adapter and not config.add_adapter:
        raise ConfigError("use_intermediate_ffn_before_adapter is true while add_adapter is false: there is no adapter")
