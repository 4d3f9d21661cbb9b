"""Writers of other systems' files, by their documents: TensorFlow's bundles, Keras' HDF5, Flax' MessagePack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import msgpack
import numpy as np
import torch

from xlsr.checkpoint.crc32c import masked_crc32c
from xlsr.checkpoint.keymap import FLAX, TENSORFLOW

CODES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")


def theirs(weights: dict[str, torch.Tensor], dialect: str) -> dict[str, np.ndarray]:
    """Weights as "tfhub", "transformers" (TensorFlow) or "flax" name and orient them."""
    found = {}
    for ours, value in weights.items():
        array = value.detach().numpy()
        if dialect == "flax":
            path = FLAX.from_hf(ours)
            found[path if path.startswith("lm_head") else f"wav2vec2/{path}"] = (
                array.T if path.endswith("kernel") else array
            )
            continue
        path = TENSORFLOW.from_hf(ours)
        as_in_torch = dialect == "transformers" and path.endswith("weight_v")
        array = array if as_in_torch or array.ndim < 2 else array.T
        if dialect == "transformers":
            path = path.replace("layers/", "layers.")
        model = {"tfhub": "wav2vec2-ctc", "transformers": "tf_wav2_vec2_for_ctc"}[dialect]
        found[f"{model}/{path}" if path.startswith("lm_head") else f"{model}/wav2vec2/{path}"] = array
    return found


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def checksum(content: bytes) -> bytes:
    return masked_crc32c(np.frombuffer(content, np.uint8)).to_bytes(4, "little")


def entry(
    code: int, shape: tuple[int, ...], offset: int, content: bytes, *, shard: int = 0, more: bytes = b""
) -> bytes:
    dimensions = b"".join(message(2, number(1, size)) for size in shape)
    places = number(3, shard) + number(4, offset) + number(5, len(content))
    return number(1, code) + message(2, dimensions) + places + varint(6 << 3 | 5) + checksum(content) + more


def object_graph(names: dict[str, str]) -> bytes:
    """Variables' full names -> keys, as a TrackableObjectGraph."""
    attributes = [
        message(1, b"VARIABLE_VALUE") + message(2, full.encode()) + message(3, key.encode())
        for full, key in names.items()
    ]
    return b"".join(message(1, message(2, attribute)) for attribute in attributes)


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    content, restarts, previous = b"", [], b""
    for position, (key, value) in enumerate(pairs):
        shared = 0
        if position % 16:
            while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
                shared += 1
        else:
            restarts.append(len(content))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    restarts = restarts or [0]
    return content + b"".join(r.to_bytes(4, "little") for r in (*restarts, len(restarts)))


def table(pairs: list[tuple[bytes, bytes]], *, kind: int = 0, change: Callable[[bytes], bytes] = bytes) -> bytes:
    """A LevelDB table; `change` alters its block of entries before that is sealed."""
    content, places = b"", []
    for part in (change(block(pairs)), block([])):
        places.append(varint(len(content)) + varint(len(part)))
        content += part + bytes([kind]) + checksum(part + bytes([kind]))
    root = block([(b"\xff", places[0])])
    places.append(varint(len(content)) + varint(len(root)))
    content += root + b"\0" + checksum(root + b"\0")
    return content + (places[1] + places[2]).ljust(40, b"\0") + MAGIC


def write_bundle(
    folder: Path,
    variables: dict[str, np.ndarray],
    *,
    header: bytes | None = None,
    extra: dict[str, bytes] | None = None,
    keys: dict[str, str] | None = None,
    kind: int = 0,
    change: Callable[[bytes], bytes] = bytes,
) -> Path:
    """Write the variables of a SavedModel by their full names, alternating between two data files.

    `extra` are entries of the index as they are; `keys` names for keys other than variables/N.
    """
    names = {full: f"variables/{i}/.ATTRIBUTES/VARIABLE_VALUE" for i, full in enumerate(variables)} | (keys or {})
    entries, data = {"": header or number(1, 2)}, [b"?", b""]
    for i, (full, value) in enumerate(variables.items()):
        content = np.ascontiguousarray(value).tobytes()
        entries[names[full]] = entry(CODES[value.dtype.name], value.shape, len(data[i % 2]), content, shard=i % 2)
        data[i % 2] += content
    graph = object_graph(names)
    told = checksum(len(graph).to_bytes(4, "little"))
    sealed = len(graph).to_bytes(4, "little") + told + graph
    content = varint(len(graph)) + told + graph
    place = number(1, 7) + message(2, b"") + number(4, len(data[0])) + number(5, len(content))
    entries["_CHECKPOINTABLE_OBJECT_GRAPH"] = place + varint(6 << 3 | 5) + checksum(sealed)
    data[0] += content
    entries |= extra or {}
    (folder / "variables").mkdir(parents=True, exist_ok=True)
    pairs = sorted((key.encode(), value) for key, value in entries.items())
    (folder / "variables" / "variables.index").write_bytes(table(pairs, kind=kind, change=change))
    for i, content in enumerate(data):
        (folder / "variables" / f"variables.data-{i:05d}-of-00002").write_bytes(content)
    return folder


def write_h5(path: Path, variables: dict[str, np.ndarray], *, top: str = "/") -> Path:
    """Write a Keras weight file: one group a layer, with the names in attributes too."""
    layers: dict[str, list[str]] = {}
    for name in variables:
        layers.setdefault("lm_head" if "lm_head" in name else "wav2vec2", []).append(name)
    with h5py.File(path, "w") as file:
        group = file.require_group(top)
        group.attrs["layer_names"] = [layer.encode() for layer in (*layers, "dropout")]
        group.create_group("dropout").attrs["weight_names"] = []
        for layer, names in layers.items():
            for name in names:
                group.create_dataset(f"{layer}/{name}:0", data=variables[name])
            group[layer].attrs["weight_names"] = [f"{name}:0".encode() for name in names]
    return path


def packed(array: np.ndarray, dtype: str | None = None) -> msgpack.ExtType:
    fields = (array.shape, dtype or array.dtype.name, np.ascontiguousarray(array).tobytes())
    return msgpack.ExtType(1, msgpack.packb(fields, use_bin_type=True))


def write_flax(path: Path, arrays: dict[str, object]) -> Path:
    """Write a tree of arrays by their paths; what is no array is written as it is."""
    tree: dict = {}
    for name, value in arrays.items():
        *groups, leaf = name.split("/")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = packed(value) if isinstance(value, np.ndarray) else value
    path.write_bytes(msgpack.packb(tree, strict_types=True))
    return path
