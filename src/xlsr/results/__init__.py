"""What transcription gives back: text with segments, words, characters and phones in seconds; and its files. Floor 1.

The last step of the path: plain frozen data, and one function for each output format. Does not know audio, models or
decoders.

    parts.py          Segment, Word, Phone, Character, Alternative
    dictionaries.py   parts <-> JSON values
    transcript.py     Transcript, which holds them
    segments.py       words -> segments; levels of times
    channels.py       the transcripts of a recording's channels -> one
    writers.py        Transcript -> the text of a file: text, JSON, TSV; and by
    subtitles.py      SRT and WebVTT,
    nist.py           CTM and STM,
    textgrid.py       TextGrid;
    texts.py          what these share
"""

from xlsr.recorded import AudioInfo
from xlsr.results.channels import merge_channels
from xlsr.results.dictionaries import (
    AlternativeDict,
    AudioDict,
    CharacterDict,
    PhoneDict,
    SegmentDict,
    TimesDict,
    TranscriptDict,
    WordDict,
)
from xlsr.results.parts import Alternative, Character, Phone, Segment, Word
from xlsr.results.segments import TIMESTAMP_LEVELS, Timestamps, split_segments, with_timestamps
from xlsr.results.transcript import Transcript
from xlsr.results.writers import OUTPUT_FORMATS, SEGMENT_FORMATS, WORD_FORMATS, format_transcript, output_suffix

__all__ = [
    "OUTPUT_FORMATS",
    "SEGMENT_FORMATS",
    "TIMESTAMP_LEVELS",
    "WORD_FORMATS",
    "Alternative",
    "AlternativeDict",
    "AudioDict",
    "AudioInfo",
    "Character",
    "CharacterDict",
    "Phone",
    "PhoneDict",
    "Segment",
    "SegmentDict",
    "TimesDict",
    "Timestamps",
    "Transcript",
    "TranscriptDict",
    "Word",
    "WordDict",
    "format_transcript",
    "merge_channels",
    "output_suffix",
    "split_segments",
    "with_timestamps",
]
