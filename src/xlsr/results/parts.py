"""The parts of a transcript: segments, words, phones and characters, in seconds. Floor 1.

Plain frozen data, and nothing of files, audio or models.
"""

from __future__ import annotations

from dataclasses import dataclass


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
        channel: of the recording, from 1, where its channels were transcribed apart.
    """

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    words: tuple[Word, ...] = ()
    phones: tuple[Phone, ...] = ()
    channel: int | None = None


@dataclass(frozen=True)
class Alternative:
    """One of the best readings of a recording, as a beam search ranks them.

    Attributes:
        text: all of it.
        score: what it is ranked by, in nats; the higher, the better.
        acoustic_score: the network's part of it.
        lm_score: the language model's part; the rest are the scores of words and hotwords.
    """

    text: str
    score: float
    acoustic_score: float
    lm_score: float
