"""Files of `torch.save`, zipped or of before torch 1.6: their objects as data, their tensors read where they are used.

The pickle inside is read by `pickles`, which runs nothing. The file is memory-mapped; a tensor is a view of it, built
by `LazyTensor.load` and not before, so that an optimizer's state costs nothing. Every size that a file declares is held
against the bytes that are there before a tensor is made; the checksums of a zip file are verified on use. Members of
an archive must be stored as torch stores them, uncompressed.

Floor 3. Needs the extra `torch`. Sources: torch/serialization.py (`_save`, `_legacy_save`).
"""

from __future__ import annotations

import math
import mmap
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from xlsr.checkpoint.pickles import MAX_PICKLE_BYTES, Builder, Label, Window, unpickle
from xlsr.errors import CheckpointError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = b"\x80\x02\x8a\x0a" + _LEGACY_MAGIC.to_bytes(10, "little")
_ZIP_START = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, sizes of name and extra field
_MAX_DIMS = 8

_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip


@dataclass(eq=False)
class _Storage:
    """The numbers behind one tensor or several; `start` is None until a legacy file has told it."""

    dtype: torch.dtype
    count: int
    source: str
    buffer: memoryview = field(repr=False)
    start: int | None = None
    crc: int | None = None
    values: Tensor | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        return self.count * self.dtype.itemsize

    def load(self) -> Tensor:
        """(count,), a view of the file where its alignment allows, else a copy."""
        if self.values is None:
            assert self.start is not None
            data = self.buffer[self.start : self.start + self.size]
            if self.crc and zlib.crc32(data) != self.crc:  # 0: torch was told to write none
                raise CheckpointError(f"{self.source} is damaged: the checksum of a tensor's bytes is wrong")
            if self.start % self.dtype.itemsize:
                data = memoryview(bytearray(data))
            self.values = torch.frombuffer(data, dtype=self.dtype) if self.count else torch.empty(0, dtype=self.dtype)
        return self.values


@dataclass(frozen=True, eq=False)
class LazyTensor:
    """A tensor of a file that has not been read.

    Attributes:
        shape: sizes of its dimensions.
        dtype: of its numbers.
        strides: steps in the storage, in elements.
        offset: of the first element in the storage, in elements.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    strides: tuple[int, ...]
    offset: int
    _storage: _Storage

    def load(self) -> Tensor:
        """Read it. Raises CheckpointError where the file's checksum does not agree."""
        return self._storage.load().as_strided(self.shape, self.strides, self.offset)


def is_torch_file(path: Path) -> bool:
    """Whether a file begins as torch's files do: a zip archive, or the older format."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_LEGACY_START))
    except OSError:
        return False
    return start.startswith(_ZIP_START) or start == _LEGACY_START


def read_torch(path: Path) -> object:
    """Read what `torch.save` wrote, as data with `LazyTensor`s.

    Raises:
        CheckpointError: the file is no such file, damaged, truncated, compressed, larger than it is, or its pickle
            names anything but tensors and plain configuration.
    """
    source = str(path)
    try:
        with path.open("rb") as file:
            buffer = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source} cannot be read: {error}") from error
    if buffer[:4] == _ZIP_START:
        return _read_zip(path, buffer)
    if buffer[: len(_LEGACY_START)] == _LEGACY_START:
        return _read_legacy(source, buffer)
    raise CheckpointError(f"{source} is no file of torch.save: neither a zip archive nor torch's older format")


@dataclass(frozen=True)
class _Member:
    start: int
    size: int
    crc: int


def _read_zip(path: Path, buffer: memoryview) -> object:
    source = str(path)
    members = _members(path, buffer)
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError(f"{source} is a zip archive without the one data.pkl that torch.save writes")
    root = pickles[0].removesuffix("/data.pkl")
    if f"{root}/constants.pkl" in members:
        raise CheckpointError(f"{source} is a TorchScript program; a checkpoint of tensors is wanted")
    order = members.get(f"{root}/byteorder")
    if order is not None and bytes(buffer[order.start : order.start + order.size]) != b"little":
        raise CheckpointError(f"{source} was written by a big-endian machine; little-endian files are read")
    member = members[pickles[0]]
    if member.size > MAX_PICKLE_BYTES:
        raise CheckpointError(f"{source}: its data.pkl has {member.size} bytes; {MAX_PICKLE_BYTES} are allowed")
    if member.crc and zlib.crc32(buffer[member.start : member.start + member.size]) != member.crc:
        raise CheckpointError(f"{source} is damaged: the checksum of data.pkl is wrong")

    def place(storage: _Storage, key: str) -> _Storage:
        found = members.get(f"{root}/data/{key}")
        if found is None or found.size != storage.size:
            there = "is missing" if found is None else f"has {found.size} bytes"
            raise CheckpointError(
                f"{source} is damaged: storage {key[:20]!r} {there}; {storage.size} bytes are declared"
            )
        storage.start, storage.crc = found.start, found.crc
        return storage

    storages = _Storages(source, buffer, place)
    window = Window(buffer, member.start, member.size)
    return unpickle(window, source, builders=_builders(), persistent=storages.find)


def _members(path: Path, buffer: memoryview) -> dict[str, _Member]:
    """Name -> place in the file, of an archive whose members all lie in it uncompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged: its archive cannot be read ({error}); copy it again") from error
    members: dict[str, _Member] = {}
    for info in infos:
        name = info.filename
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise CheckpointError(
                f"{path} is refused: {name[:60]!r} is compressed or encrypted; torch.save stores as is"
            )
        header = bytes(buffer[info.header_offset : info.header_offset + _LOCAL_HEADER.size])
        start = 0
        if len(header) == _LOCAL_HEADER.size and header.startswith(_ZIP_START):
            _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
            start = info.header_offset + _LOCAL_HEADER.size + name_size + extra_size
        if not start or start + info.file_size > len(buffer) or name in members:
            raise CheckpointError(f"{path} is damaged: {name[:60]!r} does not lie where the archive's table says")
        members[name] = _Member(start, info.file_size, info.CRC)
    return members


def _read_legacy(source: str, buffer: memoryview) -> object:
    """Five pickles (magic, version, machine, object, order of storages), then each storage behind its element count."""
    window = Window(buffer, 0, MAX_PICKLE_BYTES)
    storages = _Storages(source, buffer, lambda storage, key: storage)
    read: Callable[[], object] = partial(unpickle, window, source)
    head = (read(), read(), read())
    machine = head[2] if isinstance(head[2], dict) else {}
    if head[:2] != (_LEGACY_MAGIC, 1001) or machine.get("little_endian") is not True:
        raise CheckpointError(
            f"{source} is no file of torch.save that can be read: version 1001, little-endian is wanted"
        )
    found = unpickle(window, source, builders=_builders(), persistent=storages.find)
    keys = read()
    if not isinstance(keys, list) or sorted(key for key in keys if isinstance(key, str)) != sorted(storages.found):
        raise CheckpointError(f"{source} is damaged: its list of storages is not that of its tensors")
    at = window.tell()
    for key in keys:
        storage = storages.found[key]
        count = int.from_bytes(buffer[at : at + 8], "little", signed=True)
        if count != storage.count or at + 8 + storage.size > len(buffer):
            raise CheckpointError(
                f"{source} is damaged or cut short: storage {key[:20]!r} declares {storage.count} elements, "
                f"{count} are announced, {max(len(buffer) - at - 8, 0)} bytes are left"
            )
        storage.start = at + 8
        at += 8 + storage.size
    return found


class _Storages:
    """The storages of a file by their keys."""

    def __init__(self, source: str, buffer: memoryview, place: Callable[[_Storage, str], _Storage]) -> None:
        self.source, self.buffer, self.place = source, buffer, place
        self.found: dict[str, _Storage] = {}

    def find(self, id: tuple[object, ...]) -> _Storage:
        """The storage of a persistent id: ("storage", its type, key, device, number of elements[, view])."""
        if len(id) not in (5, 6) or id[0] not in ("storage", b"storage") or (len(id) == 6 and id[5] is not None):
            raise CheckpointError(f"{self.source} is refused: it holds a reference to something else than a storage")
        kind, key, count = id[1], id[2], id[4]
        name = kind.name.rpartition(".")[2] if isinstance(kind, Label) else ""
        dtype = _STORAGES.get(name)
        if dtype is None or not isinstance(key, str) or not _is_size(count):
            raise CheckpointError(f"{self.source} is damaged: a storage of type {name[:40]!r} cannot be made")
        if key not in self.found:
            storage = _Storage(dtype, count, self.source, self.buffer)
            if storage.size > len(self.buffer):
                raise CheckpointError(
                    f"{self.source} is damaged: storage {key[:20]!r} declares {storage.size} bytes, "
                    f"more than the {len(self.buffer)} of the file"
                )
            self.found[key] = self.place(storage, key)
        storage = self.found[key]
        if (storage.dtype, storage.count) != (dtype, count):
            raise CheckpointError(f"{self.source} is damaged: storage {key[:20]!r} is declared twice, differently")
        return storage


def _tensor(args: tuple[object, ...]) -> LazyTensor:
    """`_rebuild_tensor(storage, offset, shape, strides, ...)`: what it says must lie inside the storage."""
    storage, offset, shape, strides, *_ = args
    if not isinstance(storage, _Storage) or not _is_size(offset) or not _are_sizes(shape) or not _are_sizes(strides):
        raise TypeError("a tensor without a storage, offset, shape or strides")
    if len(shape) != len(strides) or len(shape) > _MAX_DIMS:
        raise ValueError(f"a tensor of {len(shape)} dimensions and {len(strides)} strides")
    count = math.prod(shape)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if count else 0
    if count > storage.count or (count and last >= storage.count):
        raise ValueError(f"a tensor of {count} elements in a storage of {storage.count}")
    return LazyTensor(shape, storage.dtype, strides, offset, storage)


def _parameter(args: tuple[object, ...]) -> object:
    """`_rebuild_parameter(tensor, ...)`."""
    if not args or not isinstance(args[0], LazyTensor):
        raise TypeError("a parameter without a tensor")
    return args[0]


def _size(args: tuple[object, ...]) -> object:
    """`torch.Size((sizes))` -> a tuple."""
    return args[0] if args else ()


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= sys.maxsize


def _are_sizes(values: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(values, tuple) and all(_is_size(value) for value in values)


def _inert(args: tuple[object, ...]) -> object:
    """What is only named, such as a device."""
    return None


def _builders() -> dict[str, Builder]:
    """What a pickle of torch may name, beside plain configuration."""
    rebuilders: dict[str, Builder] = {
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch.Size": _size,
    }
    named = ["torch.device", *(f"torch.{name}" for name in _STORAGES), *(str(dtype) for dtype in _STORAGES.values())]
    return rebuilders | dict.fromkeys(named, _inert)
