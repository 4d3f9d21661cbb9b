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
from typing import BinaryIO

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


def write_shards(utterances: Sequence[Utterance], stem: Path, *, shard_megabytes: int = 256) -> Packed:
    """Pack recordings into `STEM-000000.tar`, `STEM-000001.tar` and so on.

    A recording is stored once, however many utterances of it there are, if these follow one another.

    Args:
        utterances: with their durations.
        stem: path of the shards without number.
        shard_megabytes: a shard is closed when it has reached this size.
    """
    if shard_megabytes < 1:
        raise ManifestError(f"shard_megabytes is {shard_megabytes}; 1 or more is wanted")
    packed: list[Utterance] = []
    failures: list[str] = []
    used: set[str] = set()
    number = 0
    batches = ((audio, list(rows)) for audio, rows in groupby(utterances, key=lambda row: row.audio))
    pending = next(batches, None)
    while pending is not None:
        path = stem.with_name(f"{stem.name}-{number:06d}.tar")
        partial = path.with_name(f".{path.name}.part")
        try:
            with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as shard:
                while pending is not None and shard.offset < shard_megabytes << 20:
                    audio, rows = pending
                    try:
                        packed += _pack(shard, path, audio, rows, used)
                    except AudioError as error:
                        failures.append(str(error))
                    pending = next(batches, None)
                held = shard.offset
            if held:
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        number += 1
    return Packed(tuple(packed), tuple(failures))


def _pack(shard: tarfile.TarFile, path: Path, audio: Path, rows: list[Utterance], used: set[str]) -> list[Utterance]:
    """Add a recording and its rows; returns the rows as they are to be found now."""
    suffix, content = _content(audio)
    stem = re.sub(r"[^\w-]", "_", audio.stem) or "_"  # a key ends at the first point
    keys = chain([stem], (f"{stem}-{number}" for number in count(2)))
    key = next(key for key in keys if key.lower() not in used)
    used.add(key.lower())
    member = f"{key}{suffix}"
    table = [to_row(row, lambda _: member) for row in rows]
    described = json.dumps(table[0] if len(table) == 1 else {"utterances": table}, ensure_ascii=True).encode()
    for name, part in ((member, content), (f"{key}.json", described)):
        info = tarfile.TarInfo(name)
        info.size = len(part)
        shard.addfile(info, io.BytesIO(part))
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
