"""Lists of utterances: JSON lines, one recording each.

Reads `audio` (relative to the manifest; NeMo's `audio_filepath` and Common Voice's `path` are accepted), `duration`,
and optionally `offset`, `text`, `phones`, `language`, `speaker`, `split`, `kind`. Where `a/b/x.opus` is not a file,
member `x.opus` of `a/b.zip` is meant. Knows nothing of labels or tensors.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import FIELD_SAMPLES, SAMPLE_RATE, load_audio
from xlsr.errors import AudioError, ManifestError

_AUDIO_KEYS = ("audio", "audio_filepath", "path")
_MAX_MEMBER_BYTES = 1 << 30


@dataclass(frozen=True)
class Utterance:
    """One recording with what is known of it; times in seconds, `phones` separated by spaces.

    `kind` is what sounds where it is not speech: "noise" or "rir" (the response of a room to an impulse).
    """

    audio: Path
    duration: float
    offset: float = 0.0
    text: str | None = None
    phones: str | None = None
    language: str | None = None
    speaker: str | None = None
    split: str | None = None
    kind: str | None = None

    @property
    def name(self) -> str:
        """What messages and tables call it: its path, and where in it the utterance begins."""
        return f"{self.audio} at {self.offset:g} s" if self.offset else str(self.audio)


def read_manifest(path: Path | str, *, split: str | None = None) -> list[Utterance]:
    """Read a JSON-lines manifest.

    Args:
        path: the file.
        split: keep the rows of this split only.

    Raises:
        ManifestError: the file cannot be read, or a row lacks its audio or its duration; names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8-sig").split("\n")  # U+2028 inside a text ends no row
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"manifest {path} cannot be read: {error}") from error
    utterances = [_utterance(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if split is not None:
        utterances = [utterance for utterance in utterances if utterance.split == split]
    if not utterances:
        raise ManifestError(f"manifest {path} lists no utterance{f' of split {split}' if split else ''}")
    return utterances


def _utterance(path: Path, number: int, line: str) -> Utterance:
    place = f"{path} line {number}"
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{place} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise ManifestError(f"{place} holds {type(row).__name__}; an object is wanted")
    audio = next((row[key] for key in _AUDIO_KEYS if isinstance(row.get(key), str)), None)
    if audio is None:
        raise ManifestError(f"{place} names no audio; one of the keys {', '.join(_AUDIO_KEYS)} is wanted")
    duration, offset = (
        _seconds(row.get(key, default), key, place) for key, default in (("duration", None), ("offset", 0))
    )
    words = {key: row.get(key) for key in ("text", "phones", "language", "speaker", "split", "kind")}
    for key, value in words.items():
        if value is not None and not isinstance(value, str):
            raise ManifestError(f"{place}: {key} is {value!r}; a string or null is wanted")
    return Utterance(audio=path.parent / audio, duration=duration, offset=offset, **words)


def _seconds(value: object, key: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        raise ManifestError(f"{place}: {key} is {value!r}; seconds are wanted")
    return float(value)


def load_utterance(utterance: Utterance) -> NDArray[np.float32]:
    """Read an utterance's samples: (samples,) float32 mono at 16 kHz. Raises AudioError naming it."""
    waveform = load_audio(utterance.audio if utterance.audio.exists() else _member(utterance.audio))
    start, end = (round(t * SAMPLE_RATE) for t in (utterance.offset, utterance.offset + utterance.duration))
    if not start and len(waveform) - end < SAMPLE_RATE // 10:
        return waveform  # the whole recording, whose duration was rounded
    if len(waveform[start:end]) < FIELD_SAMPLES:
        raise AudioError(
            f"{utterance.audio} has {len(waveform) / SAMPLE_RATE:.2f} s; a segment of {utterance.duration:.2f} s at "
            f"{utterance.offset:.2f} s is wanted, of which less than 25 ms are there"
        )
    return waveform[start:end]


def _member(audio: Path) -> bytes:
    """The bytes of `folder/name.opus` out of `folder.zip`."""
    archive = audio.parent.with_name(audio.parent.name + ".zip")
    if not archive.is_file():
        raise AudioError(f"{audio} is not there, nor is {archive}")
    try:
        with zipfile.ZipFile(archive) as opened:
            if opened.getinfo(audio.name).file_size > _MAX_MEMBER_BYTES:
                raise AudioError(f"{audio.name} in {archive} is over {_MAX_MEMBER_BYTES >> 20} MiB: refused")
            return opened.read(audio.name)
    except KeyError as error:
        raise AudioError(f"{audio} is not there, and {archive} has no member {audio.name}") from error
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise AudioError(f"{archive} cannot be read: {error}") from error
