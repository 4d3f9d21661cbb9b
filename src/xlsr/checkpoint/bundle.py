"""TensorFlow's TensorBundle, the `variables/` of a SavedModel, read without TensorFlow. Needs NumPy alone.

Knows the index (a LevelDB table of small protocol buffers), its checksums, the shards of tensor bytes and the names
in the object graph; knows no model. Tensors stay memory-mapped until they are asked for. Every size is checked
against the file before anything is allocated, every checksum before a byte is believed; whatever is wrong is a
CheckpointError that names the file. Compressed blocks and partitioned variables are refused by name.

Source: TensorFlow's `tensor_bundle.proto`, `trackable_object_graph.proto` and `lib/io/format.h`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xlsr.checkpoint.crc32c import masked_crc32c
from xlsr.errors import CheckpointError

Bytes = NDArray[np.uint8]

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_HANDLES_BYTES = 40
_TRAILER_BYTES = 5  # one of type, four of checksum
_MAX_INDEX_BYTES = 1 << 26  # 200 times the index of the largest released model
_MAX_KEY_BYTES = 4096
_MAX_DIMENSIONS = 8
_STRING = 7
_BFLOAT16 = 14
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 6: "|i1", 9: "<i8", 10: "|b1", _BFLOAT16: "<u2", 19: "<f2"}


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies.

    Attributes:
        dtype: TensorFlow's number of the type.
        shape: of the tensor.
        shard: which data file.
        offset: of its first byte there.
        size: in bytes.
        checksum: masked CRC-32C of these bytes.
    """

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        index: the path of its `.index` file.
        entries: key -> where the tensor lies; every place lies within its file.
        shards: number -> bytes of a data file, memory-mapped.
    """

    index: Path
    entries: dict[str, Entry]
    shards: dict[int, Bytes] = field(repr=False)

    def tensor(self, key: str) -> NDArray[Any]:
        """Return a tensor, memory-mapped (bfloat16: as float32), its checksum verified.

        Raises:
            CheckpointError: it is not there, damaged, or of a type that is no number.
        """
        entry = self._entry(key)
        if entry.dtype not in _DTYPES:
            raise self._error(f"{key} has TensorFlow's type {entry.dtype}; numbers are wanted")
        raw = self.verified(key)
        array = raw.view(_DTYPES[entry.dtype]).reshape(entry.shape)
        if entry.dtype == _BFLOAT16:
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array

    def verified(self, key: str) -> Bytes:
        """Return the bytes of a tensor after comparing them with their checksum; of strings, unchanged too.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        entry = self._entry(key)
        raw = self.shards[entry.shard][entry.offset : entry.offset + entry.size]
        if entry.dtype == _STRING:
            self._string_lengths(key, raw)
        elif masked_crc32c(raw) != entry.checksum:
            raise self._damaged(key)
        return raw

    def string(self, key: str) -> bytes:
        """Return a scalar string. Raises CheckpointError where it is not there, damaged or something else."""
        entry = self._entry(key)
        if entry.dtype != _STRING or entry.shape:
            raise self._error(f"{key} is no scalar string")
        raw = self.verified(key)
        return raw[entry.size - self._string_lengths(key, raw)[0] :].tobytes()

    @cached_property
    def names(self) -> tuple[tuple[str, str], ...]:
        """(full name, key) of every variable in the object graph, as `Model/encoder/kernel`.

        Raises:
            CheckpointError: there is no object graph, it is damaged, or names a tensor that is not there.
        """
        try:
            found = tuple(_graph_names(self.string(OBJECT_GRAPH)))
        except ValueError as error:
            raise self._error(f"the object graph is damaged ({error})") from error
        for name, key in found:
            if key not in self.entries:
                raise self._error(f"the object graph names the variable {name!r} at {key!r}, which is not there")
        return found

    def _entry(self, key: str) -> Entry:
        if key not in self.entries:
            raise self._error(f"there is no tensor {key!r}")
        return self.entries[key]

    def _string_lengths(self, key: str, raw: Bytes) -> list[int]:
        """The lengths of a tensor of strings, after comparing all of it with its two checksums."""
        entry = self.entries[key]
        count = math.prod(entry.shape)
        try:
            reader = _Reader(raw[: 10 * count + 4].tobytes())
            lengths = [reader.varint() for _ in range(count)]
            checksum = reader.take(4)
        except ValueError as error:
            raise self._error(f"the string {key} is damaged ({error})") from error
        if sum(lengths) != entry.size - reader.position:
            raise self._error(f"the lengths of the string {key} do not add up to its size")
        packed = b"".join(n.to_bytes(4 if n < 1 << 32 else 8, "little") for n in lengths)
        told = masked_crc32c(np.frombuffer(packed, np.uint8))
        whole = np.concatenate([np.frombuffer(packed + checksum, np.uint8), raw[reader.position :]])
        if told != int.from_bytes(checksum, "little") or masked_crc32c(whole) != entry.checksum:
            raise self._damaged(key)
        return lengths

    def _damaged(self, key: str) -> CheckpointError:
        return self._error(f"the bytes of {key} do not match their checksum: the data file is damaged")

    def _error(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.index} cannot be read as a TensorFlow bundle: {what}")


def open_bundle(index: Path) -> Bundle:
    """Open a bundle by its `.index` file; the data files lie beside it.

    Raises:
        CheckpointError: a file is missing, damaged, or of a kind that is not supported.
    """
    try:
        size = index.stat().st_size
        if size > _MAX_INDEX_BYTES:
            raise ValueError(f"the index has {size} bytes; {_MAX_INDEX_BYTES} are the limit")
        table = dict(_table(index.read_bytes()))
        num_shards = _header(table.pop(b"", None))
        entries = {key.decode("utf-8"): _entry(value) for key, value in table.items()}
        shards = {
            number: _map(index.with_name(f"{index.stem}.data-{number:05d}-of-{num_shards:05d}"))
            for number in sorted({entry.shard for entry in entries.values()})
            if number < num_shards
        }
        for key, entry in entries.items():
            _check_place(key, entry, shards)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{index} cannot be read as a TensorFlow bundle: {error}") from error
    return Bundle(index, entries, shards)


class _Reader:
    """A cursor over bytes. Everything that runs over the end, or is longer than it may be, is a ValueError."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    @property
    def rest(self) -> int:
        return len(self.content) - self.position

    def take(self, count: int) -> bytes:
        if count > self.rest:
            raise ValueError(f"{count} bytes are wanted where {self.rest} are left")
        self.position += count
        return self.content[self.position - count : self.position]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 1 << 64:
                    break
                return value
        raise ValueError("a number has more than 64 bits")


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a LevelDB table, in ascending order."""
    if len(content) < _FOOTER_BYTES:
        raise ValueError(f"the index has {len(content)} bytes; its last {_FOOTER_BYTES} are its footer")
    footer = content[-_FOOTER_BYTES:]
    if int.from_bytes(footer[_HANDLES_BYTES:], "little") != _MAGIC:
        raise ValueError("the index does not end with the mark of a table: truncated, or another format")
    reader = _Reader(footer[:_HANDLES_BYTES])
    meta, root = (reader.varint(), reader.varint()), (reader.varint(), reader.varint())
    if any(reader.take(reader.rest)):
        raise ValueError("the footer holds more than two places")
    list(_pairs(_block(content, *meta)))
    previous, end = None, 0
    for _, value in _pairs(_block(content, *root)):
        handle = _Reader(value)
        offset, size = handle.varint(), handle.varint()
        if handle.rest or offset < end:
            raise ValueError("the blocks of the index overlap")
        end = offset + size
        for key, pair in _pairs(_block(content, offset, size)):
            if previous is not None and key <= previous:
                raise ValueError(f"the key {key[:80]!r} is out of order")
            previous = key
            yield key, pair


def _block(content: bytes, offset: int, size: int) -> bytes:
    """The entries of a block, without restart points and trailer."""
    end = offset + size + _TRAILER_BYTES
    if end > len(content) - _FOOTER_BYTES:
        raise ValueError(f"a block ends at byte {end} of an index of {len(content)}")
    sealed = np.frombuffer(content, np.uint8, size + 1, offset)
    if masked_crc32c(sealed) != int.from_bytes(content[end - 4 : end], "little"):
        raise ValueError("a block of the index does not match its checksum: the index is damaged")
    if kind := content[end - _TRAILER_BYTES]:
        raise ValueError(f"a block is compressed ({'snappy' if kind == 1 else f'kind {kind}'}), which is not supported")
    block = content[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    if size < 4 or 4 * restarts + 4 > size:
        raise ValueError("a block is shorter than its restart points")
    return block[: size - 4 * restarts - 4]


def _pairs(entries: bytes) -> Iterator[tuple[bytes, bytes]]:
    reader = _Reader(entries)
    key = b""
    while reader.rest:
        shared, fresh, size = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key) or shared + fresh > _MAX_KEY_BYTES:
            raise ValueError("a key of the index is longer than it may be")
        key = key[:shared] + reader.take(fresh)
        yield key, reader.take(size)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of the fields of a protocol buffer: an int, or bytes for what has a length."""
    reader = _Reader(message)
    while reader.rest:
        tag = reader.varint()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, reader.varint()
        elif kind == 2:
            yield tag >> 3, reader.take(reader.varint())
        elif kind in (1, 5):
            yield tag >> 3, int.from_bytes(reader.take(8 if kind == 1 else 4), "little")
        else:
            raise ValueError(f"a field has the unknown kind {kind}")


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a field holds bytes where a number is wanted")
    return value


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a field holds a number where bytes are wanted")
    return value


def _header(message: bytes | None) -> int:
    """The number of shards."""
    if message is None:
        raise ValueError("the index has no header")
    values = dict(_fields(message))
    if _number(values.get(2, 0)):
        raise ValueError("the tensors are big-endian, which is not supported")
    shards = _number(values.get(1, 0))
    if not 1 <= shards <= 99_999:
        raise ValueError(f"the number of data files is {shards}")
    return shards


def _entry(message: bytes) -> Entry:
    numbers = dict.fromkeys((1, 3, 4, 5, 6), 0)
    shape: tuple[int, ...] = ()
    for tag, value in _fields(message):
        if tag == 7:
            raise ValueError("a variable is partitioned into slices, which is not supported")
        if tag == 2:
            shape = tuple(_dimensions(_message(value)))
        elif tag in numbers:
            numbers[tag] = _number(value)
    if math.prod(max(size, 1) for size in shape) >= 1 << 62:
        raise ValueError(f"a tensor has the shape {shape}")
    return Entry(numbers[1], shape, numbers[3], numbers[4], numbers[5], numbers[6])


def _dimensions(message: bytes) -> Iterator[int]:
    for count, (tag, value) in enumerate(_fields(message)):
        if tag != 2 or count >= _MAX_DIMENSIONS:
            raise ValueError("a shape is unknown or has too many dimensions")
        yield next((_number(size) for number, size in _fields(_message(value)) if number == 1), 0)


def _map(path: Path) -> Bytes:
    if not path.is_file():
        raise ValueError(f"the data file {path.name} is not beside it")
    if not path.stat().st_size:
        return np.empty(0, np.uint8)
    return np.memmap(path, np.uint8, "r")


def _check_place(key: str, entry: Entry, shards: dict[int, Bytes]) -> None:
    """Raise ValueError unless a tensor lies within its data file and has the size of its shape."""
    if entry.shard not in shards:
        raise ValueError(f"{key} lies in data file {entry.shard}, which the bundle does not have")
    if entry.offset + entry.size > len(shards[entry.shard]):
        raise ValueError(
            f"{key} ends at byte {entry.offset + entry.size} of a data file of {len(shards[entry.shard])}: truncated"
        )
    if entry.dtype in _DTYPES and math.prod(entry.shape) * np.dtype(_DTYPES[entry.dtype]).itemsize != entry.size:
        raise ValueError(f"{key} of shape {entry.shape} has {entry.size} bytes")
    if entry.dtype == _STRING and math.prod(entry.shape) > entry.size:
        raise ValueError(f"{key} of {math.prod(entry.shape)} strings has {entry.size} bytes")


def _graph_names(message: bytes) -> Iterator[tuple[str, str]]:
    """(full name, key) of every variable of a TrackableObjectGraph."""
    for node in (_message(value) for tag, value in _fields(message) if tag == 1):
        for attribute in (_message(value) for tag, value in _fields(node) if tag == 2):
            texts = {tag: _message(value).decode("utf-8") for tag, value in _fields(attribute) if tag in (1, 2, 3)}
            if texts.get(1) == "VARIABLE_VALUE" and {2, 3} <= texts.keys():
                yield texts[2], texts[3]
