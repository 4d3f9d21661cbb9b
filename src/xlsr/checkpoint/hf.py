"""Weights of a Hugging Face folder <-> the network, strictly. Needs the extra `torch`.

Reads `model.safetensors` or `pytorch_model.bin` (tensors only: `weights_only=True`), whole or sharded, with the
positional convolution in either spelling. Every tensor of the network must be there with its shape and every tensor
of the file must have a place, or the error lists both sides. Nothing is ever initialised silently.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xlsr.checkpoint.folder import Description, read_description, write_description
from xlsr.checkpoint.keymap import spelt
from xlsr.config import Wav2Vec2Config, read_json_object
from xlsr.errors import CheckpointError
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

Weights = dict[str, Tensor]

_FILES = ("model.safetensors", "pytorch_model.bin")
# Parts of a pre-training checkpoint that a CTC model has no use for.
_PRETRAINING_HEADS = ("quantizer.", "project_q.", "project_hid.")


def read_weights(folder: Path) -> Weights:
    """Read the tensors of a folder, memory-mapped, under Hugging Face's names with `weight_g` and `weight_v`.

    Raises:
        CheckpointError: no weights are there, or a file is damaged or holds anything but tensors.
    """
    for name in _FILES:
        if (folder / name).is_file():
            return _spelt(_read_file(folder / name))
        index = folder / f"{name}.index.json"
        if index.is_file():
            weights: Weights = {}
            for shard in _shards(index):
                weights |= _read_file(shard)
            return _spelt(weights)
    raise CheckpointError(f"{folder} holds no weights; {' or '.join(_FILES)}, whole or sharded, is wanted")


def load_ctc(folder: Path, *, language: str | None = None) -> tuple[Description, Wav2Vec2ForCTC]:
    """Read a folder into a CTC network in evaluation mode, fp32 on the CPU.

    Raises:
        CheckpointError: tensors are missing, left over or of another shape.
    """
    description = read_description(folder, language=language)
    return description, build_ctc(description.config, read_weights(folder), source=str(folder))


def build_ctc(config: Wav2Vec2Config, weights: Weights, *, source: str) -> Wav2Vec2ForCTC:
    """Put tensors into a CTC network; both sides must agree name for name and shape for shape."""
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(config)
    weights = {name: value for name, value in weights.items() if not name.startswith(_PRETRAINING_HEADS)}
    embedding = "wav2vec2.masked_spec_embed"
    if embedding not in weights and not (config.mask_time_prob or config.mask_feature_prob):
        weights[embedding] = torch.zeros(config.hidden_size)  # saved only by models that mask; used only in masking
    check_names({name: p.shape for name, p in model.state_dict().items()}, weights, source)
    model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return model.eval()


def check_names(wanted: dict[str, torch.Size], found: Weights, source: str) -> None:
    """Raise CheckpointError unless names and shapes agree; the message lists both sides."""
    missing = [f"{name} {tuple(shape)}" for name, shape in wanted.items() if name not in found]
    unexpected = [f"{name} {tuple(value.shape)}" for name, value in found.items() if name not in wanted]
    reshaped = [
        f"{name}: file {tuple(found[name].shape)}, network {tuple(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name].shape != shape
    ]
    if missing or unexpected or reshaped:
        sides = {"missing in the file": missing, "unknown to the network": unexpected, "of another shape": reshaped}
        parts = [f"{len(names)} {what}: {_some(names)}" for what, names in sides.items() if names]
        raise CheckpointError(f"the weights of {source} do not fit the network; {'; '.join(parts)}")


def save_ctc(description: Description, model: Wav2Vec2ForCTC, folder: Path) -> None:
    """Write a folder that xlsr, transformers and any Hugging Face tool read."""
    write_description(description, folder)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    partial = folder / "model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.replace(folder / "model.safetensors")


def _read_file(path: Path) -> Weights:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # weights_only refuses globals by pickle.UnpicklingError, which torch does not export
        raise CheckpointError(f"{path} is refused: it holds more than tensors ({error})") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path} is no plain dictionary of tensors, as pytorch_model.bin is")
    return loaded


def _shards(index: Path) -> list[Path]:
    """The files of a sharded checkpoint; names that leave the folder are refused."""
    table = read_json_object(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise CheckpointError(f"{index} has no weight_map")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        if Path(name).name != name or not (index.parent / name).is_file():
            raise CheckpointError(f"{index} names the shard {name!r}, which is no file beside it")
    return [index.parent / name for name in names]


def _spelt(weights: Weights) -> Weights:
    """The same tensors with the positional convolution spelt weight_g and weight_v."""
    return {spelt(name): value for name, value in weights.items()}


def _some(names: Iterable[str], limit: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
