"""What transcription gives back: text with segments, words, characters and phones in seconds; and its files. Floor 1.

The last step of the path: plain frozen data, and one function for each output format. Does not know audio, models or
decoders. The dictionary form is the one of whisper and WhisperX, with more keys.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast, get_args

Timestamps = Literal["none", "segment", "word", "char", "phone"]
TIMESTAMP_LEVELS: tuple[str, ...] = get_args(Timestamps)


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
    """A segment of `to_dict()`."""

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float | None
    words: NotRequired[list[WordDict]]
    phones: NotRequired[list[PhoneDict]]


class TranscriptDict(TypedDict):
    """What `Transcript.to_dict()` returns: the whisper and WhisperX keys and `duration`, `audio`, `model`."""

    text: str
    language: NotRequired[str | None]
    segments: NotRequired[list[SegmentDict]]
    duration: NotRequired[float]
    audio: NotRequired[str | None]
    model: NotRequired[str | None]


@dataclass(frozen=True)
class Character:
    """A character of a word; times in seconds, score a probability or None where unknown."""

    text: str
    start: float
    end: float
    score: float | None = None


@dataclass(frozen=True)
class Phone:
    """A phone, as its inventory spells it; times in seconds, score a probability or None where unknown."""

    text: str
    start: float
    end: float
    score: float | None = None


@dataclass(frozen=True)
class Word:
    """A word; times in seconds, score a probability or None where unknown."""

    text: str
    start: float
    end: float
    score: float | None = None
    characters: tuple[Character, ...] = ()


@dataclass(frozen=True)
class Segment:
    """A stretch of speech between pauses, as long as a subtitle.

    Attributes:
        id: its number in the transcript, from 0.
        start: seconds.
        end: seconds.
        text: one line.
        avg_logprob: mean natural log-probability of its characters; None where unknown.
        words: its words in order of time.
        phones: its phones in order of time.
    """

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    words: tuple[Word, ...] = ()
    phones: tuple[Phone, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """The transcript of one recording.

    Attributes:
        text: all of it.
        language: ISO 639-3 where known.
        segments: in order of time; empty where times were not asked for.
        duration: of the audio, in seconds.
        audio: name of the recording.
        model: name of the model.
    """

    text: str
    language: str | None = None
    segments: tuple[Segment, ...] = ()
    duration: float = 0.0
    audio: str | None = None
    model: str | None = None

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def phones(self) -> tuple[Phone, ...]:
        """The phones of all segments."""
        return tuple(phone for segment in self.segments for phone in segment.phones)

    def to_dict(self) -> TranscriptDict:
        """Return the transcript as JSON values; numbers have three decimals, and none is NaN or infinite."""
        return {
            "text": self.text,
            "language": self.language,
            "segments": [_segment_to_dict(segment) for segment in self.segments],
            "duration": _rounded(self.duration),
            "audio": self.audio,
            "model": self.model,
        }

    @classmethod
    def from_dict(cls, fields: TranscriptDict) -> Transcript:
        """Read what `to_dict` wrote, or a dictionary of whisper; keys it does not know are passed over.

        Raises:
            ValueError: a key that every transcript has is missing.
        """
        try:
            return cls(
                text=fields["text"],
                language=fields.get("language"),
                segments=tuple(_segment_from_dict(segment) for segment in fields.get("segments", [])),
                duration=fields.get("duration", 0.0),
                audio=fields.get("audio"),
                model=fields.get("model"),
            )
        except KeyError as error:
            raise ValueError(f"the dictionary of a transcript lacks the key {error}") from None

    def write(self, path: Path | str) -> None:
        """Write the transcript; the suffix of the path is its format.

        Raises:
            ValueError: the suffix is none of `OUTPUT_FORMATS`, or the format needs times that are not there.
        """
        path = Path(path)
        text = format_transcript(self, path.suffix.removeprefix(".").lower())
        path.write_text(text, encoding="utf-8", newline="\n")


def split_segments(
    words: Sequence[Word], *, max_gap_seconds: float = 1.5, max_seconds: float = 12.0, are_phones: bool = False
) -> tuple[Segment, ...]:
    """Cut words into segments at pauses, and wherever a segment would grow too long.

    Args:
        words: in order of time.
        max_gap_seconds: a longer pause between two words ends a segment. CTC marks words by the middle of their sounds,
            so that the silence between two is shorter than this by most of a word.
        max_seconds: a segment is longer only if one word is.
        are_phones: each word is a phone; they become the `phones` of the segments.
    """
    groups: list[list[Word]] = []
    for word in words:
        last = groups[-1] if groups else None
        if last and word.start - last[-1].end <= max_gap_seconds and word.end - last[0].start <= max_seconds:
            last.append(word)
        else:
            groups.append([word])
    return tuple(_segment_of(index, group, are_phones=are_phones) for index, group in enumerate(groups))


def _segment_of(index: int, words: Sequence[Word], *, are_phones: bool) -> Segment:
    return Segment(
        id=index,
        start=words[0].start,
        end=max(word.end for word in words),
        text=" ".join(word.text for word in words),
        avg_logprob=_avg_logprob(words),
        words=() if are_phones else tuple(words),
        phones=tuple(Phone(word.text, word.start, word.end, word.score) for word in words) if are_phones else (),
    )


def _avg_logprob(words: Sequence[Word]) -> float | None:
    """Return the mean log-probability of the words' tokens; a word's is taken as -23 (1e-10) at least."""
    scores = [word.score for word in words if word.score is not None]
    if len(scores) < len(words):
        return None
    tokens = [max(len(word.characters), 1) for word in words]
    return sum(n * math.log(max(score, 1e-10)) for n, score in zip(tokens, scores, strict=True)) / sum(tokens)


def with_timestamps(transcript: Transcript, level: Timestamps) -> Transcript:
    """Drop the times below a level.

    Args:
        transcript: with all that is known.
        level: `none` (the text only), `segment`, `word`, `char` (all: words, characters and phones), or `phone`
            (words and phones).

    Raises:
        ValueError: another level.
    """
    if level not in TIMESTAMP_LEVELS:
        raise ValueError(f"timestamps is {level!r}; wanted one of {', '.join(TIMESTAMP_LEVELS)}")
    if level == "none":
        return replace(transcript, segments=())
    if level == "char":
        return transcript

    def shallow(segment: Segment) -> Segment:
        words = () if level == "segment" else tuple(replace(word, characters=()) for word in segment.words)
        return replace(segment, words=words, phones=segment.phones if level == "phone" else ())

    return replace(transcript, segments=tuple(map(shallow, transcript.segments)))


def format_transcript(transcript: Transcript, output_format: str) -> str:
    """Return the text of an output file.

    `txt` has a line for each segment, `json` and `jsonl` all of `to_dict()`, `tsv` whole milliseconds as whisper
    writes it. All but JSON are formats of lines: line breaks inside a text become spaces there.

    Args:
        transcript: what to write.
        output_format: one of `OUTPUT_FORMATS`.

    Raises:
        ValueError: another format, or one of times for a transcript whose times were dropped.
    """
    if output_format not in _WRITERS:
        raise ValueError(f"output format {output_format!r} is not known; wanted one of {', '.join(OUTPUT_FORMATS)}")
    return _WRITERS[output_format](transcript)


def _to_txt(transcript: Transcript) -> str:
    texts = [segment.text for segment in transcript.segments] or [transcript.text]
    return "".join(f"{line}\n" for line in map(_one_line, texts) if line)


def _to_json(transcript: Transcript, indent: int | None = 2) -> str:
    return json.dumps(transcript.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def _to_tsv(transcript: Transcript) -> str:
    lines = ["start\tend\ttext"]
    for segment in _timed_segments(transcript, "tsv"):
        lines.append(f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{_one_line(segment.text)}")
    return "\n".join(lines) + "\n"


def _to_srt(transcript: Transcript) -> str:
    # SRT has no escapes; players read "-->" as a time line, so whisper shortens it too
    return _subtitles(transcript, "srt", lambda text: text.replace("-->", "->"))


def _to_vtt(transcript: Transcript) -> str:
    def escaped(text: str) -> str:  # WebVTT, section 4.2: cue text escapes
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return _subtitles(transcript, "vtt", escaped)


def _subtitles(transcript: Transcript, output_format: str, escape: Callable[[str], str]) -> str:
    import pysubs2

    subtitles = pysubs2.SSAFile()
    for segment in _timed_segments(transcript, output_format):
        text = escape(_one_line(segment.text))
        # pysubs2 takes \N, \h and {\p1} for commands: an invisible word joiner keeps a backslash a backslash
        text = text.replace("\\", "\\\u2060")
        if text:
            start, end = round(1000 * segment.start), round(1000 * segment.end)
            subtitles.append(pysubs2.SSAEvent(start=start, end=end, text=text))
    return subtitles.to_string(output_format, keep_ssa_tags=True)


def _timed_segments(transcript: Transcript, output_format: str) -> Iterable[Segment]:
    if transcript.text.strip() and not transcript.segments:
        raise ValueError(f"{output_format} needs the times of segments, which this transcript lacks: keep timestamps")
    return transcript.segments


_WRITERS: dict[str, Callable[[Transcript], str]] = {
    "txt": _to_txt,
    "json": _to_json,
    "jsonl": partial(_to_json, indent=None),
    "srt": _to_srt,
    "vtt": _to_vtt,
    "tsv": _to_tsv,
}
OUTPUT_FORMATS = tuple(_WRITERS)


def _one_line(text: str) -> str:
    return re.sub(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+", " ", text).strip()


def _rounded(number: float) -> float:
    assert math.isfinite(number), f"a time is {number}"
    return round(float(number), 3)


def _rounded_score(score: float | None) -> float | None:
    return _rounded(score) if score is not None and math.isfinite(score) else None


def _times(item: Character | Phone | Word) -> TimesDict:
    return {"start": _rounded(item.start), "end": _rounded(item.end), "score": _rounded_score(item.score)}


def _segment_to_dict(segment: Segment) -> SegmentDict:
    return {
        "id": segment.id,
        "start": _rounded(segment.start),
        "end": _rounded(segment.end),
        "text": segment.text,
        "avg_logprob": _rounded_score(segment.avg_logprob),
        "words": [_word_to_dict(word) for word in segment.words],
        "phones": [{"phone": phone.text, **_times(phone)} for phone in segment.phones],
    }


def _word_to_dict(word: Word) -> WordDict:
    if not word.characters:
        return cast(WordDict, {"word": word.text, **_times(word)})
    return {
        "word": word.text,
        **_times(word),
        "chars": [{"char": char.text, **_times(char)} for char in word.characters],
    }


def _segment_from_dict(fields: SegmentDict) -> Segment:
    return Segment(
        id=fields["id"],
        start=fields["start"],
        end=fields["end"],
        text=fields["text"],
        avg_logprob=fields.get("avg_logprob"),
        words=tuple(_word_from_dict(word) for word in fields.get("words", [])),
        phones=tuple(Phone(phone["phone"], *_read_times(phone)) for phone in fields.get("phones", [])),
    )


def _word_from_dict(fields: WordDict) -> Word:
    characters = tuple(Character(char["char"], *_read_times(char)) for char in fields.get("chars", []))
    return Word(fields["word"], *_read_times(fields), characters)


def _read_times(fields: TimesDict) -> tuple[float, float, float | None]:
    return fields["start"], fields["end"], fields.get("score")
