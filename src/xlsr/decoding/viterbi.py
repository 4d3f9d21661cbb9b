"""The likeliest path of known tokens through log-probabilities, for recordings of any length. Floor 2.

Of all CTC paths that spell the given tokens, finds the likeliest, and says which frames each token fills. Knows ids,
the blank and the wildcard; not texts, seconds or where a sound begins to be heard (`alignment`).

A frame is in a token j of 1 .. L or in the gap after one, gap 0 before the first. A gap is blank; beside a wildcard it
may be any symbol. The pass forward keeps its scores every few frames only; the pass backward computes one stretch after
the other anew, over the tokens that its path can reach, so that back-pointers are only ever held for one stretch.
Up to `EXACT_CELLS` every path is weighed. Beyond, a band of tokens is computed, around the place where the count of
symbols heard so far puts the frame, and widened until the path keeps clear of its edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled
from xlsr.decoding.hypothesis import TokenSpan
from xlsr.errors import AlignmentError

WILDCARD = -1
EXACT_CELLS = 2_000_000_000  # frames x tokens, about half an hour of speech: 3 s of one core
BAND_TOKENS = 1000  # on either side, in the first band; more than a minute of speech

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Lattice(NamedTuple):
    """What compiled code needs of a recording and its tokens.

    Emissions are taken less the largest of their frame, so that the sums of hours stay near zero.

    Attributes:
        log_probs: (frames, vocab).
        top: (frames,) the largest of each frame.
        blank: (frames,) emission of a gap.
        free: (frames,) emission of a gap beside a wildcard.
        names: (tokens + 1,) ids; token 0 is none.
        repeated: (tokens + 1,) -inf where a token equals the one before it, which a gap must part, else 0.
        is_free: (tokens + 1,) 1 where the gap after a token is beside a wildcard.
    """

    log_probs: Floats
    top: Floats
    blank: Floats
    free: Floats
    names: Ints
    repeated: Floats
    is_free: NDArray[np.uint8]


def align_ids(
    log_probs: NDArray[np.floating],
    ids: Sequence[int] | NDArray[np.integer],
    blank_id: int,
    *,
    wildcard_cost: float = 0.5,
) -> list[TokenSpan]:
    """Find the frames of each token on the likeliest path that spells them all.

    Args:
        log_probs: (frames, vocab) natural log-probabilities.
        ids: tokens in order, none of them the blank. `WILDCARD` stands for any symbols, or none.
        blank_id: column of the blank.
        wildcard_cost: nats for each frame that a wildcard takes; blank frames inside it cost nothing.

    Returns:
        A span for each id. A wildcard reaches from its first symbol to its last, its score is that of the likeliest
        symbols; one without any is empty (start = end). Neighbouring wildcards divide theirs evenly.

    Raises:
        ValueError: not two axes, ids outside the vocabulary, or a frame with NaN or without a finite value.
        AlignmentError: more tokens than the frames can hold, or every path has a token of probability zero.

    Source: Graves et al. 2006, section 4.1, with maxima in place of sums.
    """
    values = np.ascontiguousarray(log_probs, np.float32)
    labels = np.asarray(ids, np.int64)  # narrow integers would overflow in what follows
    _check(values, labels, blank_id)
    lattice = _lattice(values, labels, blank_id, wildcard_cost)
    path = _best_path(lattice, blank_id) if len(values) else np.zeros(0, np.int32)
    return _spans(lattice, labels, path)


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
    repeats = int((tokens[1:] == tokens[:-1]).sum())
    if len(tokens) + repeats > len(values):
        raise AlignmentError(
            f"{len(tokens)} tokens, {repeats} of them equal to the one before, want {len(tokens) + repeats} frames; "
            f"the recording has {len(values)}: the text is too long for it"
        )


def _lattice(values: Floats, labels: NDArray[np.int64], blank_id: int, wildcard_cost: float) -> Lattice:
    is_token = labels != WILDCARD
    names = np.zeros(int(is_token.sum()) + 1, np.int32)
    names[1:] = labels[is_token]
    repeated = np.zeros(len(names), np.float32)
    repeated[2:][names[2:] == names[1:-1]] = -np.inf
    is_free = np.zeros(len(names), np.uint8)
    is_free[np.cumsum(is_token)[~is_token]] = 1
    top = values.max(axis=1, initial=-np.inf)
    sides = (values[:, :blank_id], values[:, blank_id + 1 :])
    symbols = np.maximum(*(side.max(axis=1, initial=-np.inf) for side in sides)) - np.float32(wildcard_cost)
    blank = values[:, blank_id]
    return Lattice(values, top, blank - top, np.maximum(blank, symbols) - top, names, repeated, is_free)


def _best_path(lattice: Lattice, blank_id: int) -> Ints:
    """The state of each frame: 2 j - 1 is token j, 2 j the gap after it; (frames,), never falling."""
    frames, count = len(lattice.log_probs), len(lattice.names) - 1
    half = count if frames * count <= EXACT_CELLS else min(count, BAND_TOKENS)
    guide = _guide(lattice.log_probs, blank_id, count)
    while True:
        low, high = _band(guide, count, half)
        path, is_possible = _search(lattice, low, high, _stride(frames, int((high - low).max()) + 1))
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


def _spans(lattice: Lattice, labels: NDArray[np.int64], path: Ints) -> list[TokenSpan]:
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
    for is_wildcard, run in groupby(labels.tolist(), key=lambda label: label == WILDCARD):
        count = len(list(run))
        if is_wildcard:
            found += _share(lattice, path, done, count)
        else:
            found += [next(tokens) for _ in range(count)]
            done += count
    return found


def _share(lattice: Lattice, path: Ints, gap: int, count: int) -> list[TokenSpan]:
    """Divide what a free gap holds, from its first symbol to its last, among its wildcards."""
    first, last = np.searchsorted(path, [2 * gap, 2 * gap + 1]).tolist()
    sound = first + np.flatnonzero(lattice.free[first:last] > lattice.blank[first:last])
    start, end = (int(sound[0]), int(sound[-1]) + 1) if sound.size else (first, first)
    edges = [start + (end - start) * part // count for part in range(count + 1)]
    return [
        TokenSpan(WILDCARD, left, right, float(lattice.top[left:right].mean()) if left < right else 0.0)
        for left, right in pairwise(edges)
    ]


@compiled
def _search(lattice: Lattice, low: Ints, high: Ints, stride: int) -> tuple[Ints, bool]:
    """Find the likeliest path through the tokens low .. high of each frame; False if it has probability zero."""
    frames, count = len(lattice.top), len(lattice.names) - 1
    blocks = (frames + stride - 1) // stride
    kept = np.empty((blocks, 2, (high - low).max() + 1), np.float32)  # of tokens, of gaps
    scores = np.full((2, 2, count + 1), -np.inf, np.float32)  # before and after the frame; tokens, gaps
    scores[0, 1, 0] = 0.0  # before the first frame nothing was said, at no cost
    for frame in range(frames):
        old, new = scores[frame % 2], scores[(frame + 1) % 2]
        if frame % stride == 0:
            _keep(old, kept[frame // stride], low[frame - 1] if frame else 0, high[frame - 1] if frame else 0)
        _step(lattice, frame, old[0], old[1], new[0], new[1], low[frame], high[frame])
    path = np.zeros(frames, np.int32)
    in_token, in_gap = scores[frames % 2, 0, count], scores[frames % 2, 1, count]
    if max(in_token, in_gap) == -np.inf:
        return path, False
    path[frames - 1] = 2 * count - 1 if in_token > in_gap else 2 * count
    steps = np.empty((stride, stride + 1), np.int8)
    for block in range(blocks - 1, -1, -1):
        first = block * stride
        last = min(first + stride, frames) - 1
        _recompute(lattice, low, high, kept[block], steps, first, last, (path[last] + 1) // 2)
        _walk_back(steps, path, first, last)
    return path, True


@compiled
def _step(
    lattice: Lattice,
    frame: int,
    token: Floats,
    gap: Floats,
    new_token: Floats,
    new_gap: Floats,
    low: int,
    high: int,
) -> None:
    """Go on by one frame, in the tokens and gaps low .. high; reads those of low - 1 .. high.

    Loops run from 0 over slices, so that the compiler sees indices without a sign, and makes vectors of them.
    """
    old, come, into, is_free = (
        gap[low : high + 1],
        token[low : high + 1],
        new_gap[low : high + 1],
        lattice.is_free[low:],
    )
    blank, free = lattice.blank[frame], lattice.free[frame]
    for i in range(len(into)):
        best = old[i] if old[i] > come[i] else come[i]
        into[i] = best + (free if is_free[i] else blank)
    from_token = max(low, 1)
    into, names = new_token[from_token : high + 1], lattice.names[from_token:]
    row, top = lattice.log_probs[frame], lattice.top[frame]
    for i in range(len(into)):
        into[i] = row[names[i]] - top
    old, repeated = token[from_token : high + 1], lattice.repeated[from_token:]
    before, come = token[from_token - 1 : high], gap[from_token - 1 : high]
    for i in range(len(into)):
        best = before[i] + repeated[i]
        best = best if best > come[i] else come[i]
        into[i] += best if best > old[i] else old[i]
    if low > 0:  # what an earlier frame left there is outside the band now
        new_gap[low - 1] = -np.inf
        new_token[low - 1] = -np.inf


@compiled
def _keep(scores: Floats, kept: Floats, low: int, high: int) -> None:
    """Store the scores of low .. high, taken less the best so that they stay exact: (2, tokens + 1) -> (2, width)."""
    best = scores[:, low : high + 1].max()
    if best > -np.inf:
        scores[:, low : high + 1] -= best
    kept[:, : high + 1 - low] = scores[:, low : high + 1]


@compiled
def _recompute(
    lattice: Lattice, low: Ints, high: Ints, kept: Floats, steps: NDArray[np.int8], first: int, last: int, end: int
) -> None:
    """Compute the frames first .. last anew for the paths that end in token `end` or its gap, and note their steps.

    A path takes one token a frame at most, so that a triangle of tokens is enough. Tokens are counted from
    `end` - frames. A step is 0 (stays), 1 (from the gap before) or 2 (from the token before); 4 more where the gap
    after the token comes from it.
    """
    base = max(0, end - (last + 1 - first))
    token = np.full((2, end + 1 - base), -np.inf, np.float32)
    gap = np.full((2, end + 1 - base), -np.inf, np.float32)
    held_from, held_to = (low[first - 1], high[first - 1]) if first else (0, 0)
    for j in range(max(base, held_from), min(end, held_to) + 1):
        token[0, j - base] = kept[0, j - held_from]
        gap[0, j - base] = kept[1, j - held_from]
    for frame in range(first, last + 1):
        old, new = (frame - first) % 2, (frame - first + 1) % 2
        lowest = max(base, low[frame], end - (last - frame))
        for j in range(lowest, min(end, high[frame]) + 1):
            i = j - base
            step = 4 if token[old, i] >= gap[old, i] else 0
            gap[new, i] = (
                max(token[old, i], gap[old, i]) + (lattice.free if lattice.is_free[j] else lattice.blank)[frame]
            )
            best = token[old, i]
            if i and gap[old, i - 1] > best:
                best, step = gap[old, i - 1], step | 1
            if i and token[old, i - 1] + lattice.repeated[j] > best:
                best, step = token[old, i - 1] + lattice.repeated[j], step & 4 | 2
            if j:
                token[new, i] = best + (lattice.log_probs[frame, lattice.names[j]] - lattice.top[frame])
            steps[frame - first, i] = step
        if lowest > base:
            gap[new, lowest - base - 1] = -np.inf
            token[new, lowest - base - 1] = -np.inf


@compiled
def _walk_back(steps: NDArray[np.int8], path: Ints, first: int, last: int) -> None:
    """Fill in the states of first - 1 .. last - 1 from that of `last`."""
    state = path[last]
    base = max(0, (state + 1) // 2 - (last + 1 - first))
    for frame in range(last, first - 1, -1):
        path[frame] = state
        step = steps[frame - first, (state + 1) // 2 - base]
        state -= step & 3 if state % 2 else step >> 2
    if first:
        path[first - 1] = state
