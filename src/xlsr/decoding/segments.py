"""Words as they are decoded -> segments, each as soon as it is complete. Floor 2.

The rule that cuts is `results.split_segments`; here it meets words that are still coming. Knows no log-probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from xlsr.results import Segment, Timestamps, Transcript, Word, split_segments, with_timestamps


def complete_segments(
    words: Iterable[list[Word]], timestamps: Timestamps, *, are_phones: bool, joiner: str = " "
) -> Iterator[Segment]:
    """Yield the segments that `split_segments` makes of all the words, each once the word after it has come.

    Args:
        words: in order of time, some at once.
        timestamps: how deep the times go; "none" counts as "segment".
        are_phones: each word is a phone.
        joiner: between two words of a text.
    """
    level: Timestamps = "segment" if timestamps == "none" else timestamps
    held: list[Word] = []
    count = 0
    for more in chain(words, [None]):
        held += more or []
        segments = split_segments(held, are_phones=are_phones, joiner=joiner)
        for segment in segments if more is None else segments[:-1]:
            held = held[len(segment.words or segment.phones) :]
            numbered = replace(segment, id=count)
            count += 1
            yield from with_timestamps(Transcript(segment.text, segments=(numbered,)), level).segments
