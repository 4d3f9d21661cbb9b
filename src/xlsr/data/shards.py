"""Tar shards in WebDataset's layout: `key.flac` (or as it came) and `key.json`, its row, side by side.

Writes them, and reads them from front to back; `archives` finds single members. Compressed recordings are copied byte
for byte, PCM becomes FLAC, which loses nothing. Floor 2; below `prepare`.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, groupby, islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import audio_name, open_audio
from xlsr.data.archives import MAX_MEMBER_BYTES, NamedBytes, audio_file, tar_members
from xlsr.data.loading import samples_of
from xlsr.data.utterance import Utterance, from_row, to_row
from xlsr.errors import AudioError, ManifestError

_FLAC = {"PCM_S8": "PCM_S8", "PCM_U8": "PCM_S8", "PCM_16": "PCM_16", "PCM_24": "PCM_24"}  # libsndfile's depths of FLAC
_PCM_FILES = ("WAV", "WAVEX", "RF64", "AIFF", "AU", "CAF", "W64")
_FLAC_CHANNELS, _FLAC_RATE = 8, 655_350  # the most that FLAC holds


@dataclass(frozen=True)
class Packed:
    """What became of the utterances: rows that point into the shards, and why others could not be read."""

    utterances: tuple[Utterance, ...]
    failures: tuple[str, ...]


class ShardWriter:
    """Writes `STEM-000000.tar`, `STEM-000001.tar` and so on; each appears when it is complete."""

    def __init__(self, stem: Path, megabytes: int) -> None:
        """Write nothing yet.

        Args:
            stem: path of the shards without number.
            megabytes: a shard is closed when it has reached this size.

        Raises:
            ManifestError: the size is none.
        """
        if megabytes < 1:
            raise ManifestError(f"shard_megabytes is {megabytes}; 1 or more is wanted")
        self._stem, self._max_bytes = stem, megabytes << 20
        self._number = 0
        self._tar: tarfile.TarFile | None = None
        self._keys: set[str] = set()
        self._numbers: dict[str, Iterator[int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._close()
            elif self._tar is not None:
                self._tar.__exit__(kind, error, trace)
        finally:
            self._partial.unlink(missing_ok=True)

    def new_key(self, name: str) -> str:
        """A name for members that belong together, like the given one, which no others have."""
        stem = re.sub(r"[^\w-]", "_", name) or "_"  # a key ends at the first point
        numbers = self._numbers.setdefault(stem, count(2))  # those of many segments are not tried anew
        keys = chain([stem], (f"{stem}-{number}" for number in numbers))
        key = next(key for key in keys if key.lower() not in self._keys)
        self._keys.add(key.lower())
        return key

    def add(self, *members: tuple[str, bytes]) -> Path:
        """Put named contents side by side; returns the shard that they will be in."""
        if self._tar is None:
            self._tar = tarfile.open(self._partial, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            self._tar.addfile(info, io.BytesIO(content))
        path = self._path
        if self._tar.offset >= self._max_bytes:
            self._close()
        return path

    @property
    def _path(self) -> Path:
        return self._stem.with_name(f"{self._stem.name}-{self._number:06d}.tar")

    @property
    def _partial(self) -> Path:
        return self._path.with_name(f".{self._path.name}.part")

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._partial.replace(self._path)
            self._number, self._tar = self._number + 1, None


def write_shards(utterances: Sequence[Utterance], stem: Path, *, shard_megabytes: int = 256) -> Packed:
    """Pack recordings into `STEM-000000.tar`, `STEM-000001.tar` and so on.

    A recording is stored once, however many utterances of it there are, if these follow one another. Features are no
    part of a shard: the utterances point where they did.

    Args:
        utterances: with their durations.
        stem: path of the shards without number.
        shard_megabytes: a shard is closed when it has reached this size.
    """
    packed: list[Utterance] = []
    failures: list[str] = []
    with ShardWriter(stem, shard_megabytes) as shards:
        for audio, rows in groupby(utterances, key=lambda row: row.audio):
            try:
                packed += _pack(shards, audio, list(rows))
            except AudioError as error:
                failures.append(str(error))
    return Packed(tuple(packed), tuple(failures))


def _pack(shards: ShardWriter, audio: Path, rows: list[Utterance]) -> list[Utterance]:
    """Add a recording and its rows; returns the rows as they are to be found now."""
    suffix, content = _content(audio)
    key = shards.new_key(audio.stem)
    member = f"{key}{suffix}"
    table = [to_row(replace(row, features=None), lambda _: member) for row in rows]
    described = json.dumps(table[0] if len(table) == 1 else {"utterances": table}, ensure_ascii=True).encode()
    path = shards.add((member, content), (f"{key}.json", described))
    return [replace(row, audio=path / member) for row in rows]


def _content(audio: Path) -> tuple[str, bytes]:
    """The suffix and the bytes that a recording is stored with."""
    import soundfile

    source = audio_file(audio)
    try:
        if isinstance(source, Path) and source.stat().st_size > MAX_MEMBER_BYTES:
            raise AudioError(f"{audio} is over {MAX_MEMBER_BYTES >> 20} MiB: cut it, or leave --shards out")
        content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
    except OSError as error:
        raise AudioError(f"{audio} cannot be read: {error}") from error
    open_audio(NamedBytes(content, str(audio))).close()  # a recording that is cut off is named, not packed
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            depth, rate, channels = _FLAC.get(file.subtype), file.samplerate, file.channels
            if file.format in _PCM_FILES and depth and channels <= _FLAC_CHANNELS and rate <= _FLAC_RATE:
                packed = io.BytesIO()
                soundfile.write(packed, file.read(dtype="int32"), rate, depth, format="FLAC")
                return ".flac", packed.getvalue()
    except soundfile.SoundFileError:
        pass  # PyAV's, and compressed
    return audio.suffix.lower() or ".audio", content


def stream_shard(shard: Path | BinaryIO) -> Iterator[tuple[Utterance, NDArray[np.float32]]]:
    """Yield the utterances of a shard in their order with their samples, (samples,) float32 mono at 16 kHz.

    Args:
        shard: a path; or an open file, which is read once from front to back, so that a pipe will do.

    Raises:
        ManifestError: the archive is damaged, holds what is no plain file, or a recording without its row.
        AudioError: a recording cannot be read.
    """
    if isinstance(shard, Path):
        with shard.open("rb") as file:
            yield from _stream(file, shard)
    else:
        yield from _stream(shard, Path(audio_name(shard)))


def _stream(file: BinaryIO, path: Path) -> Iterator[tuple[Utterance, NDArray[np.float32]]]:
    members = ((info.name, content) for info, content in tar_members(file, str(path)))
    for key, group in groupby(members, key=lambda member: _key(member[0])):
        parts = dict(islice(group, 3))
        described = parts.pop(f"{key}.json", None)
        if described is None or len(parts) != 1:
            raise ManifestError(f"{path}: {key} is not one recording and one {key}.json side by side")
        ((name, content),) = parts.items()
        for utterance in _rows(described, path, name):
            yield utterance, samples_of(utterance, NamedBytes(content, str(utterance.audio)))


def _key(member: str) -> str:
    """What members that belong together share: the name up to its first point, and the folder."""
    folder, slash, name = member.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _rows(described: bytes, path: Path, member: str) -> Iterable[Utterance]:
    place = f"{path / member}'s row"
    try:
        found = json.loads(described)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{place} is no JSON: {error}") from error
    rows = found.get("utterances", [found]) if isinstance(found, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ManifestError(f"{place} holds {type(found).__name__}; an object, or a list of them in it, is wanted")
    return [from_row({**row, "audio": member}, path, place) for row in rows]
