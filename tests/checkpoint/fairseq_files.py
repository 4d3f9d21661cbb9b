"""Files as fairseq writes them, from known tensors: every container, dictionary and age that the readers must know.

Neither fairseq nor omegaconf is needed: while a file is written, modules of their names stand in `sys.modules`, so that
the pickle names the classes that a real one names.
"""

from __future__ import annotations

import argparse
import enum
import pathlib
import sys
import types
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xlsr.checkpoint.keymap import FAIRSEQ, FAIRSEQ_GROUP
from xlsr.config import Wav2Vec2Config
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

PREFIX = "w2v_encoder.w2v_model."
LETTERS = ["|", "E", "T", "A"]  # with fairseq's four: the eight classes of the tiny models
OMEGACONF = {"omegaconf.dictconfig": "DictConfig", "omegaconf.listconfig": "ListConfig", "omegaconf.nodes": "AnyNode"}


class _Held:
    """What omegaconf's containers and nodes are to a pickle: a class and a state."""

    def __init__(self, **state: object) -> None:
        self.__dict__ |= state


class _Mode(enum.Enum):
    layer_norm = "layer_norm"
    default = "default"


@contextmanager
def fakes() -> Iterator[types.SimpleNamespace]:
    """Register `omegaconf` and `fairseq` modules; yield their classes."""
    classes = {name: type(name, (_Held,), {"__module__": module}) for module, name in OMEGACONF.items()}
    classes["ContainerMetadata"] = type("ContainerMetadata", (_Held,), {"__module__": "omegaconf.base"})
    classes["Dictionary"] = type("Dictionary", (_Held,), {"__module__": "fairseq.data.dictionary"})
    _Mode.__module__, _Mode.__qualname__ = "fairseq.dataclass.constants", "ExtractorMode"
    classes["ExtractorMode"] = _Mode
    before = dict(sys.modules)
    for name, kind in classes.items():
        parts = kind.__module__.split(".")
        for end in range(1, len(parts) + 1):
            dotted = ".".join(parts[:end])
            sys.modules.setdefault(dotted, types.ModuleType(dotted))
        setattr(sys.modules[kind.__module__], name, kind)
    try:
        yield types.SimpleNamespace(**classes)
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]


def omegaconf(fake: types.SimpleNamespace, value: object, parent: object = None) -> object:
    """Plain values as a tree of omegaconf's nodes, each with its parent."""
    if isinstance(value, dict):
        made = fake.DictConfig(_metadata=fake.ContainerMetadata(ref_type=dict, key="x"), _parent=parent)
        made._content = {key: omegaconf(fake, member, made) for key, member in value.items()}
    elif isinstance(value, list):
        made = fake.ListConfig(_metadata=fake.ContainerMetadata(ref_type=list, key="x"), _parent=parent)
        made._content = [omegaconf(fake, member, made) for member in value]
    else:
        made = fake.AnyNode(_parent=parent, _val=value)
    return made


def encoder_options(config: Wav2Vec2Config, mode: object = None) -> dict[str, object]:
    """The options of fairseq's encoder for one of our configurations."""
    layers = zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
    return {
        "_name": "wav2vec2",
        "extractor_mode": mode or {"group": "default", "layer": "layer_norm"}[config.feat_extract_norm],
        "encoder_layers": config.num_hidden_layers,
        "encoder_embed_dim": config.hidden_size,
        "encoder_ffn_embed_dim": config.intermediate_size,
        "encoder_attention_heads": config.num_attention_heads,
        "activation_fn": "gelu",
        "conv_feature_layers": " + ".join(f"[({dim}, {kernel}, {stride})]" for dim, kernel, stride in layers),
        "conv_bias": config.conv_bias,
        "layer_norm_first": config.do_stable_layer_norm,
        "conv_pos": config.num_conv_pos_embeddings,
        "conv_pos_groups": config.num_conv_pos_embedding_groups,
        "final_dim": 24,
        "latent_dim": 0,
        "encoder_layerdrop": 0.05,
        "dropout_input": 0.1,
        "latent_temp": [2.0, 0.5, 0.999995],
        "crop_seq_to_multiple": 1,
    }


def state_dict(model: Wav2Vec2ForCTC, *, is_finetuned: bool) -> OrderedDict[str, Tensor]:
    """A network's tensors under fairseq's names, with torch's `_metadata`; pre-training heads where they belong."""
    table = FAIRSEQ_GROUP if model.config.feat_extract_norm == "group" else FAIRSEQ
    found: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in model.state_dict().items():
        theirs = table.from_hf(name)
        assert theirs is not None
        if name.startswith("lm_head."):
            if is_finetuned:
                found[theirs] = value
        else:
            found[PREFIX * is_finetuned + theirs] = value
    if not is_finetuned:
        found |= dict(zip(HEADS, heads(model.config), strict=True))
    found._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    return found


HEADS = {
    "quantizer.vars": "quantizer.codevectors",
    "quantizer.weight_proj.weight": "quantizer.weight_proj.weight",
    "quantizer.weight_proj.bias": "quantizer.weight_proj.bias",
    "project_q.weight": "project_q.weight",
    "project_q.bias": "project_q.bias",
    "final_proj.weight": "project_hid.weight",
    "final_proj.bias": "project_hid.bias",
}


def heads(config: Wav2Vec2Config) -> list[Tensor]:
    """Tensors for `HEADS`."""
    shapes = [(1, 640, 12), (640, config.conv_dim[-1]), (640,), (24, 24), (24,), (24, config.hidden_size), (24,)]
    return [torch.full(shape, 0.5) for shape in shapes]


def write(
    path: Path,
    model: Wav2Vec2ForCTC,
    container: str,
    *,
    is_finetuned: bool = True,
    is_zip: bool = True,
    dictionary: list[str] | None = None,
    **changes: object,
) -> Path:
    """Write a file of fairseq.

    Args:
        path: of the file.
        model: whose tensors are written.
        container: "args", a flat namespace; "cfg", nested dictionaries; "omegaconf", the same as omegaconf's nodes.
        is_finetuned: with a head, the encoder's options in w2v_args.
        is_zip: torch's format since 1.6, else the older one.
        dictionary: symbols to be put into the file itself, after fairseq's four.
        changes: further options of the model.
    """
    with fakes() as fake:
        mode = {"group": fake.ExtractorMode.default, "layer": fake.ExtractorMode.layer_norm}
        options = encoder_options(model.config, mode[model.config.feat_extract_norm])
        options |= {} if is_finetuned else changes
        task = {"_name": "audio_pretraining", "data": pathlib.PurePosixPath("/data"), "normalize": True}
        if is_finetuned:
            held = _contain(fake, options, {**task, "normalize": False}, container)
            options = {"_name": "wav2vec_ctc", "w2v_args": held, "final_dropout": 0.2, "layerdrop": 0.1}
            options |= {"apply_mask": True, "mask_prob": 0.25, "normalize": "${task.normalize}", **changes}
            task["labels"] = "ltr"
        state: dict[str, object] = {
            "args": None,
            "cfg": None,
            "model": state_dict(model, is_finetuned=is_finetuned),
            "optimizer_history": [{"num_updates": 3, "best_loss": np.float64(1.5)}],
            "extra_state": {"metrics": OrderedDict(), "best": np.float32(2.0), "seen": defaultdict(list, {1: [2]})},
            "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        }
        if dictionary is not None:
            symbols = ["<s>", "<pad>", "</s>", "<unk>", *dictionary]
            state["task_state"] = {"target_dictionary": fake.Dictionary(symbols=symbols, count=[1] * len(symbols))}
        state["args" if container == "args" else "cfg"] = _contain(fake, options, task, container)
        torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    return path


def _contain(fake: types.SimpleNamespace, options: dict, task: dict, container: str) -> object:
    if container == "args":
        flat = task | options
        return argparse.Namespace(**{key: value for key, value in flat.items() if key != "normalize"} | {
            "normalize": task["normalize"]
        })  # fmt: skip
    nested = {"_name": None, "common": {"seed": 1}, "model": options, "task": task, "optimizer": None}
    return omegaconf(fake, nested) if container == "omegaconf" else nested
