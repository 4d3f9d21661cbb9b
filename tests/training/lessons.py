"""A small corpus with a tiny teacher, for the tests of distillation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch

import xlsr
from tests.models import tiny
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import save
from xlsr.training.distill_recipe import DistillRecipe
from xlsr.training.distilling import DistillTask
from xlsr.training.recipe import read_recipe

RECIPE = """
[data]
train = ["eng.jsonl", "deu.jsonl"]
dev = "dev.jsonl"
min_seconds = 0.3
max_seconds = 1.0
batch_seconds = 4.0
[model.architecture]
conv_dim = [16, 24, 24, 24]
conv_kernel = [30, 10, 4, 2]
conv_stride = [10, 4, 4, 2]
conv_bias = true
feat_extract_norm = "layer"
do_stable_layer_norm = true
hidden_size = 24
num_hidden_layers = 3
num_attention_heads = 2
intermediate_size = 48
num_conv_pos_embeddings = 8
num_conv_pos_embedding_groups = 4
hidden_dropout = 0.1
layerdrop = 0.2
initializer_range = 0.08
mask_time_prob = 0.2
mask_time_length = 3
[teacher]
model = "teacher"
layers = [1, 2]
normalize = 8
[optim]
lr = 3e-3
head_lr = 1e-2
schedule = "constant"
warmup = 0.1
updates = 12
accumulate = 2
[run]
threads = 1
log_every = 1
eval_every = 6
device = "cpu"
"""
STORED = {"teacher.model": None, "teacher.layers": []}
PLAIN = {f"model.architecture.{name}": 0.0 for name in ("hidden_dropout", "attention_dropout", "activation_dropout",
                                                        "layerdrop", "mask_time_prob")}  # fmt: skip


def write_lessons(folder: Path) -> None:
    """Noisy tones of 0.4 to 1.4 s in two languages, a tiny teacher, and what its last layer makes of them."""
    rng = np.random.default_rng(0)
    for name, count in (("eng", 14), ("deu", 6), ("dev", 5)):
        rows = []
        for index in range(count):
            size = int(rng.integers(6_400, 22_400))
            wave = 0.2 * np.sin(np.cumsum(rng.uniform(0.05, 0.9, size))) + 0.02 * rng.standard_normal(size)
            soundfile.write(folder / f"{name}{index}.wav", wave.astype("float32"), 16_000, subtype="FLOAT")
            rows.append({"audio": f"{name}{index}.wav", "duration": size / 16_000, "language": name, "text": "ab"})
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = tiny("large")
    save(Description(model.config, preprocessor={"do_normalize": True}), model, folder / "teacher")
    for name in ("eng", "deu", "dev"):
        xlsr.store_features(folder / "teacher", folder / f"{name}.jsonl", folder / f"{name}-taught", dtype="float32")
    (folder / "recipe.toml").write_text(RECIPE)


def stored(lessons: Path) -> dict[str, object]:
    """Overrides by which the stored features teach."""
    train = [str(lessons / f"{name}-taught" / "manifest.jsonl") for name in ("eng", "deu")]
    return STORED | {"data.train": train, "data.dev": str(lessons / "dev-taught" / "manifest.jsonl")}


def make(lessons: Path, **overrides) -> DistillTask:
    """The task of the recipe; on one thread, as several of so small a network wait for each other."""
    torch.set_num_threads(1)
    return DistillTask(read_recipe(lessons / "recipe.toml", DistillRecipe, overrides))
