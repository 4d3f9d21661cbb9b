"""SavedModels (the TF-Hub modules wav2vec2-*) and Keras' `tf_model.h5` -> weights. TensorFlow is not needed.

Variables are found by their full names below the model's, whatever it is called. Two systems wrote such names:
TF-Hub's modules (`conv_layers/0/conv/kernel`) and transformers 4 (`conv_layers.0/conv/kernel`), whose positional
kernel alone keeps torch's order of axes. How the files are laid out, `bundle.py` and `hdf5.py` know.

Source: transformers 4's `modeling_tf_wav2vec2.py` for names and axes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xlsr.checkpoint.architecture import build_foreign
from xlsr.checkpoint.bundle import OBJECT_GRAPH, open_bundle
from xlsr.checkpoint.foreign import Foreign
from xlsr.checkpoint.hdf5 import read_keras_variables
from xlsr.checkpoint.hf import Weights
from xlsr.checkpoint.keymap import TENSORFLOW
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError

Array = NDArray[Any]

_INDEX = Path("variables") / "variables.index"
_ROOTS = ("masked_spec_embed", "feature_extractor", "feature_projection", "encoder", "lm_head")
_TAPS = "wav2vec2.encoder.pos_conv_embed.conv.weight_v"


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds the variables of a SavedModel."""
    return (folder / _INDEX).is_file()


def read_saved_model(folder: Path, config: Wav2Vec2Config | None = None) -> Foreign:
    """Read the variables of a SavedModel; the graph beside them is not looked at.

    Args:
        folder: holds `variables/variables.index`.
        config: the architecture, where the shapes do not tell it; default: the folder's `config.json`, if any.

    Raises:
        CheckpointError: a file is missing or damaged, variables are missing, left over or of another shape, or the
            shapes do not tell the architecture.
        ConfigError, TokenizerError: a file beside it is damaged, or asks for what is not supported.
    """
    bundle = open_bundle(folder / _INDEX)
    variables: dict[str, Array] = {}
    used = {OBJECT_GRAPH}
    unused = dict.fromkeys(bundle.entries.keys() - {key for _, key in bundle.names} - used, "no variable")
    for name, key in bundle.names:
        if reason := _reason_to_skip(name, key):
            unused[name] = reason
        elif name in variables:
            raise CheckpointError(f"{folder} has two variables that are called {name!r}; one model is wanted")
        else:
            variables[name] = bundle.tensor(key)
            used.add(key)
    for key in bundle.entries.keys() - used:
        bundle.verified(key)  # what is not used counts too: a file is whole, or refused
    return build_foreign("tensorflow", _weights(variables, folder), config, source=folder, unused=unused)


def read_h5(path: Path, config: Wav2Vec2Config | None = None) -> Foreign:
    """Read a Keras weight file, as TF-Hub's author and transformers 4 (`tf_model.h5`) wrote them.

    Args:
        path: the file; a `config.json` and a tokenizer beside it are used.
        config: the architecture, in place of that of `config.json` or of the shapes.

    Raises:
        CheckpointError: as `read_saved_model`; also links to other files, compressed or virtual datasets.
        MissingDependencyError: h5py is not installed.
        ConfigError, TokenizerError: a file beside it is damaged, or asks for what is not supported.
    """
    variables = read_keras_variables(path)
    return build_foreign("tensorflow", _weights(variables, path), config, source=path)


def _reason_to_skip(name: str, key: str) -> str | None:
    """Why a variable of a bundle belongs to no network; None for the others."""
    if name == "save_counter" or key.startswith("save_counter/"):
        return "counter of saved checkpoints"
    if "/.OPTIMIZER_SLOT/" in key or re.match(r"_?optimizer\b", key):
        return "state of the optimizer"
    if key.startswith("keras_api/"):
        return "state of Keras, such as metrics"
    return None


def _weights(variables: Mapping[str, Array], source: Path) -> Weights:
    """Variables under Hugging Face's names, with torch's order of axes, in memory of their own."""
    arrays: dict[str, Array] = {}
    for name, value in variables.items():
        if value.dtype.kind != "f" or value.dtype.itemsize > 8:
            raise CheckpointError(f"{source}: {name} has the type {value.dtype}; floating point is wanted")
        arrays[_stem(name)] = value
    if len(arrays) < len(variables):
        repeated = [stem for stem, count in Counter(map(_stem, variables)).items() if count > 1]
        raise CheckpointError(f"{source} holds more than one network; more than once there are: {_some(repeated)}")
    found = TENSORFLOW.align(arrays)
    if found.unknown:
        unknown = [name for name in variables if _stem(name) in found.unknown]
        raise CheckpointError(f"{source} holds variables that wav2vec 2.0 does not have: {_some(unknown)}")
    is_dotted = any(re.search(r"layers\.\d", name) for name in variables)
    return {
        ours: torch.from_numpy(_oriented(ours, arrays[stem], arrays, is_dotted=is_dotted))
        for ours, stem in found.names.items()
    }


def _stem(name: str) -> str:
    """The path of a variable below its model: without the model's name, `:0`, and dots before numbers."""
    path = re.sub(r"layers\.(\d+)/", r"layers/\1/", name.removesuffix(":0")).split("/")
    start = next((i for i, part in enumerate(path) if part in _ROOTS), 0)
    return "/".join(path[start:])


def _oriented(ours: str, value: Array, arrays: Mapping[str, Array], *, is_dotted: bool) -> Array:
    """A copy with torch's order of axes, in native byte order.

    Kernels and the positional g and v are reversed; transformers' v, (hidden, hidden / groups, taps) as in torch, is
    not. It is told by its ends: where they are equal, by the spelling of the names.
    """
    is_reversed = value.ndim > 1
    bias = arrays.get("encoder/pos_conv_embed/conv/bias")
    if ours == _TAPS and value.ndim == 3 and bias is not None:
        first, last = (size == bias.size for size in (value.shape[0], value.shape[2]))
        is_reversed = not (first and (is_dotted or not last))
    return np.array(value.T if is_reversed else value, dtype=value.dtype.newbyteorder("="), order="C")


def _some(names: list[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
