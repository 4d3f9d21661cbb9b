"""The likeliest path of known tokens through log-probabilities, for recordings of any length. Floor 2.

Of all CTC paths that spell the given tokens, finds the likeliest, and says which frames each token fills. Knows ids,
the blank and the wildcard; not texts, seconds or where a sound begins to be heard (`alignment`).

Up to `EXACT_CELLS` every path is weighed. Beyond, a band of tokens is, around the place where the count of symbols
heard so far puts the frame; it is widened until the path keeps clear of its edges. `lattice` does the counting.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from xlsr.decoding.hypothesis import WILDCARD, TokenSpan
from xlsr.decoding.lattice import Floats, Ints, Lattice, search
from xlsr.errors import AlignmentError

WILDCARD_COST = 0.25  # of a phone model with a third of its phones wrong: see docs/alignment.md
EXACT_CELLS = 2_000_000_000  # frames x tokens, about half an hour of speech: 3 s of one core
BAND_TOKENS = 1000  # on either side, in the first band; more than a minute of speech


def align_ids(
    log_probs: NDArray[np.floating],
    ids: Sequence[int] | NDArray[np.integer],
    blank_id: int,
    *,
    space_id: int | None = None,
    wildcard_cost: float = WILDCARD_COST,
) -> list[TokenSpan]:
    """Find the frames of each token on the likeliest path that spells them all.

    Args:
        log_probs: (frames, vocab) natural log-probabilities.
        ids: tokens in order, none of them the blank. `WILDCARD` stands for any symbols, or none.
        blank_id: column of the blank.
        space_id: a symbol that may be left out where it stands in `ids`, and be heard more than once.
        wildcard_cost: nats for each frame that a wildcard takes; blank frames inside it cost nothing.

    Returns:
        A span for each id. A wildcard or space reaches from its first symbol to its last, its score is that of the
        likeliest symbols; one without any is empty (start = end). Neighbouring wildcards divide theirs evenly.

    Raises:
        ValueError: not two axes, ids outside the vocabulary, or a frame with NaN or without a finite value.
        AlignmentError: more tokens than the frames can hold, or every path has a token of probability zero.

    Source: Graves et al. 2006, section 4.1, with maxima in place of sums.
    """
    values = np.ascontiguousarray(log_probs, np.float32)
    labels = np.asarray(ids, np.int64)  # narrow integers would overflow in what follows
    _check(values, labels, blank_id)
    is_token = (labels != WILDCARD) & (labels != (WILDCARD if space_id is None else space_id))
    tokens = labels[is_token].astype(np.int32)
    _check_room(tokens, len(values))
    gap_of = np.cumsum(is_token)
    kinds = np.zeros(len(tokens) + 1, np.uint8)
    kinds[gap_of[~is_token]] = 1
    kinds[gap_of[labels == WILDCARD]] = 2
    lattice = _lattice(values, tokens, kinds, _gaps(values, blank_id, space_id, wildcard_cost))
    path = _best_path(lattice, blank_id) if len(values) else np.zeros(0, np.int32)
    return _spans(lattice, labels, is_token, path)


def _check(values: Floats, labels: NDArray[np.int64], blank_id: int) -> None:
    if values.ndim != 2 or not 0 <= blank_id < values.shape[1]:
        raise ValueError(
            f"log_probs have shape {values.shape}; wanted (frames, vocab) with a column {blank_id}, the blank"
        )
    tokens = labels[labels != WILDCARD]
    wrong = tokens[(tokens < 0) | (tokens >= values.shape[1]) | (tokens == blank_id)]
    if wrong.size:
        raise ValueError(f"id {wrong[0]} cannot be aligned; wanted columns of {values.shape[1]} but for {blank_id}")
    broken = int((~np.isfinite(values.max(axis=1, initial=-np.inf))).sum())
    if broken:
        raise ValueError(f"log_probs are NaN, or all infinite, in {broken} of {len(values)} frames")


def _check_room(tokens: Ints, frames: int) -> None:
    repeats = int((tokens[1:] == tokens[:-1]).sum())
    if len(tokens) + repeats > frames:
        raise AlignmentError(
            f"{len(tokens)} tokens, {repeats} of them equal to the one before, want {len(tokens) + repeats} frames; "
            f"the recording has {frames}: the text is too long for it"
        )


def _gaps(values: Floats, blank_id: int, space_id: int | None, wildcard_cost: float) -> Floats:
    """What each kind of gap emits: blank; blank or space; blank, space or any symbol at a cost. (frames, 3)."""
    gaps = np.repeat(values[:, [blank_id]], 3, axis=1)
    if space_id is not None:
        gaps[:, 1] = np.maximum(gaps[:, 0], values[:, space_id])
    sides = (values[:, :blank_id], values[:, blank_id + 1 :])
    symbols = np.maximum(*(side.max(axis=1, initial=-np.inf) for side in sides))
    gaps[:, 2] = np.maximum(gaps[:, 1], symbols - np.float32(wildcard_cost))
    return gaps


def _lattice(values: Floats, tokens: Ints, kinds: NDArray[np.uint8], gaps: Floats) -> Lattice:
    names = np.zeros(len(tokens) + 1, np.int32)
    names[1:] = tokens
    repeated = np.zeros(len(names), np.float32)
    repeated[2:][tokens[1:] == tokens[:-1]] = -np.inf
    top = values.max(axis=1, initial=-np.inf)
    return Lattice(values, top, gaps - top[:, None], kinds, names, repeated)


def _best_path(lattice: Lattice, blank_id: int) -> Ints:
    """The state of each frame: 2 j - 1 is token j, 2 j the gap after it; (frames,), never falling."""
    frames, count = len(lattice.log_probs), len(lattice.names) - 1
    half = count if frames * count <= EXACT_CELLS else min(count, BAND_TOKENS)
    guide = _guide(lattice.log_probs, blank_id, count)
    while True:
        low, high = _band(guide, count, half)
        path, is_possible = search(lattice, low, high, _stride(frames, int((high - low).max()) + 1))
        if half >= count or (is_possible and not _touches(path, low, high, count, half // 2)):
            break
        half = min(2 * half, count)
    if not is_possible:
        raise AlignmentError("no path has a probability above zero: some token has none in all of its frames")
    return path


def _guide(values: Floats, blank_id: int, count: int) -> NDArray[np.float64]:
    """How many tokens each frame would have behind it, if the symbols of the best path were all of them: (frames,)."""
    best = values.argmax(axis=1)
    heard = np.cumsum((best != blank_id) & (np.diff(best, prepend=blank_id) != 0))
    place: NDArray[np.float64] = heard * (count / max(int(heard[-1]), 1))
    return place


def _band(guide: NDArray[np.float64], count: int, half: int) -> tuple[Ints, Ints]:
    """First and last token to compute in each frame, both never falling: (frames,) each."""
    first, last = _reach(len(guide), count)
    low = np.maximum(np.floor(guide) - half, first).clip(0, count)
    high = np.minimum(np.ceil(guide) + half, last).clip(low, count)
    return low.astype(np.int32), high.astype(np.int32)


def _reach(frames: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last token that a path can be at, which takes one a frame at most: (frames,) each."""
    frame = np.arange(frames)
    return np.maximum(count - (frames - 1 - frame), 0), np.minimum(frame + 1, count)


def _touches(path: Ints, low: Ints, high: Ints, count: int, margin: int) -> bool:
    """Whether the path comes near an edge behind which there are tokens that it could reach."""
    token = (path + 1) // 2
    first, last = _reach(len(path), count)
    return bool((((token - low < margin) & (low > first)) | ((high - token < margin) & (high < last))).any())


def _stride(frames: int, width: int) -> int:
    """Frames between kept scores: memory of (frames x width)^(2/3), and little to compute anew."""
    return max(8, min(round(math.cbrt(frames * width)), width // 4))


def _spans(lattice: Lattice, labels: NDArray[np.int64], is_token: NDArray[np.bool_], path: Ints) -> list[TokenSpan]:
    """Read the frames of each label off the path."""
    frames, states = np.arange(len(path)), np.arange(1, 2 * len(lattice.names) - 1, 2)
    starts, ends = np.searchsorted(path, states, "left"), np.searchsorted(path, states, "right")
    # Frames of gaps are summed too, under any name: they are subtracted again.
    sums = np.cumsum(lattice.log_probs[frames, lattice.names[(path + 1) // 2]], dtype=np.float64)
    sums = np.concatenate(([0.0], sums))
    means = (sums[ends] - sums[starts]) / (ends - starts)
    tokens = map(TokenSpan, lattice.names[1:].tolist(), starts.tolist(), ends.tolist(), means.tolist())
    found: list[TokenSpan] = []
    done = 0
    for are_tokens, run in groupby(zip(labels.tolist(), is_token.tolist(), strict=True), key=itemgetter(1)):
        names = [label for label, _ in run]
        if are_tokens:
            found += [next(tokens) for _ in names]
            done += len(names)
        else:
            found += _in_gap(lattice, path, done, names)
    return found


def _in_gap(lattice: Lattice, path: Ints, gap: int, names: list[int]) -> list[TokenSpan]:
    """Divide what a gap holds, from its first symbol to its last, among its wildcards; without any, a space has it."""
    first, last = np.searchsorted(path, [2 * gap, 2 * gap + 1]).tolist()
    held, kind = lattice.gaps[first:last], int(lattice.kinds[gap])
    sound = first + np.flatnonzero(held[:, kind] > held[:, kind - 1])  # a wildcard leaves blanks and spaces aside
    start, end = (int(sound[0]), int(sound[-1]) + 1) if sound.size else (first, first)
    takers = [place for place, name in enumerate(names) if name == WILDCARD] or [0]
    taken = [bisect_left(takers, place) for place in range(len(names) + 1)]  # shares of those before
    edges = [start + (end - start) * shares // len(takers) for shares in taken]
    return [
        TokenSpan(name, left, right, float(lattice.top[left:right].mean()) if left < right else 0.0)
        for name, (left, right) in zip(names, pairwise(edges), strict=True)
    ]
