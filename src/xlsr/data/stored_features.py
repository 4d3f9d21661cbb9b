"""What a teacher made of utterances, stored once: `(frames, dim)` float16 or float32, 50 frames a second.

A row of a manifest names them under `features`: a `.npy` file, or its like in a tar shard, `shard.tar/name.npy`. The
first frame begins with the utterance. Writes shards with a manifest and reads single arrays; computes nothing, so any
encoder takes part: one script that goes over utterances and gives arrays is enough (`write_features`).

A file has 128 bytes of header as NumPy writes it, compared with the size of the file before anything is allocated; no
pickles. Floor 2, NumPy only; below training's teachers and `analysis.storing`.

Source: numpy.lib.format, version 1.0.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE, num_frames
from xlsr.data.archives import audio_file
from xlsr.data.manifest import check_unused, write_manifest
from xlsr.data.shards import Packed, ShardWriter
from xlsr.data.utterance import Utterance
from xlsr.errors import AudioError, ManifestError

Features = NDArray[np.float16] | NDArray[np.float32]
FeatureType = Literal["float16", "float32"]

_SLACK_FRAMES = 3  # by which encoders differ in what they make of the end
_ROUNDED_FRAMES = 5  # 0.1 s, by which durations are rounded


class _Missing:
    """What stands for the end of the shorter list."""


_MISSING = _Missing()
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '<f([24])', 'fortran_order': (?:False|True), "
    rb"'shape': \((\d{1,9}), (\d{1,6})\), \} *\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class StoredFeatures:
    """What was written.

    Attributes:
        manifest: names the features of every utterance that has some.
        utterances: how many these are.
        failures: why the others have none, by name.
    """

    manifest: Path
    utterances: int
    failures: tuple[str, ...]


def write_features(
    utterances: Sequence[Utterance],
    features: Iterable[NDArray[np.floating] | None],
    out: Path | str,
    *,
    dtype: FeatureType = "float16",
    shard_megabytes: int = 256,
) -> StoredFeatures:
    """Store what a teacher makes of utterances: tar shards, and a manifest that names them beside the audio.

    Args:
        utterances: as `read_manifest` gives them.
        features: an array for each of them in their order, (frames, dim) at 50 frames a second, cut to the length of
            the utterance; None leaves it out. They are taken one by one, so a generator needs no memory.
        out: the folder to write; one that holds manifests or shards is refused.
        dtype: of the numbers; float16 ends at 65504.
        shard_megabytes: a shard is closed when it has reached this size.

    Raises:
        ManifestError: the folder is in use, there are more or fewer arrays than utterances, or none can be stored.
    """
    out = Path(out)
    check_unused(out)
    out.mkdir(parents=True, exist_ok=True)
    pairs = _paired(utterances, features)
    packed = pack_features(pairs, out / "features", dtype=dtype, shard_megabytes=shard_megabytes)
    return list_features(packed.utterances, packed.failures, out)


def pack_features(
    pairs: Iterable[tuple[Utterance, NDArray[np.floating] | None]],
    stem: Path,
    *,
    dtype: FeatureType,
    shard_megabytes: int,
) -> Packed:
    """Store features in `STEM-000000.tar` and so on; what has none, or none that fit, is left out by name."""
    packed: list[Utterance] = []
    failures: list[str] = []
    with ShardWriter(stem, shard_megabytes) as shards:
        for utterance, features in pairs:
            try:
                content = _npy(utterance, features, dtype)
            except AudioError as error:
                failures.append(str(error))
                continue
            member = f"{shards.new_key(utterance.audio.stem)}.npy"
            packed.append(replace(utterance, features=shards.add((member, content)) / member))
    return Packed(tuple(packed), tuple(failures))


def list_features(utterances: Sequence[Utterance], failures: Sequence[str], out: Path) -> StoredFeatures:
    """Write the manifest beside the shards. Raises ManifestError where nothing is stored."""
    if not utterances:
        raise ManifestError("\n".join(["the features of no utterance can be stored", *failures]))
    manifest = out / "manifest.jsonl"
    write_manifest(utterances, manifest)
    return StoredFeatures(manifest, len(utterances), tuple(failures))


def read_features(utterance: Utterance) -> Features:
    """Read the features that an utterance names, (frames, dim).

    Raises:
        AudioError: it names none, or they are missing, damaged, of another kind or not finite; names both.
    """
    if utterance.features is None:
        raise AudioError(f"{utterance.name} names no features")
    source = audio_file(utterance.features)
    try:
        with source.open("rb") if isinstance(source, Path) else source as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            found = _HEADER.match(file.read(256))
            if found is None or found.end() != 10 + int.from_bytes(found[1], "little"):
                raise AudioError(
                    f"{utterance.features} of {utterance.name} is no array of (frames, dim) float16 or float32 as "
                    "NumPy saves it"
                )
            width, frames, dim = (int(number) for number in found.groups()[1:])
            if size - found.end() != width * frames * dim or not frames * dim:
                raise AudioError(
                    f"{utterance.features} of {utterance.name} announces {frames} frames of {dim} numbers and holds "
                    f"{size - found.end()} bytes: write it again"
                )
            file.seek(0)
            features: Features = np.load(file, allow_pickle=False)
    except OSError as error:
        raise AudioError(f"{utterance.features} cannot be read: {error}") from error
    if not np.isfinite(features).all():
        raise AudioError(f"{utterance.features} of {utterance.name} holds NaN or infinite numbers: write it again")
    return features


def common_frames(utterance: Utterance, ours: int, theirs: int) -> int:
    """Frames that a student and its teacher share, of an utterance's beginning.

    Raises:
        AudioError: the numbers differ by more than the ends of encoders do; names the utterance.
    """
    if abs(ours - theirs) > _SLACK_FRAMES:
        raise AudioError(
            f"{utterance.name} has {theirs} frames of its teacher and {ours} of the student; 50 a second are wanted, "
            f"of the whole utterance, {_SLACK_FRAMES} more or fewer at its end"
        )
    return min(ours, theirs)


def _paired(
    utterances: Sequence[Utterance], features: Iterable[NDArray[np.floating] | None]
) -> Iterator[tuple[Utterance, NDArray[np.floating] | None]]:
    """Each utterance with its array. Raises ManifestError where there are more of the ones or of the others."""
    for utterance, array in zip_longest(utterances, features, fillvalue=_MISSING):
        if isinstance(utterance, _Missing) or isinstance(array, _Missing):
            more = "utterances" if isinstance(array, _Missing) else "arrays"
            raise ManifestError(f"an array, or None, is wanted for each utterance; there are more {more}")
        yield utterance, array


def _npy(utterance: Utterance, features: NDArray[np.floating] | None, dtype: FeatureType) -> bytes:
    """A file of features. Raises AudioError where they cannot be the utterance's."""
    if features is None:
        raise AudioError(f"{utterance.name} has no features")
    array = np.asarray(features)
    if array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        raise AudioError(
            f"features of {utterance.name} are {array.dtype} of shape {array.shape}; floats of (frames, dim) are wanted"
        )
    wanted = num_frames(round(utterance.duration * SAMPLE_RATE))
    if abs(len(array) - wanted) > _SLACK_FRAMES + _ROUNDED_FRAMES:
        raise AudioError(
            f"features of {utterance.name} have {len(array)} frames; about {wanted} are wanted, 50 a second: cut what "
            "was padded"
        )
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(array, dtype=dtype)
    if not np.isfinite(stored).all():
        largest = np.abs(array).max()
        raise AudioError(f"features of {utterance.name} reach {largest:g}, which {dtype} cannot hold")
    content = io.BytesIO()
    np.save(content, stored, allow_pickle=False)
    return content.getvalue()
