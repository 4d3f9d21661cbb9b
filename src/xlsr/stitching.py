"""Log-probabilities of overlapping windows -> stretches to decode, none of which begins or ends inside a word. Floor 2.

Two choices are made here, both where the network is most surely silent: at which frame one window's word is taken no
longer and the next one's is (`stitch`), and where a recording of any length is cut for the decoder (`cut_at_pauses`).
Knows neither audio nor text; holds a window and a stretch, however long the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

LogProbs = NDArray[np.float32]

# What lies so far from a seam counts a third as much (60 ms): farther than two windows place a token apart. A wide
# triangle prefers sparse speech to a short pause, and loses words in the tests.
_DECAY_FRAMES = 3.0
_REACH_FRAMES = 25
_DRIFT_FRAMES = 10  # no farther apart do two windows place one token


@dataclass(frozen=True)
class Stretch:
    """Log-probabilities of a part of a recording.

    Attributes:
        first_frame: index of its first frame in the whole recording.
        log_probs: (frames, vocab) float32.
    """

    first_frame: int
    log_probs: LogProbs

    @property
    def end_frame(self) -> int:
        """The frame after its last."""
        return self.first_frame + len(self.log_probs)

    def between(self, first: int, end: int) -> Stretch:
        """Its frames from `first` until before `end`, as the recording counts."""
        return Stretch(first, self.log_probs[first - self.first_frame : end - self.first_frame])


def find_seam(left: LogProbs, right: LogProbs, blank_id: int) -> int:
    """Return the frame from which on the right of two readings of the same audio is taken.

    It is the middle of a stretch in which both agree and both are sure of silence: where the frames' disagreement
    (total variation, 0 to 1) plus their chance of sound is least, the nearest frames counting most. A token that both
    heard lies on one side of it for both, though they may place it some frames apart: their best paths are matched
    token by token, and no seam lies between the two places. Only the middle half is searched, as both windows know
    little near their edges.

    Args:
        left: (frames, vocab) of the window that ends with these frames; at least one frame.
        right: (frames, vocab) of the window that begins before or with them.
        blank_id: column of the blank.
    """
    sounds = 1 - np.exp(np.minimum(left[:, blank_id], right[:, blank_id]))
    differs = 0.5 * np.abs(np.exp(left) - np.exp(right)).sum(axis=1)
    reach = min(_REACH_FRAMES, len(left) // 4)
    weights = np.exp(-np.abs(np.arange(-reach, reach + 1)) / _DECAY_FRAMES)
    cost = np.convolve(np.pad(sounds + differs, reach, mode="edge"), weights, mode="valid")
    margin = len(left) // 4
    middle = slice(margin, len(left) - margin)
    return margin + int(np.argmin(cost[middle] + 1e3 * _parted(left[middle], right[middle], blank_id)))


def _parted(left: LogProbs, right: LogProbs, blank_id: int) -> NDArray[np.bool_]:
    """Return at which frames a seam would lie between the two places of a token that both heard: (frames,)."""
    (places, tokens), (other_places, other_tokens) = _tokens(left, blank_id), _tokens(right, blank_id)
    parted = np.zeros(len(left), np.bool_)
    for match in LCSseq.opcodes(tokens, other_tokens):
        if match.tag == "equal":
            pairs = zip(places[match.src_start : match.src_end], other_places[match.dest_start :], strict=False)
            for first, last in map(sorted, pairs):
                if last - first <= _DRIFT_FRAMES:  # else they are two that only spell alike
                    parted[first + 1 : last + 1] = True
    return parted


def _tokens(log_probs: LogProbs, blank_id: int) -> tuple[list[int], list[int]]:
    """Return where the tokens of the best path begin, and their ids."""
    ids = log_probs.argmax(axis=1)
    places = np.flatnonzero((ids != blank_id) & (np.diff(ids, prepend=blank_id) != 0))
    return places.tolist(), ids[places].tolist()


def stitch(parts: Iterable[Stretch], blank_id: int) -> Iterator[Stretch]:
    """Join windows: every frame is taken from one of them, and comes out once.

    Args:
        parts: windows in order of time; one that does not reach the next leaves a gap.
        blank_id: column of the blank.

    Yields:
        Stretches in order, each adjoining the one before but for the gaps.
    """
    held: Stretch | None = None
    for part in parts:
        if held is None or part.first_frame >= held.end_frame:
            if held is not None:
                yield held
            held = part
            continue
        first = max(held.first_frame, part.first_frame)
        assert held.end_frame <= part.end_frame, "windows come in order"
        overlap = held.between(first, held.end_frame), part.between(first, held.end_frame)
        seam = first + find_seam(overlap[0].log_probs, overlap[1].log_probs, blank_id)
        if seam > held.first_frame:
            yield held.between(held.first_frame, seam)
        held = part.between(seam, part.end_frame)
    if held is not None:
        yield held


def cut_at_pauses(
    parts: Iterable[Stretch], blank_id: int, delimiter_id: int | None, *, min_frames: int = 500, max_frames: int = 1500
) -> Iterator[Stretch]:
    """Join adjoining stretches and cut them anew, in the widest pause between two words of every so many frames.

    Where the cuts fall depends on the log-probabilities alone, not on the parts they come in. The best path of the
    whole is that of the stretches one after the other.

    Args:
        parts: in order of time.
        blank_id: column of the blank.
        delimiter_id: column of the word delimiter; None: words have none, and every pause is one between words.
        min_frames: the shortest stretch, but for the last before a gap.
        max_frames: the longest.
    """
    held: Stretch | None = None
    for part in parts:
        if held is not None and part.first_frame == held.end_frame:
            held = Stretch(held.first_frame, np.concatenate([held.log_probs, part.log_probs]))
        else:
            if held is not None:
                yield held
            held = part
        while len(held.log_probs) > max_frames:
            cut = held.first_frame + min_frames
            cut += _widest_pause(held.between(cut, cut - min_frames + max_frames).log_probs, blank_id, delimiter_id)
            yield held.between(held.first_frame, cut)
            held = held.between(cut, held.end_frame)
    if held is not None:
        yield held


def _widest_pause(log_probs: LogProbs, blank_id: int, delimiter_id: int | None) -> int:
    """Return a frame in the middle of the longest pause; without any, the one that is most surely blank."""
    ids = log_probs.argmax(axis=1)  # (frames,)
    silent = (ids == blank_id) | (ids == delimiter_id)
    edges = np.flatnonzero(np.diff(silent, prepend=False, append=False))
    pauses = [
        (end - start, (start + end) // 2)
        for start, end in edges.reshape(-1, 2).tolist()
        if delimiter_id is None or (ids[start:end] == delimiter_id).any()
    ]
    return max(pauses)[1] if pauses else int(log_probs[:, blank_id].argmax())
