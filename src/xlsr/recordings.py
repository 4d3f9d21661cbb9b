"""Recordings that a command names: files, folders, stdin, the rows of a manifest. Floor 6.

Each comes with the name that its output gets, so that two of them never write over each other.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from xlsr.audio import SAMPLE_RATE, SUFFIXES, AudioSource
from xlsr.data.archives import NamedBytes
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.errors import AudioError, XlsrError

STDIN = "<stdin>"


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        source: a path, or the row of a manifest; `STDIN` is standard input.
        stem: the path of its output below the output folder, without a suffix.
    """

    source: str | Path | Utterance
    stem: Path


class _Missing(io.RawIOBase):
    """A file that cannot be read, with the reason."""

    def __init__(self, name: str, reason: AudioError) -> None:
        super().__init__()
        self.name, self.reason = name, reason

    def seekable(self) -> bool:
        """Not; it is read, and that fails."""
        return False

    def read(self, size: int = -1) -> bytes:
        """Raise OSError with the reason."""
        raise OSError(str(self.reason))


def find_recordings(names: Sequence[str], manifest: Path | None) -> list[Recording]:
    """List what was named: files as they are, folders by their sound files, manifests by their rows.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    found = [recording for name in names for recording in _expand(name)]
    if manifest is not None:
        for utterance in read_manifest(manifest):
            part = f"-{utterance.offset:.2f}" if utterance.offset else ""
            found.append(Recording(utterance, Path(utterance.audio.stem + part)))
    return found


def check_stems(recordings: Sequence[Recording]) -> None:
    """Raise XlsrError where two recordings would write the same file."""
    twice = [str(stem) for stem, count in Counter(recording.stem for recording in recordings).items() if count > 1]
    if twice:
        raise XlsrError(
            f"{len(twice)} outputs would be written by more than one recording, such as {twice[0]}; "
            "give each its own --output_dir, or name the folder that holds them"
        )


def sources(recordings: Sequence[Recording]) -> Iterator[AudioSource]:
    """What the recognizer takes, one at a time; rows of a manifest are read when their turn comes."""
    for recording in recordings:
        if isinstance(recording.source, Utterance):
            yield _part(recording.source)
        else:
            yield "-" if recording.source == STDIN else recording.source


def _expand(name: str) -> list[Recording]:
    path = Path(name)
    if name == STDIN:
        return [Recording(STDIN, Path("stdin"))]
    if not path.is_dir():
        return [Recording(name, Path(path.stem))]
    inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    # An empty folder is passed on, to fail by its name rather than vanish.
    return [Recording(file, file.relative_to(path).with_suffix("")) for file in inside] or [Recording(path, path)]


def _part(utterance: Utterance) -> AudioSource:
    """The samples of a row as a file; what cannot be read is passed on, to fail by its name in its turn."""
    try:
        waveform = load_utterance(utterance)
    except AudioError as error:
        return cast(BinaryIO, _Missing(utterance.name, error))
    content = io.BytesIO()
    soundfile.write(content, waveform, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return NamedBytes(content.getvalue(), utterance.name)
