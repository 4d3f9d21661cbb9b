"""The parts of a transcript as JSON values and back: the keys of whisper and WhisperX, and more. Floor 1.

Numbers have three decimals, and none is NaN or infinite. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NotRequired, TypedDict, cast

from xlsr.recorded import AudioInfo
from xlsr.results.parts import Alternative, Character, Phone, Segment, Word


class TimesDict(TypedDict):
    """Start and end in seconds, and a probability or null."""

    start: float
    end: float
    score: float | None


class CharacterDict(TimesDict):
    """A character of `to_dict()`."""

    char: str


class PhoneDict(TimesDict):
    """A phone of `to_dict()`."""

    phone: str


class WordDict(TimesDict):
    """A word of `to_dict()`; `chars` only where there are any."""

    word: str
    chars: NotRequired[list[CharacterDict]]


class SegmentDict(TypedDict):
    """A segment of `to_dict()`; `channel` only where channels were transcribed apart."""

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float | None
    words: NotRequired[list[WordDict]]
    phones: NotRequired[list[PhoneDict]]
    channel: NotRequired[int | None]


class AudioDict(TypedDict):
    """The recording of `to_dict()`: the fields of `AudioInfo`."""

    name: str
    sample_rate: NotRequired[int | None]
    channels: NotRequired[int | None]
    bandwidth_hertz: NotRequired[int | None]
    clipped: NotRequired[float | None]
    dc_offset: NotRequired[float | None]
    loudness_db: NotRequired[float | None]
    notes: NotRequired[list[str]]


class AlternativeDict(TypedDict):
    """One of the n best readings of `to_dict()`; scores in nats."""

    text: str
    score: float
    acoustic_score: float
    lm_score: float


class TranscriptDict(TypedDict):
    """What `Transcript.to_dict()` returns: the whisper and WhisperX keys and `duration`, `audio`, `model`, `score`.

    `alternatives` only where several readings were asked for.
    """

    text: str
    language: NotRequired[str | None]
    segments: NotRequired[list[SegmentDict]]
    duration: NotRequired[float]
    audio: NotRequired[AudioDict | str | None]
    model: NotRequired[str | None]
    score: NotRequired[float | None]
    alternatives: NotRequired[list[AlternativeDict]]


def rounded(number: float) -> float:
    """Return a number with three decimals; it is an error of ours if it is none."""
    assert math.isfinite(number), f"a time or score is {number}"
    return round(float(number), 3)


def rounded_score(score: float | None) -> float | None:
    """Return a score with three decimals; None where it is unknown, or no number."""
    return rounded(score) if score is not None and math.isfinite(score) else None


def mean_score(units: Sequence[Word | Phone]) -> float | None:
    """Return the mean of the scores as files have them, so that it survives being written; None without any."""
    scores = [score for unit in units if (score := rounded_score(unit.score)) is not None]
    return sum(scores) / len(scores) if scores else None


def _times(item: Character | Phone | Word) -> TimesDict:
    return {"start": rounded(item.start), "end": rounded(item.end), "score": rounded_score(item.score)}


def audio_to_dict(audio: AudioInfo) -> AudioDict:
    """Return what is known of a recording as JSON values."""
    return {
        "name": audio.name,
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
        "bandwidth_hertz": audio.bandwidth_hertz,
        "clipped": audio.clipped,
        "dc_offset": audio.dc_offset,
        "loudness_db": audio.loudness_db,
        "notes": list(audio.notes),
    }


def audio_from_dict(fields: AudioDict | str) -> AudioInfo:
    """Read what `audio_to_dict` wrote, or a name alone; KeyError where that is missing."""
    if isinstance(fields, str):
        return AudioInfo(fields)
    return AudioInfo(
        name=fields["name"],
        sample_rate=fields.get("sample_rate"),
        channels=fields.get("channels"),
        bandwidth_hertz=fields.get("bandwidth_hertz"),
        clipped=fields.get("clipped"),
        dc_offset=fields.get("dc_offset"),
        loudness_db=fields.get("loudness_db"),
        notes=tuple(fields.get("notes", [])),
    )


def alternative_to_dict(alternative: Alternative) -> AlternativeDict:
    """Return one of several readings as JSON values."""
    return {
        "text": alternative.text,
        "score": rounded(alternative.score),
        "acoustic_score": rounded(alternative.acoustic_score),
        "lm_score": rounded(alternative.lm_score),
    }


def alternative_from_dict(fields: AlternativeDict) -> Alternative:
    """Read what `alternative_to_dict` wrote; KeyError where a key is missing."""
    return Alternative(fields["text"], fields["score"], fields["acoustic_score"], fields["lm_score"])


def segment_to_dict(segment: Segment) -> SegmentDict:
    """Return a segment as JSON values."""
    fields: SegmentDict = {
        "id": segment.id,
        "start": rounded(segment.start),
        "end": rounded(segment.end),
        "text": segment.text,
        "avg_logprob": rounded_score(segment.avg_logprob),
        "words": [_word_to_dict(word) for word in segment.words],
        "phones": [{"phone": phone.text, **_times(phone)} for phone in segment.phones],
    }
    if segment.channel is not None:
        fields["channel"] = segment.channel
    return fields


def _word_to_dict(word: Word) -> WordDict:
    if not word.characters:
        return cast(WordDict, {"word": word.text, **_times(word)})
    return {
        "word": word.text,
        **_times(word),
        "chars": [{"char": char.text, **_times(char)} for char in word.characters],
    }


def segment_from_dict(fields: SegmentDict) -> Segment:
    """Read what `segment_to_dict` wrote; KeyError where a key is missing."""
    return Segment(
        id=fields["id"],
        start=fields["start"],
        end=fields["end"],
        text=fields["text"],
        avg_logprob=fields.get("avg_logprob"),
        words=tuple(_word_from_dict(word) for word in fields.get("words", [])),
        phones=tuple(Phone(phone["phone"], *_read_times(phone)) for phone in fields.get("phones", [])),
        channel=fields.get("channel"),
    )


def _word_from_dict(fields: WordDict) -> Word:
    characters = tuple(Character(char["char"], *_read_times(char)) for char in fields.get("chars", []))
    return Word(fields["word"], *_read_times(fields), characters)


def _read_times(fields: TimesDict) -> tuple[float, float, float | None]:
    return fields["start"], fields["end"], fields.get("score")
