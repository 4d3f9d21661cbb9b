"""Words to segments, and transcripts to the depth of times that was asked for. Floor 1.

Knows pauses and lengths; no decoder and no files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

from xlsr.results.parts import Phone, Segment, Word
from xlsr.results.transcript import Transcript

Timestamps = Literal["none", "segment", "word", "char", "phone"]
TIMESTAMP_LEVELS: tuple[str, ...] = get_args(Timestamps)


def split_segments(
    words: Sequence[Word],
    *,
    max_gap_seconds: float = 1.5,
    max_seconds: float = 12.0,
    are_phones: bool = False,
    joiner: str = " ",
) -> tuple[Segment, ...]:
    """Cut words into segments at pauses, and wherever a segment would grow too long.

    Args:
        words: in order of time.
        max_gap_seconds: a longer pause between two words ends a segment.
        max_seconds: a segment is longer only if one word is.
        are_phones: each word is a phone; they become the `phones` of the segments.
        joiner: between two words of a text; empty for scripts without spaces.
    """
    groups: list[list[Word]] = []
    for word in words:
        last = groups[-1] if groups else None
        if last and word.start - last[-1].end <= max_gap_seconds and word.end - last[0].start <= max_seconds:
            last.append(word)
        else:
            groups.append([word])
    return tuple(_segment_of(index, group, joiner, are_phones=are_phones) for index, group in enumerate(groups))


def _segment_of(index: int, words: Sequence[Word], joiner: str, *, are_phones: bool) -> Segment:
    return Segment(
        id=index,
        start=words[0].start,
        end=max(word.end for word in words),
        text=joiner.join(word.text for word in words),
        avg_logprob=_avg_logprob(words),
        words=() if are_phones else tuple(words),
        phones=tuple(Phone(word.text, word.start, word.end, word.score) for word in words) if are_phones else (),
    )


def _avg_logprob(words: Sequence[Word]) -> float | None:
    """Return the mean log-probability of the words' tokens; a token's is taken as -23 (1e-10) at least.

    A character without a score has its word's. Where characters have their own these count: a calibrated word's score
    is no longer the mean of its characters'.
    """
    scores = [
        word.score if token.score is None else token.score for word in words for token in word.characters or (word,)
    ]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return None
    return sum(math.log(max(score, 1e-10)) for score in known) / len(known)


def with_timestamps(transcript: Transcript, level: Timestamps) -> Transcript:
    """Drop the times below a level.

    Args:
        transcript: with all that is known.
        level: `none` (the text only), `segment`, `word` (words, or else phones), `char` (all: words, characters and
            phones), or `phone` (words and phones).

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
        has_phones = level == "phone" or (level == "word" and not segment.words)  # of a phone model they are the words
        return replace(segment, words=words, phones=segment.phones if has_phones else ())

    return replace(transcript, segments=tuple(map(shallow, transcript.segments)))
