"""What a layer of an encoder makes of recordings, stored once, so that students can learn from it again and again.

The same frames that a teacher gives in distillation (`training.teacher`); of a recording over 30 s the frames of its
pieces, side by side. Foreign encoders take part through `data.stored_features.write_features`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xlsr.analysis.pieces import Piece, Progress, read_pieces
from xlsr.data.manifest import Utterance, check_unused, read_manifest
from xlsr.data.stored_features import FeatureType, StoredFeatures, list_features, pack_features
from xlsr.errors import require
from xlsr.recognizer import Failure

if TYPE_CHECKING:
    from xlsr.checkpoint.load import Checkpoint
    from xlsr.training.teacher import LiveTeacher


def store_features(
    model: Checkpoint | str | Path,
    manifest: Path | str,
    out: Path | str,
    *,
    layer: int | None = None,
    split: str | None = None,
    dtype: FeatureType = "float16",
    shard_megabytes: int = 256,
    device: str = "auto",
    threads: int = 0,
    batch_seconds: float = 20.0,
    progress: Progress | None = None,
) -> StoredFeatures:
    """Run a teacher once: tar shards of its features, and a manifest that names them beside the audio.

    Args:
        model: any checkpoint with an encoder: in memory, or what `load_checkpoint` takes.
        manifest: a JSON-lines list of utterances.
        out: the folder to write; one that holds manifests or shards is refused.
        layer: counted from 1; None is the last, the output of the encoder.
        split: take the rows of this split only.
        dtype: of the numbers; float16 ends at 65504.
        shard_megabytes: a shard is closed when it has reached this size.
        device: "cpu", "cuda", ...; "auto" is a GPU where there is one.
        threads: CPU threads; 0 leaves the choice to torch.
        batch_seconds: seconds of audio computed at once.
        progress: wraps the batches, given their number, such as with a progress bar.

    Raises:
        ManifestError: the manifest cannot be read, the folder is in use, or nothing can be stored.
        ConfigError: there is no such layer, or a frame is not 20 ms.
        MissingDependencyError: torch is not installed.
    """
    require("torch", "torch", "running an encoder")
    from xlsr.analysis.encode import Encoder
    from xlsr.training.teacher import LiveTeacher

    out = Path(out)
    check_unused(out)
    rows = [replace(row, features=None) for row in read_manifest(manifest, split=split)]
    encoder = Encoder.load(model, device=device, threads=threads)
    teacher = LiveTeacher(encoder.description, encoder.network, () if layer is None else (layer,))
    out.mkdir(parents=True, exist_ok=True)
    unread: list[str] = []
    batches = read_pieces(rows, encoder.config, batch_seconds=batch_seconds, progress=progress)
    pieces = _encode(teacher, encoder.device, batches, unread)
    packed = pack_features(_whole(pieces), out / "features", dtype=dtype, shard_megabytes=shard_megabytes)
    order = {row: place for place, row in enumerate(rows)}
    stored = sorted(packed.utterances, key=lambda row: order[replace(row, features=None)])
    return list_features(stored, (*unread, *packed.failures), out)


def _encode(
    teacher: LiveTeacher, device: str, batches: Iterator[list[Piece] | Failure], unread: list[str]
) -> Iterator[tuple[Utterance, NDArray[np.float32]]]:
    """The utterance of each piece with the piece's frames; what could not be read is added to the unread."""
    import torch

    from xlsr.training.teacher import Lesson

    for batch in batches:
        if isinstance(batch, Failure):
            unread.append(batch.error)
            continue
        lessons = [Lesson(piece.samples) for piece in batch]
        inputs = teacher.inputs(lessons)
        (frames,) = teacher.frames(*(torch.from_numpy(x).to(device) for x in (inputs.values, inputs.lengths)))
        for piece, lesson, row in zip(batch, lessons, frames.float().cpu().numpy(), strict=True):
            yield piece.utterance, row[: teacher.num_frames(lesson)]


def _whole(
    pieces: Iterator[tuple[Utterance, NDArray[np.float32]]],
) -> Iterator[tuple[Utterance, NDArray[np.float32]]]:
    """Join the pieces of an utterance, which follow one another."""
    for _, group in groupby(pieces, key=lambda piece: id(piece[0])):
        parts = list(group)
        yield parts[0][0], np.concatenate([frames for _, frames in parts])
