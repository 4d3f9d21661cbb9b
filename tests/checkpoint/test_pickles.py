"""Pickles are data: nothing in them runs, what they name is refused by name, and damage ends in CheckpointError."""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import pickle
import tracemalloc
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch

from tests.checkpoint.archives import legacy, tensor_pickle, zipped
from xlsr.checkpoint.pickles import Label, Record, Window, unpickle
from xlsr.checkpoint.plain import plain
from xlsr.checkpoint.torchfiles import LazyTensor, is_torch_file, read_torch
from xlsr.errors import CheckpointError

FOUR = np.arange(4, dtype="<f4").tobytes()


def read(content: bytes) -> object:
    return unpickle(Window(memoryview(content), 0, len(content)), "file.pt")


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_plain_objects_come_back_equal(protocol: int) -> None:
    value = {
        "numbers": [0, 1, -1, 255, 65535, 70000, -70000, 2**40, 0.5, -1e300, True, False, None],
        "text": ["", "a", "ɪ̃ \n", "x" * 300], "bytes": [b"", b"\x00\xff", b"y" * 300],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], ("a", 1): {"deep": {"er": []}},
    }  # fmt: skip
    value["again"] = value["text"]
    assert read(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize("protocol", range(2, 6))
def test_containers_of_the_library_become_dictionaries(protocol: int) -> None:
    ordered = OrderedDict(a=1, b=[2])
    ordered.attribute = "not needed"
    value = [ordered, defaultdict(list, {"c": [3]}), Counter("aab")]
    assert read(pickle.dumps(value, protocol=protocol)) == [dict(ordered), {"c": [3]}, {"a": 2, "b": 1}]


@pytest.mark.parametrize("protocol", range(6))
def test_objects_become_records(protocol: int) -> None:
    record = read(pickle.dumps(argparse.Namespace(a=1, b="two"), protocol=protocol))
    assert isinstance(record, Record)
    assert (record.name, record.state) == ("argparse.Namespace", {"a": 1, "b": "two"})


@pytest.mark.parametrize("protocol", range(2, 6))
def test_configuration_becomes_plain(protocol: int) -> None:
    value = argparse.Namespace(
        path=pathlib.PurePosixPath("/data/x"), half=np.float64(0.5), many=np.int32(-7), yes=np.bool_(True), of={1, 2}
    )
    found = plain(read(pickle.dumps(value, protocol=protocol)), "file.pt")
    assert found == {"path": "/data/x", "half": 0.5, "many": -7, "yes": True, "of": [1, 2]}


def test_real_omegaconf_becomes_plain(repository) -> None:
    """Written by omegaconf 2.0.6, which fairseq pins: a structured config, a plain one and a defaultdict."""
    state = read((repository / "tests/checkpoint/omegaconf-2.0.6.pkl").read_bytes())
    assert state["d"] == {1: [2]}
    assert plain(state["cfg"], "file.pt") == {
        "model": {
            "encoder_layers": 4, "rate": 0.5, "conv": "[(512,10,5)]", "normalize": "${task.normalize}",
            "betas": [0.1, 0.2], "tup": [1.0, 2.0, 3.0], "opt": None, "miss": "???", "anything": None,
        },
        "task": {"normalize": True, "labels": "ltr", "l": [1, {"a": 2}]},
        "none": None,
    }  # fmt: skip


MALICIOUS = {
    f"{os.name}.system" if os.name == "nt" else "posix.system": Call(os.system, "touch RAN"),
    "builtins.eval": Call(eval, "open('RAN', 'w')"),
    "builtins.exec": Call(exec, "open('RAN', 'w')"),
    "builtins.getattr": Call(getattr, Call(__import__, "os"), "system"),
    "builtins.__import__": Call(__import__, "os"),
    "torch.storage._load_from_bytes": Call(torch.storage._load_from_bytes, b"RAN"),
    "torch.serialization.load": Call(torch.load, "RAN"),
    "torch.hub.load": Call(torch.hub.load, "RAN", "RAN"),
    "io.open": [[{"deep": Call(tuple, [Call(open, "RAN", "w")])}]],
    "importlib.import_module": Call(__import__("importlib").import_module, "os"),
    "functools.partial": Call(__import__("functools").partial, print),
    "shutil.rmtree": Call(__import__("shutil").rmtree, "RAN"),
}


@pytest.mark.parametrize("write", [zipped, legacy])
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", MALICIOUS)
def test_calls_are_refused_by_name(tmp_path, monkeypatch, name: str, protocol: int, write) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "file.pt", pickle.dumps({"model": {}, "args": MALICIOUS[name]}, protocol=protocol))
    first = "builtins.(getattr|__import__)" if name == "builtins.getattr" else name
    with pytest.raises(CheckpointError, match=rf"file.pt is refused: it names '{first}'"):
        read_torch(path)
    assert not (tmp_path / "RAN").exists()


def test_a_name_that_is_never_called_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"names 'os.popen'"):
        read(b"\x80\x02cos\npopen\n0N.")


@pytest.mark.parametrize(
    "content", [b"(S'x'\nios\nsystem\n.", b"\x80\x02cargparse\nNamespace\n)oN.", b"\x80\x02\x82\x01.", b"Pid\n."]
)
def test_opcodes_that_no_checkpoint_needs_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"uses (INST|OBJ|EXT1|PERSID)|cannot be read"):
        read(content)


def test_labels_are_never_the_things(tmp_path) -> None:
    found = read(b"\x80\x02cfairseq.x\nos.system\nX\x01\x00\x00\x00a\x85R.")
    assert isinstance(found, Record)
    assert (found.name, found.args) == ("fairseq.x.os.system", ("a",))
    assert read(b"\x80\x02cbuiltins\nobject\n.") == Label("builtins.object")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02].extra"[:3],
        b"\x80\x02h\x05.",  # a memo index that was never set
        b"\x80\x02r\xff\xff\xff\x7fN.",  # a memo index of 2 ** 31
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",  # bytes of 2 ** 63
        b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",  # a number of 2 GB
        b"\x80\x02R.",
        b"\x80\x02\x85.",
        b"\x80\x02t.",
        b"\x80\x02N(u.",
        b"\x80\x02](NNNu.",
        b"\x80\x02}(Nu.",
        b"\x80\x02}]Ns.",  # a list as a key
        b"\x80\x02NN\x86R.",
        b"\x80\x02NNb.",
        b"\x80\x02Q.",
        b"I" + b"9" * 4000 + b"\n.",
        b"I" + b"9" * 5000 + b"\n.",
        b"\x80\x02})" + b"\x85" * 100_000 + b"Ns.",  # a key so deep that hashing it would overflow
    ],
)
def test_damaged_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"file.pt is damaged"):
        read(content)


def test_copies_larger_than_the_file_are_refused() -> None:
    text = b"X" + (1 << 20).to_bytes(4, "little") + b"x" * (1 << 20) + b"\x94"
    calls = b"c_codecs\nencode\nh\x00\x85R" * 100
    with pytest.raises(CheckpointError, match="larger than the file"):
        read(b"\x80\x04(" + text + calls + b"t.")


@pytest.mark.parametrize("content", ["cycle", "doubled"])
def test_configuration_without_end_is_refused(content: str) -> None:
    value: list[object] = []
    if content == "cycle":
        value.append(value)
    else:
        for _ in range(60):
            value = [value, value]
    with pytest.raises(CheckpointError, match="without end"):
        plain(value, "file.pt")


@pytest.mark.parametrize("is_zip", [True, False])
def test_tensors_come_back_equal(tmp_path, is_zip: bool) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "whole": base, "view": base[1:3, ::2], "turned": base.T, "empty": torch.empty(0, 3),
        "number": torch.tensor(2.5),
        "half": base.half(), "bf16": base.bfloat16(), "long": base.long(), "bool": base > 3, "bytes": base.byte(),
        "double": base.double(), "parameter": torch.nn.Parameter(base + 1),
    }  # fmt: skip
    path = tmp_path / "file.pt"
    torch.save({"tensors": OrderedDict(tensors), "shape": base.shape}, path, _use_new_zipfile_serialization=is_zip)
    assert is_torch_file(path)
    found = read_torch(path)
    assert found["shape"] == (4, 6)
    for name, tensor in tensors.items():
        again = found["tensors"][name].load()
        assert again.dtype == tensor.dtype
        assert torch.equal(again, tensor), name


def test_writing_to_a_tensor_leaves_the_file_alone(tmp_path) -> None:
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "file.pt")
    before = (tmp_path / "file.pt").read_bytes()
    found = read_torch(tmp_path / "file.pt")["a"].load()
    found.add_(1.0)
    assert (tmp_path / "file.pt").read_bytes() == before
    assert torch.equal(found, torch.arange(1000.0) + 1.0)


def test_files_without_checksums_are_read(tmp_path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.arange(5.0)}, tmp_path / "file.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_torch(tmp_path / "file.pt")["a"].load(), torch.arange(5.0))


@pytest.mark.parametrize("write", [zipped, legacy])
def test_the_handmade_tensor_is_a_tensor(tmp_path, write) -> None:
    found = read_torch(write(tmp_path / "file.pt", tensor_pickle(), {"0": FOUR}))
    assert found["w"].load().tolist() == [0, 1, 2, 3]


LIES = {
    "a storage larger than the archive's": {"count": 5},
    "a storage smaller than the archive's": {"count": 3},
    "a storage larger than memory": {"count": 2**45},
    "a negative storage": {"count": -4},
    "a tensor beyond its storage": {"shape": "(K\x05t"},
    "an offset beyond the storage": {"offset": 1},
    "a negative offset": {"offset": -1},
    "strides beyond the storage": {"strides": "(K\x02t"},
    "one number as a million": {"shape": "(J\x40\x42\x0f\x00t", "strides": "(K\x00t"},
    "negative strides": {"strides": "(J\xff\xff\xff\xfft"},
    "another number of strides": {"strides": "(t"},
    "nine dimensions": {"shape": "(" + "K\x01" * 9 + "t", "strides": "(" + "K\x01" * 9 + "t"},
    "a storage that is not there": {"key": "1"},
}


@pytest.mark.parametrize("write", [zipped, legacy])
@pytest.mark.parametrize("lie", LIES)
def test_sizes_that_lie_are_refused(tmp_path, lie: str, write) -> None:
    path = write(tmp_path / "file.pt", tensor_pickle(**LIES[lie]), {"0": FOUR})
    with pytest.raises(CheckpointError, match=r"file.pt is damaged"):
        read_torch(path)


def test_compressed_archives_are_refused(tmp_path) -> None:
    path = zipped(
        tmp_path / "bomb.pt", tensor_pickle(count=2**24), {"0": bytes(2**26)}, compression=zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 2**20
    with pytest.raises(CheckpointError, match=r"bomb.pt is refused: 'archive/data.pkl' is compressed"):
        read_torch(path)


def test_a_large_pickle_is_refused(tmp_path) -> None:
    path = zipped(tmp_path / "file.pt", b"\x80\x02" + b"]0" * (9 << 20) + b"N.")
    with pytest.raises(CheckpointError, match=r"data.pkl has 18874372 bytes"):
        read_torch(path)


def test_archives_that_are_no_checkpoints_are_named(tmp_path) -> None:
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
        archive.writestr("archive/constants.pkl", b"N.")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"")
    with pytest.raises(CheckpointError, match=r"without the one data.pkl"):
        read_torch(path)
    path.write_bytes(b"")
    assert not is_torch_file(path)
    with pytest.raises(CheckpointError, match=r"file.pt cannot be read"):
        read_torch(path)
    with pytest.raises(CheckpointError, match=r"absent.pt cannot be read"):
        read_torch(tmp_path / "absent.pt")
    path.write_bytes(b"RIFF1234WAVE" * 9)
    with pytest.raises(CheckpointError, match=r"neither a zip archive nor"):
        read_torch(path)


def test_a_big_endian_file_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
        archive.writestr("archive/byteorder", b"big")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_torch(tmp_path / "file.pt")


def test_a_member_that_stands_twice_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", b"K\x01.")
    with pytest.raises(CheckpointError, match="does not lie where"):
        read_torch(tmp_path / "file.pt")


def test_a_wrong_checksum_is_found_on_use(tmp_path) -> None:
    torch.save({"a": torch.full((100,), 7.0), "b": torch.ones(3)}, tmp_path / "file.pt")
    content = (tmp_path / "file.pt").read_bytes()
    at = content.index(np.full(100, 7.0, "<f4").tobytes())
    (tmp_path / "file.pt").write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    found = read_torch(tmp_path / "file.pt")
    assert torch.equal(found["b"].load(), torch.ones(3))
    with pytest.raises(CheckpointError, match=r"file.pt is damaged: the checksum"):
        found["a"].load()


TENSORS = {"model": {"a": torch.arange(50.0), "b": torch.ones(3, 4)}, "args": argparse.Namespace(c=[1, 2.5, "x"])}


def saved(is_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def load_all(path) -> dict[str, torch.Tensor]:
    """Every tensor that the file still holds, and its configuration read too."""
    found = read_torch(path)
    plain(found, str(path))
    model = found.get("model") if isinstance(found, dict) else None
    lazy = model if isinstance(model, dict) else {}
    return {name: value.load() for name, value in lazy.items() if isinstance(value, LazyTensor)}


@pytest.mark.parametrize("is_zip", [True, False])
def test_truncated_files_are_refused(tmp_path, is_zip: bool) -> None:
    content = saved(is_zip)
    path = tmp_path / "file.pt"
    for size in [*range(0, len(content), max(len(content) // 60, 1)), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"file.pt"):
            load_all(path)


def survive_mutations(path, is_zip: bool, times: int) -> int:
    """Change 1 to 4 bytes, many times; return how often the file was refused. Anything else raised fails the test."""
    content = saved(is_zip)
    rng = np.random.default_rng(0)
    refused = 0
    tracemalloc.start()
    for _ in range(times):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 5)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            found = load_all(path)
        except CheckpointError:
            refused += 1
        else:  # a zip file is checked byte for byte: what is accepted is what was saved
            assert not is_zip or all(torch.equal(found[name], value) for name, value in TENSORS["model"].items())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20, "a damaged file of a few kilobytes made tens of megabytes"
    return refused


@pytest.mark.parametrize("is_zip", [True, False])
def test_changed_bytes_are_refused_or_harmless(tmp_path, is_zip: bool) -> None:
    assert survive_mutations(tmp_path / "file.pt", is_zip, 200) > 50


@pytest.mark.slow
@pytest.mark.parametrize("is_zip", [True, False])
def test_many_changed_bytes_are_refused_or_harmless(tmp_path, is_zip: bool) -> None:
    assert survive_mutations(tmp_path / "file.pt", is_zip, 2000) > 500
