"""Names of tensors in other systems <-> Hugging Face's, one strict table for each format.

A table lists pairs of templates; `{i}` and `{n}` stand for numbers and must agree on both sides. Names are matched
whole, so `layer_norm` never catches `encoder.layer_norm`. Every name has one partner at most, in both directions.
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
