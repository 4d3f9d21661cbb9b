"""Flax files give the networks that they were written from; what does not fit, or is damaged, is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch

from tests.bundles import packed, theirs, write_flax
from tests.checkpoint.test_tensorflow import assert_same_logits
from tests.damage import mutants, mutate, spend
from tests.models import ARCHITECTURES, tiny
from xlsr.checkpoint.flax import read_flax
from xlsr.checkpoint.folder import Description, write_description
from xlsr.checkpoint.hf import build_ctc
from xlsr.errors import CheckpointError, MissingDependencyError

KERNEL = "wav2vec2/encoder/layers/1/attention/q_proj/kernel"
OURS = "wav2vec2.encoder.layers.1.attention.q_proj.weight"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_files_come_back_as_they_went(tmp_path: Path, architecture: str) -> None:
    model = tiny(architecture)
    found = read_flax(write_flax(tmp_path / "a.msgpack", theirs(model.state_dict(), "flax")), model.config)
    assert (found.format, found.unused) == ("flax", {})
    assert_same_logits(found, model)


def test_axes_are_those_of_the_flax_modules(tmp_path: Path) -> None:
    model = tiny("large")
    arrays = theirs(model.state_dict(), "flax")
    # Dense (in, out), Conv (taps, in, out); the weight-normed convolution keeps torch's order.
    assert arrays["wav2vec2/feature_projection/projection/kernel"].shape == (16, 32)
    assert arrays["wav2vec2/feature_extractor/conv_layers/0/conv/kernel"].shape == (10, 1, 16)
    assert arrays["wav2vec2/encoder/pos_conv_embed/conv/weight_v"].shape == (32, 8, 16)
    assert arrays["wav2vec2/encoder/pos_conv_embed/conv/weight_g"].shape == (1, 1, 16)
    found = read_flax(write_flax(tmp_path / "a.msgpack", arrays), model.config)
    kernel = arrays["wav2vec2/feature_projection/projection/kernel"]
    projection = found.weights["wav2vec2.feature_projection.projection.weight"].numpy()
    assert projection[3, 5] == kernel[5, 3]


def test_the_bare_encoder_and_the_params_level(tmp_path: Path) -> None:
    model = tiny("large", hidden_size=64, num_attention_heads=1)
    arrays = theirs(model.state_dict(), "flax")
    bare = {f"params/{k.removeprefix('wav2vec2/')}": v for k, v in arrays.items() if "lm_head" not in k}
    found = read_flax(write_flax(tmp_path / "a.msgpack", bare))
    assert set(found.weights) == {f"wav2vec2.{name}" for name in model.wav2vec2.state_dict()}
    assert found.config.hidden_size == 64


def test_a_pretraining_model_keeps_its_quantizer(tmp_path: Path) -> None:
    model = tiny("large", hidden_size=64, num_attention_heads=1)
    heads = {
        "quantizer.codevectors": torch.randn(1, 12, 4), "quantizer.weight_proj.weight": torch.randn(12, 16),
        "quantizer.weight_proj.bias": torch.randn(12), "project_q.weight": torch.randn(10, 8),
        "project_q.bias": torch.randn(10), "project_hid.weight": torch.randn(10, 64),
        "project_hid.bias": torch.randn(10),
    }  # fmt: skip
    arrays = theirs(model.state_dict(), "flax")
    arrays |= {name.removeprefix("wav2vec2/"): value for name, value in theirs(heads, "flax").items()}
    found = read_flax(write_flax(tmp_path / "a.msgpack", arrays))
    for name, value in heads.items():
        assert torch.equal(found.weights[name], value), name
    config = found.config
    assert (config.codevector_dim, config.proj_codevector_dim) == (8, 10)
    assert (config.num_codevector_groups, config.num_codevectors_per_group) == (2, 6)
    build_ctc(config, found.weights, source="test")


def test_split_arrays_are_joined(tmp_path: Path) -> None:
    model = tiny("base")
    arrays: dict = theirs(model.state_dict(), "flax")
    flat = np.ascontiguousarray(arrays[KERNEL]).reshape(-1)
    parts = {"0": packed(flat[:1000]), "1": packed(flat[1000:])}
    arrays[KERNEL] = {"__msgpack_chunked_array__": True, "shape": {"0": 32, "1": 32}, "chunks": parts}
    path = write_flax(tmp_path / "a.msgpack", arrays)
    assert_same_logits(read_flax(path, model.config), model)
    arrays[KERNEL]["chunks"] = {"0": parts["0"], "2": parts["1"]}
    with pytest.raises(CheckpointError, match="numbered parts"):
        read_flax(write_flax(path, arrays), model.config)
    arrays[KERNEL]["chunks"] = {"0": parts["0"]}
    with pytest.raises(CheckpointError, match="1000 values"):
        read_flax(write_flax(path, arrays), model.config)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_are_read(tmp_path: Path, dtype: str) -> None:
    model = tiny("base")
    rounded = model.lm_head.weight.detach().to(getattr(torch, dtype))
    arrays: dict = theirs(model.state_dict(), "flax")
    raw = rounded.view(torch.int16).numpy() if dtype == "bfloat16" else rounded.numpy()
    arrays["lm_head/kernel"] = packed(np.ascontiguousarray(raw.T), dtype)
    found = read_flax(write_flax(tmp_path / "a.msgpack", arrays), model.config)
    assert torch.equal(found.weights["lm_head.weight"].float(), rounded.float())


def test_files_beside_the_weights_are_used(tmp_path: Path) -> None:
    model = tiny("large")
    write_description(Description(model.config), tmp_path)
    found = read_flax(write_flax(tmp_path / "flax_model.msgpack", theirs(model.state_dict(), "flax")))
    assert_same_logits(found, model)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({KERNEL: None}, f"1 missing in the file: {OURS}"),
        ({KERNEL + "s": np.zeros((32, 32), np.float32)}, f"does not have: {KERNEL}s"),
        ({KERNEL: np.zeros((32, 31), np.float32)}, f"{OURS}: file (31, 32), network (32, 32)"),
        ({KERNEL.removeprefix("wav2vec2/"): np.zeros((32, 32), np.float32)}, "more than one network"),
        ({KERNEL: np.zeros((32, 32), np.int32)}, "'int32'"), ({KERNEL: 3.5}, f"{KERNEL} is neither an array"),
        ({KERNEL: packed(np.zeros(3, np.float32), "object")}, "'object'"),
        ({KERNEL: msgpack.ExtType(2, b"")}, "kind 2"), ({KERNEL: msgpack.ExtType(1, b"\x01")}, "shape, type and bytes"),
        ({KERNEL: msgpack.ExtType(1, msgpack.packb(((-1,), "float32", b"")))}, "shape [-1]"),
        ({KERNEL: msgpack.ExtType(1, msgpack.packb(((1 << 62, 4), "float32", b"")))}, "0 values"),
        ({KERNEL: msgpack.ExtType(1, msgpack.packb(((1,), "float32", b"123")))}, "multiple of element size"),
        ({KERNEL: [0.0] * 17}, "max_array_len"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict, wanted: str) -> None:
    model = tiny("base")
    arrays = {k: v for k, v in (theirs(model.state_dict(), "flax") | changes).items() if v is not None}
    path = write_flax(tmp_path / "a.msgpack", arrays)
    with pytest.raises(CheckpointError) as refused:
        read_flax(path, model.config)
    assert wanted in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
     b"\x81\xa1a" * 600, b"\x91" * 5000, b"\x82\xa1a\xc0\xa1a\xc0", b"\x80\x80", b"\x81\x01\xc0", b"\x81\xa1\xff\xc0",
     b"\xd6\xff\0\0\0\0"],
)  # fmt: skip
def test_what_is_no_tree_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.msgpack").write_bytes(content)

    def refused() -> None:
        with pytest.raises(CheckpointError, match=r"a\.msgpack cannot be read"):
            read_flax(tmp_path / "a.msgpack")

    spend(refused)


def test_msgpack_is_asked_for_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(MissingDependencyError, match=r"msgpack is needed .*'xlsr\[import\]'"):
        read_flax(tmp_path / "a.msgpack")


@pytest.mark.parametrize("count", mutants(2000))
def test_damaged_files_are_read_or_refused(tmp_path: Path, count: int) -> None:
    """The format has no checksums: changed numbers are numbers. Nothing but our error may come out."""
    rng = np.random.default_rng(count)
    model = tiny("base", num_hidden_layers=1)
    path = write_flax(tmp_path / "a.msgpack", theirs(model.state_dict(), "flax"))
    whole = path.read_bytes()
    refusals = 0

    def read() -> None:
        nonlocal refusals
        try:
            read_flax(path, model.config)
        except CheckpointError:
            refusals += 1

    read()
    assert refusals == 0
    for _ in range(count):
        path.write_bytes(mutate(whole, rng))
        spend(read)
    assert refusals > count / 4
