"""LoRA adapters as peft stores them: `adapter_config.json` and `adapter_model.safetensors`. Needs the extra `torch`.

An adapter is small: two narrow matrices for each changed layer, and the parts that were trained whole, such as the
head. Where a vocabulary lies beside it, it is that of the head. Written for any tool that uses peft; read by adding
the changes to the weights. Variants of LoRA that compute something else are refused by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import check_names, file_name, read_file, write_file
from xlsr.config import JsonObject, read_json_object
from xlsr.errors import CheckpointError
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.tokenizer import Tokenizer

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # of peft's wrapper
# Keys of adapter_config.json that change nothing, or that the tensors say as well; any other may not be set.
_UNDERSTOOD = {
    "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "init_lora_weights",
    "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "modules_to_save",
    "peft_version", "qalora_group_size", "r", "revision", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
_ONLY: dict[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian"),  # others change the base's weights too
}


@dataclass(frozen=True)
class LoRASettings:
    """What `adapter_config.json` says of an adapter beside its tensors.

    Attributes:
        rank: rows of A.
        alpha: the change is scaled by alpha / rank.
        dropout: of its input, in training.
        modules: the changed layers, by the ends of their names.
        base: the model that it changes; None: nobody knows.
    """

    rank: int
    alpha: float
    dropout: float
    modules: tuple[str, ...]
    base: str | None = None


def save_lora(
    description: Description, model: Wav2Vec2ForCTC, folder: Path, settings: LoRASettings, weights: Mapping[str, Tensor]
) -> None:
    """Write an adapter: the low-rank changes and the head, with its vocabulary.

    Args:
        description: of the model.
        model: names the tensors.
        folder: is made where it is not there.
        settings: how the changes are to be understood.
        weights: by the names of the model's state dict.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        _PREFIX + file_name(name, model): value
        for name, value in weights.items()
        if ".lora_" in name or name.startswith("lm_head.")
    }
    written: JsonObject = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": settings.base, "inference_mode": True,
        "r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": settings.dropout, "bias": "none",
        "target_modules": list(settings.modules), "modules_to_save": ["lm_head"], "init_lora_weights": True,
        "fan_in_fan_out": False, "use_rslora": False, "use_dora": False,
    }  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", "utf-8")
    write_file(named, folder / TENSORS, like=CONFIG)
    if description.tokenizer is not None:
        description.tokenizer.to_folder(folder)


@torch.no_grad()
def load_lora(description: Description, model: Wav2Vec2ForCTC, folder: Path) -> Description:
    """Add an adapter to the weights of a model, in place.

    Args:
        description: of the model as it is.
        model: the one that the adapter was trained on.
        folder: as peft saves it.

    Returns:
        The description with the adapter's vocabulary, where it has one.

    Raises:
        CheckpointError: the adapter is of another kind, or its tensors do not fit the model exactly.
    """
    if not (folder / CONFIG).is_file() or not (folder / TENSORS).is_file():
        raise CheckpointError(f"{folder} is no adapter as peft saves it; {CONFIG} and {TENSORS} are wanted")
    rank, scale = _read_settings(folder / CONFIG)
    found = read_file(folder / TENSORS)
    mine = {_PREFIX + file_name(name, model): (name, value) for name, value in model.named_parameters()}
    description = _take_vocabulary(description, folder, found)
    rows = description.config.vocab_size or 0
    wanted: dict[str, torch.Size] = {}
    for key in found:
        stem, dot, _ = key.partition(".lora_")
        name, old = mine.get(f"{stem}.weight" if dot else key, (None, None))
        if name is None or old is None:
            continue  # `check_names` tells of it
        if dot:
            wanted[f"{stem}.lora_A.weight"] = torch.Size((rank, *old.shape[1:]))
            wanted[f"{stem}.lora_B.weight"] = torch.Size((len(old), rank))
        else:
            wanted[key] = torch.Size((rows, *old.shape[1:])) if name.startswith("lm_head.") else old.shape
    check_names(wanted, found, str(folder / TENSORS))
    for key, value in found.items():
        stem, dot, part = key.partition(".lora_")
        if part == "B.weight":
            continue  # goes with its A
        name, old = mine[f"{stem}.weight" if dot else key]
        # In fp32, whatever the precision that the adapter is stored in.
        new = old + scale * (found[f"{stem}.lora_B.weight"].float() @ value.float()) if dot else value
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, nn.Parameter(new.to(old)))
    model.lm_head.out_features = len(model.lm_head.weight)
    model.config = model.wav2vec2.config = description.config
    # Its scores are other ones now, and so may its words be.
    own = ("calibration", "decoder")
    return replace(description, extras={key: value for key, value in description.extras.items() if key not in own})


def _take_vocabulary(description: Description, folder: Path, found: Mapping[str, Tensor]) -> Description:
    """The description with the vocabulary beside an adapter, if the adapter brings a head for it."""
    head = found.get(f"{_PREFIX}lm_head.weight")
    if head is None or not head.ndim or not (folder / "vocab.json").is_file():
        return description
    tokenizer = Tokenizer.from_folder(folder)
    if description.tokenizer is not None and tokenizer.vocab == description.tokenizer.vocab:
        return description
    if tokenizer.size > len(head):
        raise CheckpointError(f"{folder}: the head has {len(head)} classes; the vocabulary needs {tokenizer.size}")
    config = replace(description.config, vocab_size=len(head), pad_token_id=tokenizer.blank_id)
    return replace(description, config=config, tokenizer=tokenizer)


def _read_settings(path: Path) -> tuple[int, float]:
    """The rank and the scale of an adapter's changes, if they are plain LoRA."""
    settings = read_json_object(path)
    for key, value in settings.items():
        if (key in _ONLY and value not in _ONLY[key]) or (value and key not in _UNDERSTOOD and key not in _ONLY):
            raise CheckpointError(f"{path}: {key} is {value!r}, which is not supported; plain LoRA is wanted")
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    if settings.get("peft_type") != "LORA" or not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise CheckpointError(f"{path} names no rank r of a LoRA adapter")
    if not isinstance(alpha, int | float):
        raise CheckpointError(f"{path} names no lora_alpha, which scales the adapter")
    return rank, alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
