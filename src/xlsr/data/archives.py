"""The bytes of a recording that lies inside another file: a tar shard, a stored zip, a Parquet table.

A path says where it is: `shard.tar/name.flac` is a member, `table.parquet/17.flac` row 17 of the column of audio, and
where `a/b/x.opus` is not a file, member `x.opus` of `a/b.zip` is meant. Nothing is ever unpacked to disk; members that
are no plain files, that would leave their folder or that are too large are refused. Decodes no audio. Floor 2.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self

from xlsr.errors import AudioError, ManifestError, require

MAX_MEMBER_BYTES = 1 << 30
_MAX_GROUP_BYTES = 1 << 32  # of one column in one row group
_MAX_MEMBERS = 10_000_000
_MAX_NAME_BYTES = 1 << 20  # of a header that only describes the next


class NamedBytes(io.BytesIO):
    """The content of a recording that is part of another file, with the name that messages call it."""

    def __init__(self, content: bytes, name: str) -> None:
        """Take the content as it would lie in a file of its own."""
        super().__init__(content)
        self.name = name


def is_there(audio: Path) -> bool:
    """Whether a recording, or the archive that is to hold it, is a file; no archive is opened."""
    places = [archive for archive in audio.parents if archive.suffix.lower() in (".tar", ".parquet")]
    places += [audio.parent.with_name(f"{audio.parent.name}.zip")] if audio.parent.name else []
    return os.path.exists(audio) or any(os.path.isfile(place) for place in places)


def audio_file(audio: Path) -> Path | NamedBytes:
    """Find the recording that a row names, as `xlsr.audio` takes it.

    Raises:
        AudioError: it is neither a file nor a member of an archive, or the archive cannot be read; names both.
    """
    if os.path.exists(audio):  # Path.exists raises where a name is too long
        return audio
    for archive in audio.parents:
        if archive.suffix.lower() in (".tar", ".parquet") and os.path.isfile(archive):
            member = audio.relative_to(archive).as_posix()
            content = _tar_member(archive, member) if archive.suffix.lower() == ".tar" else _cell(archive, member)
            return NamedBytes(content, str(audio))
    return NamedBytes(_zip_member(audio), str(audio))


def _zip_member(audio: Path) -> bytes:
    archive = audio.parent.with_name(audio.parent.name + ".zip") if audio.parent.name else audio
    if not os.path.isfile(archive):
        raise AudioError(f"{audio} is not there, nor is {archive}")
    try:
        state = archive.stat()
        opened = _open_zip(archive, state.st_size, state.st_mtime_ns, os.getpid())
        if opened.getinfo(audio.name).file_size > MAX_MEMBER_BYTES:
            raise AudioError(f"{audio.name} in {archive} is over {MAX_MEMBER_BYTES >> 20} MiB: refused")
        return opened.read(audio.name)
    except KeyError as error:
        raise AudioError(f"{audio} is not there, and {archive} has no member {audio.name}") from error
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise AudioError(f"{archive} cannot be read: {error}") from error


@lru_cache(maxsize=64)
def _open_zip(archive: Path, size: int, modified: int, process: int) -> zipfile.ZipFile:
    """An open zip: its directory is read once, not at each member. A forked worker opens its own."""
    return zipfile.ZipFile(archive)


def _tar_member(archive: Path, member: str) -> bytes:
    try:
        state = archive.stat()
        index = _tar_index(archive, state.st_size, state.st_mtime_ns)
        if member not in index:
            raise AudioError(f"{archive / member} is not there: {archive} has no member {member}")
        offset, size = index[member]
        with archive.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except (OSError, ManifestError) as error:
        raise AudioError(f"{archive} cannot be read: {error}") from error


@lru_cache(maxsize=256)
def _tar_index(archive: Path, size: int, modified: int) -> dict[str, tuple[int, int]]:
    """Member -> (offset, size); the headers of an unchanged archive are read once a process."""
    with archive.open("rb") as file:
        return {info.name: (info.offset_data, info.size) for info, _ in tar_members(file, str(archive), read=False)}


class _StrictInfo(tarfile.TarInfo):
    """Refuses what Python's tarfile takes for the end of an archive, or believes whatever its size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read one block of 512 bytes as a header; only zeros end an archive."""
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}") from error
        if info.size < 0 or (not info.isreg() and info.size > _MAX_NAME_BYTES):
            raise tarfile.ReadError(f"a header announces {info.size} bytes")
        return info


def tar_members(file: BinaryIO, name: str, *, read: bool = True) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield the members of an uncompressed tar in their order; folders are passed over.

    Args:
        file: read once from front to back where `read`, so that a pipe will do; else sought through.
        name: of the archive, for messages.
        read: give the content of each; else empty bytes.

    Raises:
        ManifestError: a member is no plain file, leaves its folder or is too large, or the archive is damaged.
    """
    try:
        with tarfile.open(fileobj=file, mode="r|" if read else "r:", tarinfo=_StrictInfo) as opened:
            for _ in range(_MAX_MEMBERS):
                info = opened.next()
                if info is None:
                    return
                if info.isdir() and info.size == 0:
                    continue
                _check_member(info, name)
                info.name = str(PurePosixPath(info.name))  # tar itself begins names with ./
                stream = opened.extractfile(info) if read else None
                yield info, stream.read() if stream else b""
                opened.members.clear()  # type: ignore[attr-defined]  # a stream of millions holds none of them
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise ManifestError(f"{name} is not a whole tar archive ({error}): copy or download it again") from error


def _check_member(info: tarfile.TarInfo, name: str) -> None:
    """Raise ManifestError unless a member is a plain file of acceptable size inside the archive's folder."""
    parts = PurePosixPath(info.name)
    if not info.isreg() or info.issparse():
        raise ManifestError(f"{name} holds {info.name!r}, a link or a special file; plain files are wanted: refused")
    if parts.is_absolute() or ".." in parts.parts or "\\" in info.name or "\0" in info.name:
        raise ManifestError(f"{name} holds {info.name!r}, which lies outside the archive's folder: refused")
    if not 0 <= info.size <= MAX_MEMBER_BYTES:
        raise ManifestError(f"{name} holds {info.name!r} of {info.size} bytes; at most {MAX_MEMBER_BYTES} are taken")


def parquet() -> Any:
    """Import pyarrow.parquet, or say how it is installed."""
    return require("pyarrow.parquet", "data", "Parquet")


def audio_column(schema: Any) -> str | None:
    """The column of a Parquet table whose cells hold recordings (a struct with `bytes`), `audio` before others."""
    names = [field.name for field in schema if any(part.name == "bytes" for part in _parts(field.type))]
    return "audio" if "audio" in names else next(iter(names), None)


def _parts(kind: Any) -> list[Any]:
    return [kind.field(index) for index in range(kind.num_fields)] if str(kind).startswith("struct") else []


def _cell(archive: Path, member: str) -> bytes:
    """The bytes of one row, which `member` begins with the number of."""
    stem = member.partition(".")[0]
    module = parquet()
    try:
        table = module.ParquetFile(archive)
        column, row = audio_column(table.schema_arrow), int(stem) if stem.isdecimal() and len(stem) < 12 else -1
        if column is None or not 0 <= row < table.metadata.num_rows:
            raise AudioError(f"{archive} has no row {stem!r} that holds a recording")
        group = 0
        while row >= table.metadata.row_group(group).num_rows:
            row -= table.metadata.row_group(group).num_rows
            group += 1
        state = archive.stat()
        content = _audio_cells(archive, column, group, state.st_size, state.st_mtime_ns)[row].as_py()
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are these
        raise AudioError(f"{archive} cannot be read: {error}") from error
    if content is None or len(content) > MAX_MEMBER_BYTES:
        raise AudioError(f"row {stem} of {archive} holds no recording of at most {MAX_MEMBER_BYTES >> 20} MiB")
    return bytes(content)


@lru_cache(maxsize=1)
def _audio_cells(archive: Path, column: str, group: int, size: int, modified: int) -> Any:
    """The `bytes` of one row group; the latest stays, since rows are mostly read in their order."""
    table = parquet().ParquetFile(archive)
    layout = table.metadata.row_group(group)
    chunks = (layout.column(index) for index in range(layout.num_columns))
    held = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.startswith(f"{column}."))
    if held > _MAX_GROUP_BYTES:
        raise AudioError(f"row group {group} of {archive} holds {held} bytes of audio: refused")
    return table.read_row_group(group, columns=[f"{column}.bytes"]).column(column).combine_chunks().field("bytes")
