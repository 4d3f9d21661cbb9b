"""Bundles of TensorFlow: ours read as written, damaged ones refused, and never another error than ours."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import entry, message, number, table, write_bundle
from tests.damage import mutants, mutate, spend
from xlsr.checkpoint.bundle import open_bundle
from xlsr.checkpoint.tensorflow import read_saved_model
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError

VARIABLES = {
    "model/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "model/bias": np.arange(3, dtype=np.float64),
    "model/half": np.arange(5, dtype=np.float16),
    "model/count": np.array(7, np.int64),
    "model/none": np.zeros((0, 3), np.float32),
}


def index(folder: Path) -> Path:
    return folder / "variables" / "variables.index"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    bundle = open_bundle(index(write_bundle(tmp_path, VARIABLES)))
    assert [name for name, _ in bundle.names] == list(VARIABLES)
    for name, key in bundle.names:
        np.testing.assert_array_equal(bundle.tensor(key), VARIABLES[name], strict=True)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    content = np.array([0x3F80, 0xC040, 0x0000], np.uint16).tobytes()
    folder = write_bundle(tmp_path, {}, extra={"b": entry(14, (3,), 0, content)})
    shard = folder / "variables" / "variables.data-00000-of-00002"
    shard.write_bytes(content + shard.read_bytes()[len(content) :])
    np.testing.assert_array_equal(open_bundle(index(folder)).tensor("b"), np.array([1, -3, 0], np.float32), strict=True)


def test_tensors_stay_on_disk_until_they_are_used(tmp_path: Path) -> None:
    large = np.random.default_rng(0).standard_normal(8 << 20).astype(np.float32)
    folder = write_bundle(tmp_path, {"large": large})
    tracemalloc.start()
    bundle = open_bundle(index(folder))
    tensor = bundle.tensor(bundle.names[0][1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tensor.nbytes == 32 << 20
    assert peak < 4 << 20  # rows and tables of the checksum
    np.testing.assert_array_equal(tensor[::1000], large[::1000])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"kind": 1}, "snappy"), ({"kind": 2}, "kind 2"),
        ({"header": number(1, 2) + number(2, 1)}, "big-endian"),
        ({"header": number(1, 0)}, "number of data files is 0"),
        ({"header": number(1, 1 << 40)}, "number of data files"),
        ({"header": number(1, 3)}, "variables.data-00000-of-00003 is not beside it"),
        ({"extra": {"x": entry(1, (), 0, b"1234", more=message(7, b""))}}, "slices"),
        ({"extra": {"x": entry(1, (2,), 0, b"1234")}}, r"x of shape \(2,\) has 4 bytes"),
        ({"extra": {"x": entry(1, (1 << 63, 1 << 63), 0, b"1234")}}, "shape"),
        ({"extra": {"x": entry(1, (1,) * 9, 0, b"1234")}}, "too many dimensions"),
        ({"extra": {"x": entry(1, (), 1 << 50, b"1234")}}, "truncated"),
        ({"extra": {"x": entry(1, (), 0, b"1234", shard=5)}}, "data file 5"),
        ({"extra": {"x": entry(7, (1 << 40,), 0, b"1234")}}, "strings"),
        ({"extra": {"k" * 5000: b""}}, "longer than it may be"),
        ({"keys": {"model/gone": "nowhere"}}, "'model/gone' at 'nowhere'"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(tmp_path: Path, changes: dict, wanted: str) -> None:
    folder = write_bundle(tmp_path, VARIABLES, **changes)
    with pytest.raises(CheckpointError, match=wanted) as refusal:
        assert open_bundle(index(folder)).names == ()
    assert str(index(folder)) in str(refusal.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"variables\.index"):
        open_bundle(index(tmp_path))
    folder = write_bundle(tmp_path, VARIABLES)
    (folder / "variables" / "variables.data-00001-of-00002").unlink()
    with pytest.raises(CheckpointError, match="data-00001-of-00002 is not beside it"):
        open_bundle(index(folder))


def test_a_missing_tensor_and_a_string_are_named(tmp_path: Path) -> None:
    bundle = open_bundle(index(write_bundle(tmp_path, VARIABLES)))
    with pytest.raises(CheckpointError, match="no tensor 'x'"):
        bundle.tensor("x")
    with pytest.raises(CheckpointError, match="type 7"):
        bundle.tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    with pytest.raises(CheckpointError, match="no scalar string"):
        bundle.string(bundle.names[0][1])


def test_keys_out_of_order_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.index").write_bytes(table([(b"", number(1, 1)), (b"b", b""), (b"a", b"")]))
    with pytest.raises(CheckpointError, match="out of order"):
        open_bundle(tmp_path / "a.index")


@pytest.mark.parametrize("count", mutants(2000))
@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_every_damaged_bundle_is_refused(tmp_path: Path, reference: Path, name: str, count: int) -> None:
    rng = np.random.default_rng(count)
    shutil.copytree(reference / "golden" / "tf_savedmodel_tiny_base", tmp_path / "model", copy_function=shutil.copy)
    (tmp_path / "model" / "variables").chmod(0o755)
    path = tmp_path / "model" / "variables" / name
    path.chmod(0o644)
    whole = path.read_bytes()
    config = Wav2Vec2Config.from_dict({"conv_dim": [16] * 7, "hidden_size": 32, "num_attention_heads": 4,
                                       "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 8,
                                       "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4})  # fmt: skip
    assert len(read_saved_model(tmp_path / "model", config).weights) == 53

    def refused() -> None:
        with pytest.raises(CheckpointError) as refusal:
            read_saved_model(tmp_path / "model", config)
        assert "variables.index" in str(refusal.value)

    for _ in range(count):
        path.unlink()  # a new file: mapped views of the old one must not see it shrink
        path.write_bytes(mutate(whole, rng))
        spend(refused)


@pytest.mark.parametrize("count", mutants(2000))
def test_damage_under_valid_checksums_is_read_or_refused(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(count)
    refusals = 0

    def read() -> None:
        nonlocal refusals
        try:
            bundle = open_bundle(index(tmp_path))
            for _, key in bundle.names:
                bundle.tensor(key)
            for key in bundle.entries:
                bundle.verified(key)
        except CheckpointError:
            refusals += 1

    for _ in range(count):
        shutil.rmtree(tmp_path)
        write_bundle(tmp_path, VARIABLES, change=lambda block: mutate(block, rng))
        spend(read)
    assert refusals > count / 2
