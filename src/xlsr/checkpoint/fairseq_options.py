"""The options of a fairseq file -> the architecture, with fairseq's own defaults for options that older files lack.

Two containers are known: `args`, a flat namespace, and `cfg`, which goes by sections (model, task, ...). A fine-tuned
file holds the options of its encoder in `w2v_args`, in either form. Floor 3. Knows no tensor; runs nothing that a file
holds: the convolutions are described by a Python expression, which is read by a grammar of its own.

Source: fairseq `Wav2Vec2Config`, `Wav2Vec2AsrConfig` (options and defaults).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from xlsr.checkpoint.plain import Plain, plain
from xlsr.config import Json, JsonObject, Wav2Vec2Config
from xlsr.errors import CheckpointError

Section = dict[str, Plain]

_MAX_CONV_LAYERS, _MAX_CONV_TEXT = 64, 2000
_DEFAULT_CONV = "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]"
_NORMS = {"default": "group", "layer_norm": "layer"}
# Hugging Face's key -> fairseq's option and its default. The type of the default is the type that is wanted.
_ENCODER: dict[str, tuple[str, int | float | str]] = {
    "hidden_size": ("encoder_embed_dim", 768),
    "num_hidden_layers": ("encoder_layers", 12),
    "num_attention_heads": ("encoder_attention_heads", 12),
    "intermediate_size": ("encoder_ffn_embed_dim", 3072),
    "hidden_act": ("activation_fn", "gelu"),
    "conv_bias": ("conv_bias", False),
    "do_stable_layer_norm": ("layer_norm_first", False),
    "num_conv_pos_embeddings": ("conv_pos", 128),
    "num_conv_pos_embedding_groups": ("conv_pos_groups", 16),
    "num_codevectors_per_group": ("latent_vars", 320),
    "num_codevector_groups": ("latent_groups", 2),
    "contrastive_logits_temperature": ("logit_temp", 0.1),
    "num_negatives": ("num_negatives", 100),
    "feat_quantizer_dropout": ("dropout_features", 0.0),
}
# The same, for options that fine-tuning may have changed.
_TRAINING: dict[str, tuple[str, int | float]] = {
    "hidden_dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.1),
    "activation_dropout": ("activation_dropout", 0.0),
    "feat_proj_dropout": ("dropout_input", 0.0),
    "mask_time_prob": ("mask_prob", 0.65),
    "mask_time_length": ("mask_length", 10),
    "mask_feature_prob": ("mask_channel_prob", 0.0),
    "mask_feature_length": ("mask_channel_length", 10),
}
# Options that change the computation in a way that Hugging Face's networks have not -> the value that does not.
_UNSUPPORTED: dict[str, Plain] = {"pos_conv_depth": 1, "conv_pos_batch_norm": False, "quantize_input": False}
_POSITIONS = {"rel_pos": "relative", "rope": "rotary"}


@dataclass(frozen=True)
class Options:
    """What a fairseq file was made with.

    Attributes:
        source: what messages call the file.
        encoder: options of the pre-trained encoder.
        training: options of the model in the file, which for a pre-trained one are the same.
        normalizes: whether waveforms were brought to zero mean and unit variance.
        labels: what the dictionary's file is named after, such as "ltr"; None if nothing says so.
    """

    source: str
    encoder: Section
    training: Section
    normalizes: bool
    labels: str | None

    @property
    def norm(self) -> str:
        """The norm of the feature encoder: "group" or "layer"."""
        mode = _option(self, (self.encoder,), "extractor_mode", "default")
        if mode not in _NORMS:
            raise CheckpointError(f"{self.source}: extractor_mode is {mode!r}; default or layer_norm is wanted")
        return _NORMS[str(mode)]

    @property
    def is_conformer(self) -> bool:
        """Whether the layers are conformer's rather than the transformer's."""
        return self.encoder.get("layer_type") == "conformer"


def read_options(state: dict[object, object], source: str, *, is_finetuned: bool) -> Options:
    """Find the options of a file, in either container.

    Raises:
        CheckpointError: there are none, or a fine-tuned file does not say what its encoder is.
    """
    held = state["cfg"] if state.get("cfg") is not None else state.get("args")
    model, task = _sections(plain(held, source), source)
    normalize = task.get("normalize", model.get("normalize"))
    labels = task.get("labels", model.get("labels"))
    encoder = model
    if is_finetuned:
        if not isinstance(model.get("w2v_args"), dict):
            raise CheckpointError(
                f"{source} is fine-tuned but holds no w2v_args, which describe its encoder; import the pre-trained "
                "file that it came from, or a file that newer fairseq has saved"
            )
        encoder, encoder_task = _sections(model["w2v_args"], source)
        if normalize is None:
            normalize = encoder_task.get("normalize")
    return Options(source, encoder, model, normalize is True, labels if isinstance(labels, str) else None)


def config_of(options: Options, *, vocab_size: int | None, adapter_dim: int | None) -> Wav2Vec2Config:
    """The architecture.

    Args:
        options: of the file.
        vocab_size: rows of the CTC head; None: the file is pre-trained.
        adapter_dim: inner size of the attention adapters; None: there are none.

    Raises:
        CheckpointError: an option has another type or asks for what cannot be computed.
        ConfigError: likewise, where Hugging Face's configuration has a word for it.
    """
    for option, value in _UNSUPPORTED.items():
        if options.encoder.get(option, value) != value:
            raise CheckpointError(
                f"{options.source}: {option} is {options.encoder[option]!r}; only {value!r} is supported"
            )
    both = (options.training, options.encoder)
    values: JsonObject = {ours: _option(options, (options.encoder,), *theirs) for ours, theirs in _ENCODER.items()}
    values |= {ours: _option(options, both, *theirs) for ours, theirs in _TRAINING.items()}
    values |= _convolutions(options)
    final_dim = _option(options, (options.encoder,), "final_dim", 0) or values["hidden_size"]
    values["proj_codevector_dim"] = final_dim
    values["codevector_dim"] = _option(options, (options.encoder,), "latent_dim", 0) or final_dim
    values["layerdrop"] = _option(options, (options.encoder,), "encoder_layerdrop", 0.0)
    values["final_dropout"] = 0.0
    if vocab_size is not None:
        values["layerdrop"] = _option(options, (options.training,), "layerdrop", 0.0)
        values["final_dropout"] = _option(options, (options.training,), "final_dropout", 0.0)
        values["apply_spec_augment"] = _option(options, (options.training,), "apply_mask", False)
        values["vocab_size"] = vocab_size
    if adapter_dim is not None:
        values["adapter_attn_dim"] = adapter_dim
    kind = "Wav2Vec2"
    if options.is_conformer:
        kind = "Wav2Vec2Conformer"
        values |= _conformer(options)
    values["architectures"] = [f"{kind}For{'PreTraining' if vocab_size is None else 'CTC'}"]
    return Wav2Vec2Config.from_dict(values, name=options.source)


def parse_conv_layers(text: str, source: str) -> list[tuple[int, int, int]]:
    """Read the convolutions as fairseq writes them, by a grammar and not by running them.

    Args:
        text: lists of (channels, kernel, stride), repeated with `*` and joined with `+`:
            "[(512, 10, 5)] + [(512, 3, 2)] * 4".
        source: what messages call the file.

    Raises:
        CheckpointError: it is anything else, or more than 64 layers.
    """
    layers: list[tuple[int, int, int]] = []
    for term in text.split("+"):
        found = _TERM.fullmatch(term) if len(text) <= _MAX_CONV_TEXT else None
        if found is None:
            raise CheckpointError(
                f"{source}: conv_feature_layers is {text[:100]!r}; lists of (channels, kernel, stride) with + and * "
                "are wanted, such as [(512, 10, 5)] + [(512, 3, 2)] * 4"
            )
        times = int(found["before"] or 1) * int(found["after"] or 1)
        members = [(int(dim), int(kernel), int(stride)) for dim, kernel, stride in _TUPLE.findall(found["list"])]
        if len(layers) + len(members) * times > _MAX_CONV_LAYERS:
            raise CheckpointError(f"{source}: conv_feature_layers has more than {_MAX_CONV_LAYERS} layers")
        layers += members * times
    return layers


_NUMBER = r"\s*([0-9]{1,6})\s*"
_TUPLE = re.compile(rf"\({_NUMBER},{_NUMBER},{_NUMBER},?\s*\)")
_ONE = _TUPLE.pattern.replace("([0-9]", "(?:[0-9]")
_TERM = re.compile(
    rf"\s*(?:(?P<before>[0-9]{{1,3}})\s*\*)?"
    rf"\s*\[\s*(?P<list>(?:{_ONE}\s*(?:,\s*{_ONE}\s*)*,?\s*)?)\]\s*"
    rf"(?:\*\s*(?P<after>[0-9]{{1,3}})\s*)?"
)


def _convolutions(options: Options) -> JsonObject:
    text = str(_option(options, (options.encoder,), "conv_feature_layers", _DEFAULT_CONV))
    layers = parse_conv_layers(text, options.source)
    names = ("conv_dim", "conv_kernel", "conv_stride")
    sizes: JsonObject = {name: [layer[at] for layer in layers] for at, name in enumerate(names)}
    return sizes | {"feat_extract_norm": options.norm}


def _conformer(options: Options) -> JsonObject:
    position = options.encoder.get("pos_enc_type", "abs")
    if position not in _POSITIONS:
        raise CheckpointError(f"{options.source}: pos_enc_type is {position!r}; rel_pos or rope is supported")
    return {
        "model_type": "wav2vec2-conformer",
        "position_embeddings_type": _POSITIONS[str(position)],
        "conv_depthwise_kernel_size": _option(options, (options.encoder,), "depthwise_conv_kernel_size", 31),
        "hidden_act": "swish",
    }


def _sections(options: Plain, source: str) -> tuple[Section, Section]:
    """The options of the model and of the task: parts of a nested container, or one flat one for both."""
    if not isinstance(options, dict):
        raise CheckpointError(f"{source} holds no options that can be read; cfg or args of a fairseq file are wanted")
    model, task = options.get("model"), options.get("task")
    if not isinstance(model, dict):
        model = task = options
    return _resolved(model, options), _resolved(task, options) if isinstance(task, dict) else {}


def _resolved(section: Section, root: Section) -> Section:
    """A section with `${section.option}` replaced by what it points to, and without options that have no value."""
    values = {name: _target(value, root) for name, value in section.items()}
    return {name: value for name, value in values.items() if value is not None and value != "???"}


def _target(value: Plain, root: Section) -> Plain:
    for _ in range(8):  # a pointer to a pointer; longer chains are none that fairseq writes
        found = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
        if found is None:
            return value
        value = root
        for name in found[1].split("."):
            value = value.get(name) if isinstance(value, dict) else None
    return None


def _option(options: Options, places: tuple[Section, ...], name: str, default: Json) -> Json:
    """The value of an option in the first place that has it, of the type of its default."""
    value = next((place[name] for place in places if name in place), default)
    kind = type(default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise CheckpointError(f"{options.source}: {name} is {str(value)[:100]!r}; {kind.__name__} is wanted")
    return value
