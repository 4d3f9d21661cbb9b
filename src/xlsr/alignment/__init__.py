"""A known text and its recording: when each word, character and phone is said. Floor 3; in place of decoding.

    spelling.py     text -> the symbols that the model would have to hear, and which written characters they stand for
    numbers.py      digits -> words
    boundaries.py   the frames of symbols -> where each sound begins and ends
    text.py         all of it: log-probabilities and a text -> segments with times

The path itself is `decoding.viterbi`. Knows no network and no files; `Recognizer.align` has those.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xlsr.alignment.boundaries import Levels, frame_levels, sounding
from xlsr.alignment.numbers import known_language
from xlsr.alignment.text import align_text, doubtful
from xlsr.decoding.hypothesis import TokenSpan

__all__ = ["Levels", "align_text", "doubtful", "forced_align", "frame_levels", "known_language", "sounding"]


def forced_align(
    log_probs: NDArray[np.floating],
    ids: Sequence[int] | NDArray[np.integer],
    blank_id: int = 0,
    *,
    space_id: int | None = None,
) -> list[TokenSpan]:
    """Find the frames of each token on the likeliest CTC path that spells them all.

    Args:
        log_probs: (frames, vocab) natural log-probabilities, as `Recognizer.log_probs` gives them.
        ids: tokens in order, none of them the blank; -1 stands for any symbols, or none.
        blank_id: column of the blank.
        space_id: a symbol that may be left out where it stands in `ids`, and be heard more than once.

    Returns:
        A span for each id: its first frame, the frame after its last, and its mean log-probability. Frames are 20 ms
        apart. Spaces and wildcards that nothing was found for are empty.

    Raises:
        ValueError: shapes or ids that cannot be, or frames without numbers.
        AlignmentError: more tokens than the frames can hold, or every path has a token of probability zero.
    """
    from xlsr.decoding.viterbi import align_ids  # numba, which takes a third of a second to load

    return align_ids(log_probs, ids, blank_id, space_id=space_id)
