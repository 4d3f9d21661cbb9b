"""transformers 4's `flax_model.msgpack` -> weights. Needs msgpack, of the extra `import`; JAX and Flax are not needed.

A file is one tree of dictionaries whose leaves are arrays: MessagePack's extension 1 holds an array as (shape, name of
the type, bytes), extension 3 a scalar likewise; arrays above 1 GiB are split (`__msgpack_chunked_array__`). Kernels
have their axes reversed; the positional g and v are as in torch. Lengths are bounded by the file before anything is
allocated.

Source: Flax' `serialization.py`; transformers 4's `modeling_flax_wav2vec2.py` for names and axes.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xlsr.checkpoint.architecture import build_foreign
from xlsr.checkpoint.foreign import Foreign
from xlsr.checkpoint.hf import Weights
from xlsr.checkpoint.keymap import FLAX
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError, require

Array = NDArray[Any]

_ARRAY, _SCALAR = 1, 3
_CHUNKED = "__msgpack_chunked_array__"
_DTYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "bfloat16": "<u2"}
_MAX_DEPTH = 32
# Trees of released models have 50 entries a level at most, arrays three dimensions.
_LIMITS = {"max_array_len": 16, "max_map_len": 10_000, "max_str_len": 1_000}


def read_flax(path: Path, config: Wav2Vec2Config | None = None) -> Foreign:
    """Read the parameters of a Flax model.

    Args:
        path: the file; a `config.json` and a tokenizer beside it are used.
        config: the architecture, in place of that of `config.json` or of the shapes.

    Raises:
        CheckpointError: the file is damaged or holds more than arrays, parameters are missing, left over or of
            another shape, or the shapes do not tell the architecture.
        MissingDependencyError: msgpack is not installed.
        ConfigError, TokenizerError: a file beside it is damaged, or asks for what is not supported.
    """
    try:
        tree = _read_tree(path)
        arrays = dict(_leaves(tree.get("params", tree)))
    except (OSError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path} cannot be read as Flax parameters: {error}") from error
    return build_foreign("flax", _weights(arrays, path), config, source=path)


def _weights(arrays: dict[str, Array], source: Path) -> Weights:
    """Parameters under Hugging Face's names, with torch's order of axes, in memory of their own."""
    stems = {name: name.removeprefix("wav2vec2/") for name in arrays}
    found = FLAX.align(stems.values())
    if found.unknown:
        unknown = [name for name, stem in stems.items() if stem in found.unknown]
        raise CheckpointError(f"{source} holds parameters that wav2vec 2.0 does not have: {', '.join(unknown[:8])}")
    if len(found.names) < len(arrays):
        raise CheckpointError(f"{source} holds more than one network")
    by_stem = {stem: arrays[name] for name, stem in stems.items()}
    return {ours: torch.from_numpy(_oriented(by_stem[stem], stem)) for ours, stem in found.names.items()}


def _oriented(value: Array, stem: str) -> Array:
    """A copy with torch's order of axes."""
    return np.array(value.T if stem.endswith("/kernel") else value, order="C")


def _read_tree(path: Path) -> dict[str, Any]:
    """The tree of a file; its arrays are views of memory that was read from it."""
    msgpack = require("msgpack", "import", "reading .msgpack files")
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                tree = msgpack.unpackb(
                    content, ext_hook=_extension, object_pairs_hook=_distinct, **_limits(len(content))
                )
            except msgpack.exceptions.UnpackException as error:
                raise ValueError(str(error) or type(error).__name__) from error
    if not isinstance(tree, dict):
        raise ValueError("it is no tree of parameters")
    return tree


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A dictionary; keys that come twice are refused."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it holds the same name twice")
    return found


def _limits(size: int) -> dict[str, int]:
    return _LIMITS | {"max_bin_len": size, "max_ext_len": size}


def _extension(kind: int, content: bytes) -> Array:
    """An array or a scalar of Flax."""
    import msgpack

    if kind not in (_ARRAY, _SCALAR):
        raise ValueError(f"it holds an extension of kind {kind}; arrays are wanted")
    fields = msgpack.unpackb(content, **_limits(len(content)))
    if not isinstance(fields, list) or len(fields) != 3 or not isinstance(fields[2], bytes):
        raise ValueError("an array is not given as shape, type and bytes")
    shape, dtype, raw = fields
    dtype = dtype.decode("ascii") if isinstance(dtype, bytes) else dtype
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"an array has the type {dtype!r}; floating point is wanted")
    array = np.frombuffer(raw, _DTYPES[dtype])
    if dtype == "bfloat16":
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return _shaped(array, shape)


def _shaped(flat: Array, shape: object) -> Array:
    """The array in a shape that a file claims."""
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"an array has the shape {shape!r}")
    if math.prod(shape) != flat.size or len(shape) > 8:
        raise ValueError(f"an array of shape {shape} has {flat.size} values")
    return flat.reshape(shape)


def _leaves(tree: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Array]]:
    """(path, array) of every leaf of a tree."""
    if isinstance(tree, np.ndarray):
        yield "/".join(path), tree
    elif not isinstance(tree, dict) or len(path) > _MAX_DEPTH or not all(isinstance(key, str) for key in tree):
        raise ValueError(f"{'/'.join(path)[:200] or 'the top'} is neither an array nor a tree of them")
    elif _CHUNKED in tree:
        yield "/".join(path), _joined(tree)
    else:
        for key, value in tree.items():
            yield from _leaves(value, (*path, key))


def _joined(parts: dict[str, Any]) -> Array:
    """An array that was split."""
    shape, chunks = (_numbered(parts.get(key)) for key in ("shape", "chunks"))
    if not chunks or not all(isinstance(chunk, np.ndarray) and chunk.ndim == 1 for chunk in chunks):
        raise ValueError("an array is split into something that is no array")
    return _shaped(np.concatenate(chunks), shape)


def _numbered(values: object) -> list[Any]:
    """The values of {"0": ..., "1": ...} in their order."""
    if not isinstance(values, dict) or set(values) != {str(i) for i in range(len(values))}:
        raise ValueError("an array that was split has no numbered parts")
    return [values[str(i)] for i in range(len(values))]
