"""`.ngram` files: a model that is there at once. Two layouts: arrays as they are in memory, or packed to a few bytes.

    magic, version and length of the header (8 + 4 + 4 bytes), header in JSON, then its sections, each from a multiple
    of 64 bytes on

`mapped` holds the arrays of the trie: the file is memory-mapped, and processes share it. `packed` holds, for each node,
its last word, how many children it has, and a byte each for probability and weight, which is an index into 256 values
of its order; the trie is built anew. Every size is held against the file, and every number that the compiled loops
trust is checked, before anything is used.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from xlsr.decoding.ngram.lookup import Float32, NGramArrays
from xlsr.decoding.ngram.model import MAX_ORDER, SPECIALS, NGram, Unit
from xlsr.decoding.ngram.trie import attach, empty_trie, parents_and_words
from xlsr.errors import LanguageModelError

MAGIC = b"xlsrgram"
_VERSION = 1
_START = struct.Struct("<8sII")
_ALIGNMENT = 64
_MAX_HEADER = 1 << 20
_DTYPES = ("uint8", "uint16", "int32", "int64", "float32")
_CODES = 256
_MANY = 255  # children: the number stands in a list of its own

_LLOYD_STEPS = 20
_MAPPED = {
    "log_prob": np.float32, "backoff": np.float32, "suffix": np.int32,
    "slots": np.int64, "children": np.int32, "is_state": np.uint8,
}  # fmt: skip

Sections = Mapping[str, npt.NDArray[np.generic]]


def write_binary(model: NGram, path: Path, *, quantize: bool = False) -> None:
    """Write a model.

    Args:
        model: any.
        path: the file.
        quantize: write the packed layout: each probability becomes the nearest of 256 of its order.
    """
    sections: dict[str, npt.NDArray[np.generic]] = {
        "words": np.frombuffer("\n".join(model.words).encode("utf-8"), np.uint8)
    }
    sections |= _packed(model) if quantize else model.arrays._asdict()
    header = {
        "layout": "packed" if quantize else "mapped",
        "unit": model.unit,
        "comment": model.comment,
        "counts": model.counts,
        "sections": {name: [values.dtype.name, values.size] for name, values in sections.items()},
    }
    text = json.dumps(header, ensure_ascii=False).encode("utf-8")
    with path.open("wb") as file:
        file.write(_START.pack(MAGIC, _VERSION, len(text)) + text)
        for values in sections.values():
            file.write(bytes(-file.tell() % _ALIGNMENT))
            file.write(np.ascontiguousarray(values).data)


def read_binary(path: Path, *, unit: Unit | None = None) -> NGram:
    """Map a model into memory.

    Raises:
        LanguageModelError: the file is damaged, cut off, or of a later version.
    """
    try:
        header, sections = _read_sections(path)
        counts = header.counts
        words = tuple(sections["words"].tobytes().decode("utf-8").split("\n"))
        _demand(len(words) == len(set(words)) == counts[0] and {*SPECIALS} <= {*words}, "words")
        arrays = _unpacked(counts, sections) if header.layout == "packed" else _mapped(counts, sections)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LanguageModelError(
            f"{path} is damaged ({error}); copy it again, or build it anew: xlsr lm build"
        ) from error
    return NGram(arrays, words, counts, unit or header.unit, header.comment)


@dataclass(frozen=True)
class _Header:
    layout: str
    unit: Unit
    comment: str
    counts: tuple[int, ...]
    sections: tuple[tuple[str, str, int], ...]

    @classmethod
    def parse(cls, text: bytes) -> _Header:
        """Read the JSON. Raises ValueError, KeyError, TypeError or AttributeError where it is another."""
        found = json.loads(text)
        counts = tuple(found["counts"])
        sections = tuple((name, dtype, size) for name, (dtype, size) in found["sections"].items())
        sizes = [*counts, *(size for _, _, size in sections)]
        _demand(all(type(size) is int and 0 <= size < 2**40 for size in sizes), "a size")
        _demand(0 < len(counts) <= MAX_ORDER, "counts")
        _demand(all(dtype in _DTYPES for _, dtype, _ in sections), "the type of a section")
        _demand(found["layout"] in ("mapped", "packed") and found["unit"] in get_args(Unit), "layout or unit")
        return cls(found["layout"], found["unit"], str(found["comment"]), counts, sections)


def _read_sections(path: Path) -> tuple[_Header, Sections]:
    """Return views of the file; a write to them would not reach it."""
    size = path.stat().st_size
    _demand(size >= _START.size, "its header is cut off")
    data = np.asarray(np.memmap(path, np.uint8, "c"))
    _, version, length = _START.unpack(data[: _START.size].tobytes())
    if version > _VERSION:
        raise LanguageModelError(f"{path} has version {version} of the format; this xlsr reads {_VERSION}: update it")
    _demand(length <= min(_MAX_HEADER, size - _START.size), "its header is cut off")
    place = _START.size + length
    header = _Header.parse(data[_START.size : place].tobytes())
    sections = {}
    for name, dtype, count in header.sections:
        place += -place % _ALIGNMENT
        stop = place + count * np.dtype(dtype).itemsize
        _demand(stop <= size, f"it ends in the section {name}")
        sections[name] = data[place:stop].view(dtype)
        place = stop
    _demand(place == size, f"{size - place} bytes follow its last section")
    return header, sections


def _mapped(counts: tuple[int, ...], sections: Sections) -> NGramArrays:
    """Return the arrays of the file, once the compiled loops can trust them: they check nothing themselves."""
    for name, dtype in _MAPPED.items():
        _demand(sections[name].dtype == dtype, f"the type of {name}")
    arrays = NGramArrays(**{name: sections[name] for name in NGramArrays._fields})  # type: ignore[arg-type]
    nodes, size = 1 + sum(counts), len(arrays.slots)
    for values in (arrays.log_prob, arrays.backoff, arrays.suffix, arrays.is_state):
        _demand(len(values) == nodes, "the number of nodes")
    _demand(size == len(arrays.children) and size.bit_count() == 1, "the size of its table")
    _demand(bool((arrays.slots < 0).any()), "its table is full")
    _demand(arrays.children.min() >= 0 and arrays.children.max() < nodes, "a child")
    _demand(bool((arrays.suffix[1:] < np.arange(1, nodes)).all()) and arrays.suffix[1:].min() >= 0, "a suffix")
    _demand(arrays.is_state[0] == 1, "the root")
    _demand(bool(np.isfinite(arrays.log_prob).all() and np.isfinite(arrays.backoff).all()), "a value is not finite")
    return arrays


def _packed(model: NGram) -> Sections:
    arrays, counts = model.arrays, model.counts
    parents, words = parents_and_words(arrays)
    first_leaf = 1 + sum(counts[:-1])
    children = np.bincount(parents[1:], minlength=first_leaf)[1:first_leaf]
    codes, values = zip(*(_quantized(part) for part in _orders(arrays.log_prob, counts)), strict=True)
    weights = [_quantized(part) for part in _orders(arrays.backoff, counts)[:-1]]
    return {
        "last": words[1 + counts[0] :].astype(np.uint16 if counts[0] <= 1 << 16 else np.int32),
        "children": np.minimum(children, _MANY).astype(np.uint8),
        "many": children[children >= _MANY].astype(np.int32),
        "log_prob": np.concatenate(codes),
        "log_prob_values": np.concatenate(values),
        "backoff": np.concatenate([np.zeros(0, np.uint8), *(codes for codes, _ in weights)]),
        "backoff_values": np.concatenate([np.zeros(0, np.float32), *(values for _, values in weights)]),
    }


def _unpacked(counts: tuple[int, ...], sections: Sections) -> NGramArrays:
    children = sections["children"].astype(np.int32)
    _demand(len(children) == sum(counts[:-1]), "the number of its nodes")
    children[children == _MANY] = sections["many"]
    _demand(bool((children >= 0).all()), "a number of children")
    _demand(len(sections["last"]) == sum(counts[1:]), "the number of its words")
    arrays = empty_trie(counts)
    _dequantize(arrays.log_prob, counts, sections["log_prob"], sections["log_prob_values"])
    _dequantize(arrays.backoff, counts[:-1], sections["backoff"], sections["backoff_values"])
    last = sections["last"].astype(np.int32)
    _demand(len(last) == 0 or (last.min() >= 0 and last.max() < counts[0]), "a word")
    attach(arrays, np.zeros(counts[0], np.int32), np.arange(counts[0], dtype=np.int32), 1)
    above, done = 1, 0
    for below, count in itertools.pairwise(counts):
        number = children[above - 1 : above - 1 + below]
        _demand(int(number.sum(dtype=np.int64)) == count, "a number of children")
        parents = np.repeat(np.arange(above, above + below, dtype=np.int32), number)
        above += below
        attach(arrays, parents, last[done : done + count], above)
        done += count
    arrays.is_state[arrays.backoff != 0] = 1
    return arrays


def _orders(values: Float32, counts: tuple[int, ...]) -> list[Float32]:
    """Cut what belongs to the nodes, without the root, into orders."""
    return np.split(values[1:], np.cumsum(counts)[:-1])


def _quantized(values: Float32) -> tuple[npt.NDArray[np.uint8], Float32]:
    """Return the index of each value in 256, and these: the best by squared error that Lloyd's steps find.

    Zero stays zero, for a history without a back-off weight is none.
    """
    book = np.unique(values)
    if len(book) > _CODES:
        ordered = np.sort(values[values != 0]).astype(np.float64)
        sums = np.concatenate(([0.0], np.cumsum(ordered)))
        centres = np.quantile(np.unique(ordered), np.linspace(0, 1, _CODES - 1))
        for _ in range(_LLOYD_STEPS):
            cuts = np.concatenate(([0], np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2), [len(ordered)]))
            inside = np.diff(cuts)
            centres = np.where(inside, np.diff(sums[cuts]) / np.maximum(inside, 1), centres)
        book = np.sort(np.append(centres, 0.0)).astype(np.float32)
    codes = np.searchsorted((book[1:] + book[:-1]) / 2, values)
    codes[values == 0] = np.searchsorted(book, 0.0)
    return codes.astype(np.uint8), np.pad(book, (0, _CODES - len(book)), constant_values=book[-1])


def _dequantize(
    target: Float32, counts: tuple[int, ...], codes: npt.NDArray[np.generic], values: npt.NDArray[np.generic]
) -> None:
    """Fill in the values of the nodes of these orders."""
    _demand(len(codes) == sum(counts) and len(values) == _CODES * len(counts), "the number of its values")
    _demand(codes.dtype == np.uint8 and bool(np.isfinite(values).all()), "a value")
    place = 0
    for count, book in zip(counts, values.reshape(-1, _CODES), strict=True):
        target[1 + place : 1 + place + count] = book[codes[place : place + count]]
        place += count


def _demand(truth: bool, problem: str) -> None:
    if not truth:
        raise ValueError(problem)
