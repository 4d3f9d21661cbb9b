"""Files of weights: kinds, shards, damage, and what a refusal says."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.damage import mutants, mutate, spend
from tests.models import ARCHITECTURES, tiny
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import load_ctc, read_weights, save
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError, ConfigError, XlsrError
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"])


@pytest.fixture
def folder(tmp_path):
    model = tiny("large")
    save(Description(model.config, TOKENIZER), model, tmp_path)
    return tmp_path


def rewrite(folder, change) -> None:
    """Apply a change to the stored tensors."""
    weights = load_file(folder / "model.safetensors")
    save_file(change({name: value.clone() for name, value in weights.items()}), folder / "model.safetensors")


@pytest.mark.parametrize("kind", ["removed", "renamed", "reshaped", "added"])
def test_a_tensor_that_does_not_fit_is_named(folder, kind: str) -> None:
    name = "wav2vec2.encoder.layers.1.feed_forward.output_dense.weight"

    def change(weights):
        value = weights.pop(name)
        if kind == "renamed":
            weights[name + "s"] = value
        elif kind == "reshaped":
            weights[name] = value.T.contiguous()
        elif kind == "added":
            weights |= {name: value, "wav2vec2.extra": value.clone()}
        return weights

    rewrite(folder, change)
    expected = {"added": "1 unknown to the network: wav2vec2.extra", "reshaped": f"1 of another shape: {name}"}
    with pytest.raises(CheckpointError, match=expected.get(kind, f"1 missing in the file: {name}").replace(".", r"\.")):
        load_ctc(folder)


def test_bin_and_sharded_files_load(folder) -> None:
    weights = read_weights(folder)
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert_equal(read_weights(folder), weights)
    (folder / "pytorch_model.bin").unlink()
    names = sorted(weights)
    table = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for file in set(table.values()):
        save_file({name: weights[name] for name in names if table[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    assert_equal(read_weights(folder), weights)
    load_ctc(folder)


def assert_equal(found, wanted) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_shard_outside_the_folder_is_refused(folder) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    table = {"lm_head.bias": "../elsewhere.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    with pytest.raises(CheckpointError, match="elsewhere"):
        load_ctc(folder)


def test_a_bin_file_that_would_execute_is_refused(folder, tmp_path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return (open, (str(trap), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.bias": Trap()}, folder / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(CheckpointError, match="refused"):
        load_ctc(folder)
    assert not trap.exists()


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_weights_are_named(folder, damage: str) -> None:
    path = folder / "model.safetensors"
    content = {"truncated": path.read_bytes()[:5000], "text": b"no tensors here", "empty": b""}[damage]
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        load_ctc(folder)


def test_a_folder_without_weights_says_what_is_wanted(folder) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors or pytorch_model\.bin"):
        load_ctc(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_act", "gelu_new"), ("feat_extract_norm", "batch"), ("model_type", "hubert"), ("num_attention_heads", 5),
     ("conv_dim", [16]), ("hidden_size", "32"), ("pad_token_id", 99), ("hidden_size", 10**9)],
)  # fmt: skip
def test_a_config_that_cannot_be_computed_is_refused_by_name(key: str, value) -> None:
    with pytest.raises(ConfigError, match=key):
        Wav2Vec2Config.from_dict(ARCHITECTURES["base"] | {key: value})


@pytest.mark.parametrize("count", mutants(2000))
def test_damaged_safetensors_headers_are_read_or_refused(folder, count: int) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    _, whole = load_ctc(folder)
    names = whole.state_dict().keys()
    rng = np.random.default_rng(count)
    refused = 0

    def read() -> None:
        nonlocal refused
        try:
            _, model = load_ctc(folder)
        except XlsrError:
            refused += 1
        else:  # the damage was to what nobody reads, such as the metadata or white space
            assert model.state_dict().keys() == names

    for _ in range(count):
        path.write_bytes(mutate(content[:end], rng) + content[end:])
        spend(read)
    assert refused > 0.9 * count
