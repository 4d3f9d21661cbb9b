"""Weights of a Hugging Face folder <-> the network, strictly. Needs the extra `torch`.

Reads `model.safetensors` or `pytorch_model.bin` (tensors only: `weights_only=True`), whole or sharded, with the
positional convolution in either spelling. Every tensor of the network must be there with its shape and every tensor
of the file must have a place, or the error lists both sides. Nothing is ever initialised silently.

The class is the one that `architectures` names, else the one whose head is there: CTC, pre-training, sequence
classification, or the encoder alone. Families differ in the prefix of the encoder's tensors (`wav2vec2_bert.` for
example; none in a file of the encoder alone); networks here always call it `wav2vec2.`, and messages use the file's
names. MMS models have a small file a language, `adapter.<language>.safetensors`, with its adapters and its head.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xlsr.checkpoint.folder import Description, read_description, write_description
from xlsr.checkpoint.keymap import spelt
from xlsr.config import Wav2Vec2Config, read_json_object
from xlsr.errors import CheckpointError
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2Model
from xlsr.tokenizer import Tokenizer

Weights = dict[str, Tensor]
Network: TypeAlias = "Wav2Vec2Model | Wav2Vec2ForCTC | Wav2Vec2ForPreTraining | Wav2Vec2ForSequenceClassification"
AnyNetwork = TypeVar("AnyNetwork", bound=Network)

_FILES = ("model.safetensors", "pytorch_model.bin")
# Parts of a pre-training checkpoint that a CTC model has no use for.
_PRETRAINING_HEADS = ("quantizer.", "project_q.", "project_hid.")
# How transformers calls the classes and the encoder of each family.
_STEMS = {"wav2vec2": "Wav2Vec2", "wav2vec2-conformer": "Wav2Vec2Conformer", "wav2vec2-bert": "Wav2Vec2Bert"}
_PREFIXES = {"wav2vec2": "wav2vec2.", "wav2vec2-conformer": "wav2vec2_conformer.", "wav2vec2-bert": "wav2vec2_bert."}
_CLASSES: dict[str, type[Network]] = {
    "ForCTC": Wav2Vec2ForCTC,
    "ForPreTraining": Wav2Vec2ForPreTraining,
    "ForSequenceClassification": Wav2Vec2ForSequenceClassification,
    "Model": Wav2Vec2Model,
}
_HEADS: dict[str, type[Network]] = {
    "lm_head.": Wav2Vec2ForCTC,
    **dict.fromkeys(_PRETRAINING_HEADS, Wav2Vec2ForPreTraining),
    **dict.fromkeys(("projector.", "classifier.", "layer_weights"), Wav2Vec2ForSequenceClassification),
}
_OURS = "wav2vec2."


def read_weights(folder: Path) -> Weights:
    """Read the tensors of a folder, memory-mapped, under Hugging Face's names with `weight_g` and `weight_v`.

    Raises:
        CheckpointError: no weights are there, or a file is damaged or holds anything but tensors.
    """
    for name in _FILES:
        if (folder / name).is_file():
            return _spelt(read_file(folder / name))
        index = folder / f"{name}.index.json"
        if index.is_file():
            weights: Weights = {}
            for shard in _shards(index):
                weights |= read_file(shard)
            return _spelt(weights)
    raise CheckpointError(f"{folder} holds no weights; {' or '.join(_FILES)}, whole or sharded, is wanted")


def load(folder: Path, *, language: str | None = None) -> tuple[Description, Network]:
    """Read a folder into the network that it holds, in evaluation mode, fp32 on the CPU.

    Args:
        folder: as transformers saves it.
        language: for models of several: its vocabulary and, where the model has adapters, its adapter.

    Raises:
        CheckpointError: tensors are missing, left over or of another shape.
        ConfigError, TokenizerError: as `read_description`.
    """
    description = read_description(folder, language=language)
    weights = read_weights(folder)
    kind = _class_of(description.config, weights, str(folder))
    model = _build(kind, description.config, weights, source=str(folder))
    if language is not None and description.config.adapter_attn_dim is not None and isinstance(model, Wav2Vec2ForCTC):
        description = load_adapter(description, model, language)
    return description, model


def load_ctc(folder: Path, *, language: str | None = None) -> tuple[Description, Wav2Vec2ForCTC]:
    """As `load`, of a folder that holds a CTC network; another is an error."""
    description, model = load(folder, language=language)
    if not isinstance(model, Wav2Vec2ForCTC):
        raise CheckpointError(
            f"{folder} holds a {type(model).__name__}, which has no lm_head: it cannot transcribe; fine-tune it first"
        )
    return description, model


def build(config: Wav2Vec2Config, weights: Weights, *, source: str) -> Network:
    """Put tensors under Hugging Face's names into the network that they make up, as `load`."""
    return _build(_class_of(config, weights, source), config, weights, source=source)


def build_ctc(config: Wav2Vec2Config, weights: Weights, *, source: str) -> Wav2Vec2ForCTC:
    """Put tensors into a CTC network; both sides must agree name for name and shape for shape."""
    return _build(Wav2Vec2ForCTC, config, weights, source=source)


def _build(kind: type[AnyNetwork], config: Wav2Vec2Config, weights: Weights, *, source: str) -> AnyNetwork:
    with torch.device("meta"):
        model = kind(config)
    if kind is Wav2Vec2ForCTC:
        weights = {name: value for name, value in weights.items() if not name.startswith(_PRETRAINING_HEADS)}
    has_prefix = any(name.startswith(_PREFIXES[config.model_type]) for name in weights)
    _settle_mask_embedding(model, weights)
    wanted = {file_name(name, model, has_prefix=has_prefix): value for name, value in model.state_dict().items()}
    check_names({name: value.shape for name, value in wanted.items()}, weights, source)
    for name, value in wanted.items():
        if weights[name].is_floating_point() != value.is_floating_point():
            raise CheckpointError(f"{name} of {source} is {weights[name].dtype}; {value.dtype} is wanted")
    model.load_state_dict(
        {
            name: weights[theirs].to(value.dtype)
            for (name, value), theirs in zip(model.state_dict().items(), wanted, strict=True)
        },
        assign=True,
    )
    model.eval()
    return model


def _class_of(config: Wav2Vec2Config, weights: Weights, source: str) -> type[Network]:
    """The class that `architectures` names, else the one whose head is among the tensors."""
    stem = _STEMS[config.model_type]
    for name in config.architectures[:1]:
        if not (name.startswith(stem) and name[len(stem) :] in _CLASSES):
            known = ", ".join(stem + kind for kind in _CLASSES)
            raise CheckpointError(f"{source} holds a {name}; {config.model_type} is supported as {known}")
        return _CLASSES[name[len(stem) :]]
    found = (kind for head, kind in _HEADS.items() if any(name.startswith(head) for name in weights))
    return next(found, Wav2Vec2Model)


def file_name(name: str, model: Network, *, has_prefix: bool = True) -> str:
    """What a tensor of a network is called in a file: the encoder's prefix is the family's, or none."""
    if not isinstance(model, Wav2Vec2Model) and not name.startswith(_OURS):
        return name
    return (_PREFIXES[model.config.model_type] if has_prefix else "") + name.removeprefix(_OURS)


def _settle_mask_embedding(model: Network, weights: Weights) -> None:
    """Let a network that never masks do without its mask embedding, which transformers does not save then."""
    config, encoder = model.config, _encoder(model)
    name = "masked_spec_embed"
    if config.mask_time_prob or config.mask_feature_prob or any(found.endswith(name) for found in weights):
        return
    del encoder.masked_spec_embed
    encoder.register_buffer(name, torch.zeros(config.hidden_size), persistent=False)


def _encoder(model: Network) -> Wav2Vec2Model:
    return model if isinstance(model, Wav2Vec2Model) else model.wav2vec2


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


def save(
    description: Description, model: Network, folder: Path, *, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Write a folder that xlsr, transformers and any Hugging Face tool read; the encoder alone without a prefix.

    Args:
        description: of the model; its architecture's class is settled by `model`.
        model: names the tensors.
        folder: is made where it is not there.
        weights: by the names of the model's state dict; default: its own.
    """
    config = description.config
    name = _STEMS[config.model_type] + next(kind for kind, made in _CLASSES.items() if isinstance(model, made))
    if config.architectures[:1] != (name,):
        description = replace(description, config=replace(config, architectures=(name,)))
    write_description(description, folder)
    has_prefix = not isinstance(model, Wav2Vec2Model)
    named = {
        file_name(name, model, has_prefix=has_prefix): value for name, value in (weights or model.state_dict()).items()
    }
    write_file(named, folder / "model.safetensors")


def save_adapter(
    model: Wav2Vec2ForCTC, language: str, folder: Path, *, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Write the attention adapters and the head of a model (MMS) as `adapter.<language>.safetensors`.

    Args:
        model: names the tensors.
        language: what `load_adapter` and transformers will call it.
        folder: of the model.
        weights: by the names of the model's state dict; default: its own.
    """
    parts = {name: value for name, value in (weights or model.state_dict()).items() if _is_language_part(name)}
    named = {file_name(name, model): value for name, value in parts.items()}
    write_file(named, folder / f"adapter.{language}.safetensors")


def load_adapter(
    description: Description, model: Wav2Vec2ForCTC, language: str, *, folder: Path | None = None
) -> Description:
    """Switch a model with attention adapters (MMS) to another language, in place.

    Args:
        description: of the model as it is.
        model: gets the language's adapters and a head of its vocabulary's size, on the model's device and dtype.
        language: as the file names it, "fra" or "azj-script_latin" for example.
        folder: where `adapter.<language>.safetensors` (or `.bin`) lies; default: the model's own.

    Returns:
        The description with the language's vocabulary.

    Raises:
        CheckpointError: the model has no adapters, the language has no file, or its tensors do not fit exactly.
        TokenizerError: the vocabulary has no such language.
    """
    folder = folder or description.folder
    if folder is None or model.config.adapter_attn_dim is None:
        raise CheckpointError(f"{description.name} has no adapters: adapter_attn_dim is not set, or it has no folder")
    path = _adapter_file(folder, language)
    weights = read_file(path)
    # The head has the size of the language's vocabulary, so that its first axis is the file's.
    head = weights.get("lm_head.weight")
    rows = len(head) if head is not None and head.ndim else model.lm_head.out_features
    mine = {name: value for name, value in model.state_dict().items() if _is_language_part(name)}
    shapes = {
        name: (rows, *value.shape[1:]) if name.startswith("lm_head.") else value.shape for name, value in mine.items()
    }
    check_names({file_name(name, model): torch.Size(shape) for name, shape in shapes.items()}, weights, str(path))
    config = replace(description.config, vocab_size=rows)
    tokenizer = description.tokenizer
    if (folder / "vocab.json").is_file():
        tokenizer = Tokenizer.from_folder(folder, language=language, pad_token_id=config.pad_token_id)
        symbols = tokenizer.files.vocab[language]
        if isinstance(symbols, dict) and len(symbols) > rows:
            raise CheckpointError(
                f"{path} has {rows} classes; the vocabulary of {language!r} has {len(symbols)} symbols"
            )
    for name, old in mine.items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, nn.Parameter(weights[file_name(name, model)].to(old)))
    model.lm_head.out_features = rows
    model.config = model.wav2vec2.config = config
    return replace(description, config=config, tokenizer=tokenizer)


def _is_language_part(name: str) -> bool:
    """Whether a tensor of a network comes with the language rather than with the model."""
    return ".adapter_layer." in name or name.startswith("lm_head.")


def adapter_files(folder: Path) -> dict[str, Path]:
    """The adapter files of a folder by their languages."""
    return {
        file.name[len("adapter.") : -len(suffix)]: file
        for suffix in (".bin", ".safetensors")  # the later wins
        for file in sorted(folder.glob(f"adapter.*{suffix}"))
    }


def _adapter_file(folder: Path, language: str) -> Path:
    """The adapter file of a language, chosen among the files that are there."""
    found = adapter_files(folder)
    if language in found:
        return found[language]
    present = sorted(found)
    near = difflib.get_close_matches(language.lower(), present, n=5, cutoff=0.5)
    hint = f"near names are {', '.join(near)}" if near else f"there are {_some(present) or 'none'}"
    raise CheckpointError(
        f"{folder} has no adapter.{language}.safetensors or .bin for the language {language!r}: {hint}"
    )


def read_file(path: Path) -> Weights:
    """Read the tensors of one file, memory-mapped.

    Raises:
        CheckpointError: it is damaged, or holds anything but tensors.
    """
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


def write_file(weights: Mapping[str, Tensor], path: Path, *, like: str = "config.json") -> None:
    """Write tensors as safetensors, all at once, with the permissions of the file `like` beside it."""
    named = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    partial = path.with_name(f"{path.name}.partial")
    save_file(named, partial, metadata={"format": "pt"})
    shutil.copymode(path.with_name(like), partial)  # safetensors lets nobody else read its files
    partial.replace(path)


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
    renamed = {spelt(name): value for name, value in weights.items()}
    if len(renamed) != len(weights):
        twice = sorted(spelt(name) for name in weights if spelt(name) != name and spelt(name) in weights)
        raise CheckpointError(f"the weights hold {', '.join(twice)} in both spellings of weight norm; keep one")
    return renamed


def _some(names: Iterable[str], limit: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
