"""Torch's two file formats from a pickle of the test's own making."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

MAGIC = 0x1950A86A20F9469CFC6C
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def zipped(path: Path, content: bytes, storages: dict[str, bytes] | None = None, *, compression: int = 0) -> Path:
    """A zip archive around the bytes of a data.pkl."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def legacy(path: Path, content: bytes, storages: dict[str, bytes] | None = None, *, itemsize: int = 4) -> Path:
    """The format of before torch 1.6 around a pickle."""
    parts = [pickle.dumps(part, protocol=2) for part in (MAGIC, 1001, MACHINE)] + [content]
    parts.append(pickle.dumps(list(storages or {}), protocol=2))
    for data in (storages or {}).values():
        parts += [struct.pack("<q", len(data) // itemsize), data]
    path.write_bytes(b"".join(parts))
    return path


def tensor_pickle(
    *, count: int = 4, shape: str = "(K\x04t", strides: str = "(K\x01t", offset: int = 0, key: str = "0"
) -> bytes:
    """A pickle of {"w": tensor}, opcode by opcode, so that its numbers can lie."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + _text(key) + _text("cpu") + _int(count)
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + _int(offset)
    call += shape.encode("latin-1") + strides.encode("latin-1") + b"\x89}tR"
    return b"\x80\x02}" + _text("w") + call + b"s."


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _int(number: int) -> bytes:
    data = number.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data
