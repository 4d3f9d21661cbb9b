"""Names of tensors in other systems <-> Hugging Face's, one strict table for each format.

A table lists pairs of templates; `{i}` and `{n}` stand for numbers and must agree on both sides. Names are matched
whole, so `layer_norm` never catches `encoder.layer_norm`. Every name has one partner at most, in both directions.
The tables themselves stand at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Alignment:
    """Names of a file paired with Hugging Face's.

    Attributes:
        names: Hugging Face name -> name in the file.
        unknown: names of the file that the table does not know.
    """

    names: dict[str, str]
    unknown: tuple[str, ...]


class KeyMap:
    """A table of name templates, Hugging Face's to another system's."""

    def __init__(self, table: Mapping[str, str]) -> None:
        assert len(set(table.values())) == len(table), "two names of ours have the same partner"
        self._to_hf = [(_pattern(theirs), ours) for ours, theirs in table.items()]
        self._from_hf = [(_pattern(ours), theirs) for ours, theirs in table.items()]

    def to_hf(self, name: str) -> str | None:
        """The Hugging Face name of another system's tensor; None if the table does not know it."""
        return _translate(self._to_hf, name)

    def from_hf(self, name: str) -> str | None:
        """The other system's name of a Hugging Face tensor; None if the table does not know it."""
        return _translate(self._from_hf, name)

    def align(self, found: Iterable[str]) -> Alignment:
        """Pair every name of a file."""
        pairs = [(self.to_hf(name), name) for name in found]
        return Alignment(
            {ours: theirs for ours, theirs in pairs if ours is not None},
            tuple(theirs for ours, theirs in pairs if ours is None),
        )


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template)
    for placeholder in "in":
        escaped = escaped.replace(rf"\{{{placeholder}\}}", rf"(?P<{placeholder}>[0-9]+)", 1)
    return re.compile(escaped)


def _translate(table: Iterable[tuple[re.Pattern[str], str]], name: str) -> str | None:
    for pattern, template in table:
        if match := pattern.fullmatch(name):
            return template.format(**match.groupdict())
    return None


def spelt(name: str) -> str:
    """The name with torch's newer spelling of weight norm turned into the one that every checkpoint uses."""
    for new, old in _SPELLINGS.items():
        name = name.replace(new, old)
    return name


_SPELLINGS = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
_PAIR = ("weight", "bias")


def _parts(table: Mapping[str, str]) -> dict[str, str]:
    """A row for the weight and one for the bias of every layer of a table."""
    return {f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in table.items() for part in _PAIR}


def _transformer(ours: str, theirs: str, attention: str, norm: str, dense: tuple[str, str]) -> dict[str, str]:
    """The rows of a transformer layer; its parts have other names in other systems."""
    rows = {f"{ours}attention.{part}_proj": f"{theirs}{attention}.{part}_proj" for part in ("q", "k", "v", "out")}
    rows |= {f"{ours}layer_norm": f"{theirs}{norm}", f"{ours}final_layer_norm": f"{theirs}final_layer_norm"}
    names = ("intermediate_dense", "output_dense")
    rows |= {f"{ours}feed_forward.{our}": theirs + their for our, their in zip(names, dense, strict=True)}
    return _parts(rows)


def _fairseq(prefix: str, norm: Mapping[str, str], layers: Mapping[str, str]) -> KeyMap:
    """fairseq's names, those of a fine-tuned file without `w2v_encoder.w2v_model.` before the encoder's."""
    features = f"{prefix}feature_extractor.conv_layers."
    table = {
        "feature_projection.layer_norm": "layer_norm",
        "feature_projection.projection": "post_extract_proj",
        "encoder.layer_norm": "encoder.layer_norm",
    }
    rows = _parts({f"{prefix}{ours}": theirs for ours, theirs in table.items()})
    rows |= _parts({f"{features}{{i}}.conv": "feature_extractor.conv_layers.{i}.0"})
    rows |= _parts({f"{features}{ours}": f"feature_extractor.conv_layers.{theirs}" for ours, theirs in norm.items()})
    position = {part: f"encoder.pos_conv.0.{part}" for part in ("weight_g", "weight_v", "bias")}
    rows |= {f"{prefix}encoder.pos_conv_embed.conv.{part}": theirs for part, theirs in position.items()}
    rows |= {f"{prefix}masked_spec_embed": "mask_emb", "quantizer.codevectors": "quantizer.vars"}
    heads = {"quantizer.weight_proj": "quantizer.weight_proj", "project_q": "project_q", "project_hid": "final_proj"}
    return KeyMap(rows | _parts(heads | {"lm_head": "w2v_encoder.proj"}) | dict(layers))


_LAYER = "wav2vec2.encoder.layers.{n}."
# The attention adapters of MMS; fairseq's have a leading axis.
_ADAPTER = {
    f"{_LAYER}adapter_layer.{ours}": f"encoder.layers.{{n}}.adapter_layer.{theirs}"
    for ours, theirs in {
        "linear_1.weight": "W_a", "linear_1.bias": "b_a", "linear_2.weight": "W_b", "linear_2.bias": "b_b",
        "norm.weight": "ln_W", "norm.bias": "ln_b",
    }.items()
}  # fmt: skip
_FAIRSEQ_LAYERS = _ADAPTER | _transformer(
    _LAYER, "encoder.layers.{n}.", "self_attn", "self_attn_layer_norm", ("fc1", "fc2")
)
_NORM_EACH = {"{i}.layer_norm": "{i}.2.1"}

# By the norm of the feature encoder, which decides the name of its first: one group norm, or a layer norm in each.
FAIRSEQ_GROUP = _fairseq("wav2vec2.", {"0.layer_norm": "0.2"}, _FAIRSEQ_LAYERS)
FAIRSEQ = _fairseq("wav2vec2.", _NORM_EACH, _FAIRSEQ_LAYERS)


def _conformer() -> dict[str, str]:
    """The rows of fairseq's conformer layer."""
    same = [*(f"self_attn.linear_{part}" for part in ("q", "k", "v", "out")), "conv_module.layer_norm"]
    same += ["conv_module.batch_norm", "self_attn_layer_norm", "final_layer_norm"]
    pairs = {name: name for name in same}
    for ffn in ("ffn1", "ffn2"):
        pairs |= {f"{ffn}_layer_norm": f"{ffn}.layer_norm"}
        pairs |= {f"{ffn}.intermediate_dense": f"{ffn}.w_1", f"{ffn}.output_dense": f"{ffn}.w_2"}
    single = [f"conv_module.{part}.weight" for part in ("pointwise_conv1", "depthwise_conv", "pointwise_conv2")]
    single += [f"conv_module.batch_norm.{part}" for part in ("running_mean", "running_var", "num_batches_tracked")]
    single += ["self_attn.linear_pos.weight", "self_attn.pos_bias_u", "self_attn.pos_bias_v"]
    rows = _parts(pairs) | {name: name for name in single}
    layer = "encoder.layers.{n}."
    return {f"wav2vec2_conformer.{layer}{ours}": layer + theirs for ours, theirs in rows.items()}


FAIRSEQ_CONFORMER = _fairseq("wav2vec2_conformer.", _NORM_EACH, _conformer())


def _torchaudio() -> KeyMap:
    """torchaudio's names: Hugging Face's parts in another order of boxes."""
    features = "feature_extractor.conv_layers.{i}."
    boxes = {"encoder.pos_conv_embed.conv": "encoder.transformer.pos_conv_embed.conv"}
    boxes |= {"encoder.layer_norm": "encoder.transformer.layer_norm"}
    boxes |= {f"{features}{part}": f"{features}{part}" for part in ("conv", "layer_norm")}
    boxes |= {
        f"feature_projection.{part}": f"encoder.feature_projection.{part}" for part in ("layer_norm", "projection")
    }
    rows = _parts({f"wav2vec2.{ours}": theirs for ours, theirs in boxes.items()} | {"lm_head": "aux"})
    position = "wav2vec2.encoder.pos_conv_embed.conv"
    del rows[f"{position}.weight"]
    rows |= {f"{position}.{part}": f"{boxes[position[9:]]}.{part}" for part in ("weight_g", "weight_v")}
    dense = ("feed_forward.intermediate_dense", "feed_forward.output_dense")
    return KeyMap(rows | _transformer(_LAYER, "encoder.transformer.layers.{n}.", "attention", "layer_norm", dense))


TORCHAUDIO = _torchaudio()
# --- TensorFlow (TF-Hub's modules, transformers 4's `tf_model.h5`) and Flax (transformers 4's `flax_model.msgpack`).
# Theirs are paths below the model's name. Both store kernels with all axes reversed, and call a norm's weight and
# bias gamma and beta (TensorFlow), scale and bias (Flax); else they agree. One list of modules serves both.

_LINEAR = (
    "wav2vec2.feature_extractor.conv_layers.{i}.conv",
    "wav2vec2.feature_projection.projection",
    *(f"wav2vec2.encoder.layers.{{n}}.attention.{which}_proj" for which in "qkv"),
    "wav2vec2.encoder.layers.{n}.attention.out_proj",
    "wav2vec2.encoder.layers.{n}.feed_forward.intermediate_dense",
    "wav2vec2.encoder.layers.{n}.feed_forward.output_dense",
    "lm_head",
)
_NORMS = (
    "wav2vec2.feature_extractor.conv_layers.{i}.layer_norm",
    "wav2vec2.feature_projection.layer_norm",
    "wav2vec2.encoder.layer_norm",
    "wav2vec2.encoder.layers.{n}.layer_norm",
    "wav2vec2.encoder.layers.{n}.final_layer_norm",
)
_ALIKE = (
    "wav2vec2.masked_spec_embed",
    *(f"wav2vec2.encoder.pos_conv_embed.conv.{which}" for which in ("weight_g", "weight_v", "bias")),
)
_QUANTIZER = ("quantizer.weight_proj", "project_q", "project_hid")


def _path(ours: str) -> str:
    return ours.removeprefix("wav2vec2.").replace(".", "/")


def _paths(linear: Iterable[str], norm_weight: str, norm_bias: str) -> dict[str, str]:
    return (
        {f"{ours}.weight": f"{_path(ours)}/kernel" for ours in linear}
        | {f"{ours}.bias": f"{_path(ours)}/bias" for ours in linear}
        | {f"{ours}.weight": f"{_path(ours)}/{norm_weight}" for ours in _NORMS}
        | {f"{ours}.bias": f"{_path(ours)}/{norm_bias}" for ours in _NORMS}
        | {ours: _path(ours) for ours in _ALIKE}
    )


TENSORFLOW = KeyMap(_paths(_LINEAR, "gamma", "beta"))
FLAX = KeyMap(
    _paths((*_LINEAR, *_QUANTIZER), "scale", "bias") | {"quantizer.codevectors": _path("quantizer.codevectors")}
)
