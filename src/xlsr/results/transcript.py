"""The transcript of one recording: its text, its segments, and where they come from. Floor 1.

Plain frozen data; does not know audio, models or decoders. The dictionary form is the one of whisper and WhisperX, with
more keys (dictionaries.py); its files are written by writers.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xlsr.recorded import AudioInfo
from xlsr.results.dictionaries import (
    TranscriptDict,
    alternative_from_dict,
    alternative_to_dict,
    audio_from_dict,
    audio_to_dict,
    mean_score,
    rounded,
    rounded_score,
    segment_from_dict,
    segment_to_dict,
)
from xlsr.results.parts import Alternative, Phone, Segment, Word
from xlsr.results.writers import format_transcript


@dataclass(frozen=True)
class Transcript:
    """The transcript of one recording.

    Attributes:
        text: all of it.
        language: ISO 639-3 where known.
        segments: in order of time; empty where times were not asked for.
        duration: of the audio, in seconds.
        audio: the recording: its name, and what it sounds like.
        model: name of the model.
        alternatives: the best readings of the whole, best first, where several were asked for; of channels that were
            transcribed apart there are none.
        score: the mean score of the words or phones, the share of them to expect right; None where unknown. Where
            segments have units with scores, it is theirs, whatever is given; else it is what was known before their
            times were dropped.
    """

    text: str
    language: str | None = None
    segments: tuple[Segment, ...] = ()
    duration: float = 0.0
    audio: AudioInfo | None = None
    model: str | None = None
    alternatives: tuple[Alternative, ...] = ()
    score: float | None = None

    def __post_init__(self) -> None:
        """Find the score."""
        known = mean_score(self.words or self.phones)
        if known is not None:
            object.__setattr__(self, "score", known)

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
        fields: TranscriptDict = {
            "text": self.text,
            "language": self.language,
            "segments": [segment_to_dict(segment) for segment in self.segments],
            "duration": rounded(self.duration),
            "audio": None if self.audio is None else audio_to_dict(self.audio),
            "model": self.model,
            "score": rounded_score(self.score),
        }
        if self.alternatives:
            fields["alternatives"] = [*map(alternative_to_dict, self.alternatives)]
        return fields

    @classmethod
    def from_dict(cls, fields: TranscriptDict) -> Transcript:
        """Read what `to_dict` wrote, or a dictionary of whisper; keys it does not know are passed over.

        Raises:
            ValueError: a key that every transcript has is missing.
        """
        try:
            audio = fields.get("audio")
            return cls(
                text=fields["text"],
                language=fields.get("language"),
                segments=tuple(segment_from_dict(segment) for segment in fields.get("segments", [])),
                duration=fields.get("duration", 0.0),
                audio=None if audio is None else audio_from_dict(audio),
                model=fields.get("model"),
                alternatives=tuple(alternative_from_dict(one) for one in fields.get("alternatives", [])),
                score=fields.get("score"),
            )
        except KeyError as error:
            raise ValueError(f"the dictionary of a transcript lacks the key {error}") from None

    def write(self, path: Path | str, *, highlight_words: bool = False) -> None:
        """Write the transcript; the suffix of the path is its format.

        Args:
            path: of the file.
            highlight_words: as for `format_transcript`.

        Raises:
            ValueError: the suffix is none of `OUTPUT_FORMATS`, or the format needs times that are not there.
        """
        path = Path(path)
        text = format_transcript(self, path.suffix.removeprefix(".").lower(), highlight_words=highlight_words)
        path.write_text(text, encoding="utf-8", newline="\n")
