"""Lists of utterances: JSON lines, one recording each, and whatever other corpora are listed in.

Reads `audio` (relative to the manifest; NeMo's `audio_filepath` and Common Voice's `path` are accepted), `duration`,
and optionally `offset`, `text`, `phones`, `language`, `speaker`, `split`, `sample_rate`, `channel`, `kind`,
`alignment` and `features` (a path too). Where `a/b/x.opus` is not a file, member `x.opus` of `a/b.zip` is meant;
`shard.tar/x.flac` is a member of a shard. Knows nothing of labels or tensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path

from xlsr.data.corpora.layouts import read_corpus
from xlsr.data.loading import load_utterance, measure
from xlsr.data.utterance import Interval, Utterance, to_row
from xlsr.errors import AudioError, ManifestError

__all__ = ["Interval", "Utterance", "load_utterance", "read_manifest", "write_manifest"]


def read_manifest(path: Path | str, *, split: str | None = None) -> list[Utterance]:
    """Read a list of utterances.

    Args:
        path: JSON lines, Parquet, a fairseq `.tsv`, or a folder in any layout that `prepare` knows, such as Kaldi's and
            Hugging Face's. Where these tell no durations, the headers of the recordings are read.
        split: keep the rows of this split only.

    Raises:
        ManifestError: the list cannot be read, or a row lacks its audio or its duration; names the line.
        AudioError: the header of a recording is needed and cannot be read.
    """
    path = Path(path)
    try:
        utterances = read_corpus(path)
    except ManifestError as error:
        raise ManifestError(f"manifest {error}" if not path.exists() else str(error)) from error
    if split is not None:
        utterances = [utterance for utterance in utterances if utterance.split == split]
    if not utterances:
        raise ManifestError(f"manifest {path} lists no utterance{f' of split {split}' if split else ''}")
    found = measure(utterance for utterance in utterances if math.isnan(utterance.duration))
    return [_usable(next(found)) if math.isnan(utterance.duration) else utterance for utterance in utterances]


def _usable(found: Utterance | AudioError) -> Utterance:
    if isinstance(found, AudioError):
        raise found
    return found


def check_unused(folder: Path) -> None:
    """Raise ManifestError where a folder to write holds manifests or shards already."""
    if folder.exists() and (not folder.is_dir() or any(path.suffix in (".jsonl", ".tar") for path in folder.iterdir())):
        raise ManifestError(f"{folder} is in use: name a folder without manifests and shards")


def write_manifest(utterances: Iterable[Utterance], path: Path | str) -> None:
    """Write JSON lines that `read_manifest` reads; paths become relative to the manifest's folder.

    The file appears when it is complete, or not at all.
    """
    path = Path(path)
    folder = path.parent.resolve()
    parents: dict[Path, Path] = {}

    def name(file: Path) -> str:
        # The folder's links are resolved, the recording's are kept: content stores link names to nameless files.
        parent = parents.setdefault(file.parent, file.parent.resolve())
        try:
            return Path(os.path.relpath(parent / file.name, folder)).as_posix()
        except ValueError:  # another drive
            return str(parent / file.name)

    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as lines:
            for utterance in utterances:
                lines.write(_line(to_row(utterance, name)))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _line(row: dict[str, object]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # a file name that is no UTF-8
        return json.dumps(row, allow_nan=False).encode() + b"\n"
