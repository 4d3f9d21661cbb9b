"""One row of a corpus: the type that training and evaluation pass around, and its form in files.

Knows the keys of a row and their habits elsewhere (NeMo, Common Voice, Hugging Face), and refuses values of the wrong
kind by the place they stand in. Opens no audio and no archive. Floor 2; below the readers and `manifest`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from xlsr.errors import ManifestError

UNKNOWN = math.nan  # a duration that the corpus does not tell; the header of the recording will
AUDIO_KEYS = ("audio", "audio_filepath", "path", "file_name")
NUMBER_KEYS = ("duration", "offset", "sample_rate", "channel")
WORD_KEYS = {
    "text": ("text", "transcription", "sentence", "transcript", "normalized_text"),
    "phones": ("phones",),
    "language": ("language", "locale"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "split": ("split",),
    "kind": ("kind",),
}
_MAX_INTEGER = 1_000_000


@dataclass(frozen=True)
class Interval:
    """What is heard from `start` to `end`, seconds from the beginning of the utterance."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Utterance:
    """One recording, or a stretch of one, with what is known of it.

    Attributes:
        audio: the file, or `shard.tar/member`, `table.parquet/row`, or a member of a zip (`manifest`).
        duration: seconds.
        offset: seconds from the beginning of the recording.
        text: what is said.
        phones: separated by spaces.
        language: ISO 639-3.
        speaker: an identifier within the corpus.
        split: train, dev, test, or as the corpus calls it.
        sample_rate: Hz, of the original recording.
        channel: counted from 0; None is the mean of all.
        kind: what sounds where it is not speech: "noise", or "rir" (the response of a room to an impulse).
        alignment: phones with their times.
        features: what a teacher made of it, in a file or a shard (`stored_features`).
    """

    audio: Path
    duration: float
    offset: float = 0.0
    text: str | None = None
    phones: str | None = None
    language: str | None = None
    speaker: str | None = None
    split: str | None = None
    sample_rate: int | None = None
    channel: int | None = None
    kind: str | None = None
    alignment: tuple[Interval, ...] = ()
    features: Path | None = None

    @property
    def name(self) -> str:
        """What messages and tables call it: its path, and where in it the utterance begins."""
        return f"{self.audio} at {self.offset:g} s" if self.offset else str(self.audio)


def from_row(row: Mapping[str, object], folder: Path, place: str, *, measured: bool = True) -> Utterance:
    """Turn a row into an utterance.

    Args:
        row: keys and values as they stand in the file.
        folder: what paths are relative to.
        place: file and line, for messages.
        measured: the row must tell its duration; else a missing one becomes `UNKNOWN`.

    Raises:
        ManifestError: a value is missing or of the wrong kind.
    """
    audio = next((row[key] for key in AUDIO_KEYS if isinstance(row.get(key), str) and row[key]), None)
    if audio is None:
        raise ManifestError(f"{place} names no audio; one of the keys {', '.join(AUDIO_KEYS)} is wanted")
    told = measured or row.get("duration") not in (None, "")
    features = _words(row, ("features",), place)
    return Utterance(
        audio=folder / str(audio),
        duration=_seconds(row.get("duration"), "duration", place) if told else UNKNOWN,
        offset=_seconds(row.get("offset", 0), "offset", place),
        sample_rate=_integer(row.get("sample_rate"), "sample_rate", place),
        channel=_integer(row.get("channel"), "channel", place),
        alignment=_alignment(row.get("alignment"), place),
        features=folder / features if features else None,
        **{field: _words(row, keys, place) for field, keys in WORD_KEYS.items()},
    )


def to_row(utterance: Utterance, name_file: Callable[[Path], str]) -> dict[str, object]:
    """Turn an utterance into the row that `from_row` reads; what is not known is left out."""
    row: dict[str, object] = {"audio": name_file(utterance.audio), "duration": utterance.duration}
    for field in fields(utterance)[2:]:
        value = getattr(utterance, field.name)
        if field.name == "alignment":
            value = [list(asdict(interval).values()) for interval in value]
        elif field.name == "features" and value is not None:
            value = name_file(value)
        if value != field.default and value != []:
            row[field.name] = value
    return row


def split_name(name: str) -> str | None:
    """The split that a file or folder is named after, `train-clean-100` and `valid.tsv` too; None if it is none."""
    head = name.lower().replace("_", "-").replace(".", "-").split("-")[0]
    return {"valid": "dev", "validation": "dev", "val": "dev"}.get(
        head, head if head in ("train", "dev", "test") else None
    )


def _words(row: Mapping[str, object], keys: tuple[str, ...], place: str) -> str | None:
    for key in keys:
        value = row.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and key == "speaker_id":
            return str(value)
        if value is not None and not isinstance(value, str):
            raise ManifestError(f"{place}: {key} is {value!r}; a string or null is wanted")
        if value is not None:
            return value
    return None


def _seconds(value: object, key: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        raise ManifestError(f"{place}: {key} is {value!r}; seconds are wanted")
    return float(value)


def _integer(value: object, key: str, place: str) -> int | None:
    if value is None:
        return None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= value < _MAX_INTEGER:  # type: ignore[operator]
        raise ManifestError(f"{place}: {key} is {value!r}; a whole number or null is wanted")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _alignment(value: object, place: str) -> tuple[Interval, ...]:
    if value is None:
        return ()
    wanted = "a list of [start, end, phone] is wanted"
    if not isinstance(value, list):
        raise ManifestError(f"{place}: alignment is {value!r}; {wanted}")
    intervals = []
    for part in value:
        if not isinstance(part, list) or len(part) != 3 or not isinstance(part[2], str):
            raise ManifestError(f"{place}: alignment holds {part!r}; {wanted}")
        start, end = (_seconds(time, "a time of alignment", place) for time in part[:2])
        interval = Interval(start, end, part[2])
        if interval.end < interval.start:
            raise ManifestError(f"{place}: alignment holds {part!r}, which ends before it begins; {wanted}")
        intervals.append(interval)
    return tuple(intervals)
