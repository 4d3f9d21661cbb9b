"""The likeliest path of known tokens through log-probabilities, for recordings of any length. Floor 2.

Of all CTC paths that spell the given tokens, finds the likeliest, and says which frames each token fills. Knows ids,
the blank and the wildcard; not texts, seconds or what a boundary sounds like (`alignment`).

The states of a frame are the tokens 1 .. L and the gaps 0 .. L after each of them (gap 0 is before the first). A gap is
blank; next to a wildcard it may hold any symbol. The pass forward keeps its scores every few frames only; the pass
backward computes one stretch anew, over the tokens that its path can reach. That makes memory grow with
(frames x tokens)^(2/3), so that no back-pointers of the whole are ever stored. Beyond `EXACT_CELLS` only a band of tokens
is computed, around the place where the count of symbols heard so far would have it, and widened until the path keeps
clear of its edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled
from xlsr.decoding.hypothesis import TokenSpan
from xlsr.errors import AlignmentError

WILDCARD = -1
EXACT_CELLS = 4_000_000_000  # frames x tokens; above them a band
BAND_TOKENS = 1000  # half the width of the first band

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def align_ids(
    log_probs: NDArray[np.floating], ids: Sequence[int] | NDArray[np.integer], blank_id: int, *,
    wildcard_cost: float = 0.5, exact_cells: int = EXACT_CELLS,
) -> list[TokenSpan]:  # fmt: skip
    """Find the frames of each token on the likeliest path that spells them all.

    Args:
        log_probs: (frames, vocab) natural log-probabilities.
        ids: tokens in order, none of them the blank; equal neighbours get a blank between them. `WILDCARD` stands for
            anything or nothing: frames that no token explains.
        blank_id: column of the blank.
        wildcard_cost: nats that a frame of the likeliest symbol costs inside a wildcard; blank frames cost nothing.
        exact_cells: frames x tokens from which on the search is banded.

    Returns:
        A span for each id; a wildcard's score is the mean of the likeliest symbols' log-probabilities, and one that
        took nothing is empty (start = end). Wildcards without a token between them share theirs evenly.

    Raises:
        ValueError: not two axes, ids outside the vocabulary, or NaN among the values.
        AlignmentError: more tokens than frames can hold, or no path with a probability above zero.

    Source: Graves et al. 2006, section 4.1, with maxima in place of sums.
    """
    values = np.ascontiguousarray(log_probs, np.float32)
    labels = np.asarray(ids, np.int64)  # narrow integers would overflow below
    _check(values, labels, blank_id)
    if not len(labels):
        return []
    tokens = labels[labels != WILDCARD].astype(np.int32)
    is_free = np.zeros(len(tokens) + 1, np.uint8)
    is_free[np.cumsum(labels != WILDCARD)[labels == WILDCARD]] = 1
    rows = _Rows(values, blank_id, wildcard_cost)
    path = _best_path(rows, tokens, is_free, exact_cells)  # (frames,): 2 j - 1 is token j, 2 j gap j
    return _spans(rows, labels, tokens, path)


class _Rows:
    """Emissions: each row less its largest value, so that sums over hours stay near zero."""

    def __init__(self, values: Floats, blank_id: int, wildcard_cost: float) -> None:
        self.values, self.blank_id = values, blank_id
        top = values.max(axis=1)
        self.top = top
        self.blank = values[:, blank_id] - top
        others = np.delete(values, blank_id, axis=1).max(axis=1, initial=-np.inf)
        self.others = others - top  # the likeliest symbol that is not the blank
        self.free = np.maximum(self.blank, self.others - np.float32(wildcard_cost))
        self.is_sound = self.free > self.blank


def _check(values: Floats, labels: NDArray[np.int64], blank_id: int) -> None:
    if values.ndim != 2 or not 0 <= blank_id < values.shape[1]:
        raise ValueError(
            f"log_probs have shape {values.shape}; wanted (frames, vocab) with a column {blank_id}, the blank"
        )
    tokens = labels[labels != WILDCARD]
    wrong = tokens[(tokens < 0) | (tokens >= values.shape[1]) | (tokens == blank_id)]
    if wrong.size:
        raise ValueError(
            f"id {wrong[0]} cannot be aligned; wanted ids of the {values.shape[1]} columns other than {blank_id}, the blank"
        )
    top = values.max(axis=1, initial=-np.inf)
    if not np.isfinite(top).all():
        raise ValueError(f"log_probs are NaN or infinite in {int((~np.isfinite(top)).sum())} of {len(top)} frames")
    repeats = int((tokens[1:] == tokens[:-1]).sum())
    if len(tokens) + repeats > len(values):
        raise AlignmentError(
            f"{len(tokens)} tokens, {repeats} of them after an equal one, want {len(tokens) + repeats} frames at least; "
            f"the recording has {len(values)}: the text is too long for it"
        )


def _best_path(rows: _Rows, tokens: Ints, is_free: NDArray[np.uint8], exact_cells: int) -> Ints:
    frames, count = len(rows.values), len(tokens)
    half = count if frames * count <= exact_cells else min(count, BAND_TOKENS)
    guide = _guide(rows, count)
    while True:
        low, high = _band(guide, frames, count, half)
        stride = _stride(frames, int((high - low).max()) + 1)
        path, is_possible = _search(rows.values, rows.top, rows.blank, rows.free, tokens, is_free, low, high, stride)
        if half >= count:
            break
        if is_possible and not _touches(path, low, high, count, half // 2):
            break
        half = min(2 * half, count)
    if not is_possible:
        raise AlignmentError("no path has a probability above zero: some token is impossible where it would have to be")
    return path


def _stride(frames: int, width: int) -> int:
    """Frames between kept scores: little memory, and little time to compute a stretch anew."""
    return max(8, min(round((frames * width) ** (1 / 3)), width // 4))


def _guide(rows: _Rows, count: int) -> NDArray[np.float64]:
    """Where in the tokens each frame would be, if the symbols heard so far were all of them: (frames,)."""
    best = rows.values.argmax(axis=1)
    heard = np.cumsum((best != rows.blank_id) & (np.diff(best, prepend=rows.blank_id) != 0))
    place: NDArray[np.float64] = heard * (count / max(int(heard[-1]), 1))
    return place


def _band(guide: NDArray[np.float64], frames: int, count: int, half: int) -> tuple[Ints, Ints]:
    """First and last token of each frame, both never falling: (frames,) each."""
    frame = np.arange(frames)
    # No more tokens than frames have passed, and no fewer than leaves the rest to those to come.
    low = np.maximum(np.floor(guide) - half, count - (frames - 1 - frame))
    high = np.minimum(np.ceil(guide) + half, frame + 1)
    low, high = np.clip(low, 0, count), np.clip(high, 0, count)
    high = np.maximum(high, low)
    return low.astype(np.int32), high.astype(np.int32)


def _touches(path: Ints, low: Ints, high: Ints, count: int, margin: int) -> bool:
    """Whether the path comes near an edge of the band that is not an end of the tokens."""
    token = (path + 1) // 2
    frame = np.arange(len(path))
    near_low = (token - low < margin) & (low > 0) & (low > count - (len(path) - 1 - frame))
    near_high = (high - token < margin) & (high < count) & (high < frame + 1)
    return bool((near_low | near_high).any())


def _spans(rows: _Rows, labels: NDArray[np.int64], tokens: Ints, path: Ints) -> list[TokenSpan]:
    """Read the frames of each label off the path."""
    frames = np.arange(len(path))
    held = np.where(path % 2 == 1, (path + 1) // 2, 0)  # (frames,): the token, or 0
    # Token j begins where the path first reaches state 2 j - 1.
    starts = np.searchsorted(path, 2 * np.arange(1, len(tokens) + 1) - 1, side="left")
    ends = np.searchsorted(path, 2 * np.arange(1, len(tokens) + 1) - 1, side="right")
    column = np.where(held > 0, tokens[np.maximum(held, 1) - 1] if len(tokens) else 0, rows.blank_id)
    sums = np.concatenate(([0.0], np.cumsum(rows.values[frames, column], dtype=np.float64)))
    means = (sums[ends] - sums[starts]) / np.maximum(ends - starts, 1)
    found: list[TokenSpan] = []
    gap = 0
    place = 0
    while place < len(labels):
        if labels[place] != WILDCARD:
            found.append(TokenSpan(int(labels[place]), int(starts[gap]), int(ends[gap]), float(means[gap])))
            gap, place = gap + 1, place + 1
            continue
        upto = place
        while upto < len(labels) and labels[upto] == WILDCARD:
            upto += 1
        found += _share(rows, path, gap, upto - place)
        place = upto
    return found


def _share(rows: _Rows, path: Ints, gap: int, count: int) -> list[TokenSpan]:
    """Divide what a free gap holds, from its first sound to its last, among its wildcards."""
    first, last = np.searchsorted(path, [2 * gap, 2 * gap + 1])
    sound = first + np.flatnonzero(rows.is_sound[first:last])
    if not sound.size:
        return [TokenSpan(WILDCARD, int(first), int(first), 0.0)] * count
    edges = np.linspace(sound[0], sound[-1] + 1, count + 1).round().astype(int).tolist()
    spans = []
    for start, end in zip(edges, edges[1:], strict=False):
        inside = rows.values[start:end].max(axis=1)
        spans.append(TokenSpan(WILDCARD, start, end, float(inside.mean()) if inside.size else 0.0))
    return spans


@compiled
def _step(
    emissions: Floats, top: float, blank: float, free: float, tokens: Ints, repeated: Floats, is_free: NDArray[np.uint8],
    token: Floats, gap: Floats, new_token: Floats, new_gap: Floats, low: int, high: int,
) -> None:  # fmt: skip
    """One frame for the tokens and gaps low .. high; index 0 is no token. Reads low - 1 .. high of the frame before."""
    for j in range(low, high + 1):
        stay, come = gap[j], token[j]
        best = stay if stay > come else come
        new_gap[j] = best + (free if is_free[j] else blank)
    for j in range(max(low, 1), high + 1):
        best = token[j]
        come = gap[j - 1]
        best = best if best > come else come
        come = token[j - 1] + repeated[j]
        best = best if best > come else come
        new_token[j] = best + (emissions[tokens[j]] - top)
    if low > 0:
        new_gap[low - 1] = -np.inf
        new_token[low - 1] = -np.inf


@compiled
def _search(
    values: Floats, top: Floats, blank: Floats, free: Floats, tokens: Ints, is_free: NDArray[np.uint8],
    low: Ints, high: Ints, stride: int,
) -> tuple[Ints, bool]:  # fmt: skip
    """Find the likeliest path inside a band.

    Args:
        values: (frames, vocab) log-probabilities.
        top: (frames,) largest value of each row.
        blank: (frames,) emission of a gap, less `top`.
        free: (frames,) emission of a gap beside a wildcard, less `top`.
        tokens: (tokens,) ids.
        is_free: (tokens + 1,) whether a gap is beside a wildcard.
        low: (frames,) first token of the band, never falling.
        high: (frames,) last token of the band, never falling.
        stride: frames between kept scores.

    Returns:
        (frames,) states: 2 j - 1 is token j, 2 j the gap after it; and whether the path is possible at all.
    """
    frames, count = len(values), len(tokens)
    names = np.zeros(count + 1, np.int32)  # index 0 is no token
    names[1:] = tokens
    repeated = np.zeros(count + 1, np.float32)
    for j in range(2, count + 1):
        if tokens[j - 1] == tokens[j - 2]:
            repeated[j] = -np.inf
    blocks = (frames + stride - 1) // stride
    kept = np.empty((blocks, 2, (high - low).max() + 1), np.float32)  # of tokens, of gaps
    scores = np.full((2, 2, count + 1), -np.inf, np.float32)  # even and odd frames; tokens, gaps
    scores[0, 1, 0] = 0.0  # before the first frame nothing was said, at no cost
    for frame in range(frames):
        old, new = scores[frame % 2], scores[(frame + 1) % 2]
        if frame % stride == 0:
            _keep(old, kept[frame // stride], low[max(frame - 1, 0)], high[frame - 1] if frame else 0)
        _step(
            values[frame], top[frame], blank[frame], free[frame], names, repeated, is_free,
            old[0], old[1], new[0], new[1], low[frame], high[frame],
        )  # fmt: skip
    path = np.zeros(frames, np.int32)
    at_token, at_gap = scores[frames % 2, 0, count], scores[frames % 2, 1, count]
    if max(at_token, at_gap) == -np.inf:
        return path, False
    path[frames - 1] = 2 * count - 1 if at_token > at_gap else 2 * count
    steps = np.empty((stride, stride + 1), np.uint8)
    for block in range(blocks - 1, -1, -1):
        first, end = block * stride, min((block + 1) * stride, frames)
        held_from = low[first - 1] if first else 0
        held_to = high[first - 1] if first else 0
        _retrace(
            values, top, blank, free, names, repeated, is_free, low, high,
            kept[block], held_from, held_to, steps, path, first, end,
        )  # fmt: skip
    return path, True


@compiled
def _keep(scores: Floats, kept: Floats, low: int, high: int) -> None:
    """Store the scores of low .. high, less the best of them so that they stay exact: (2, tokens + 1) -> (2, width)."""
    best = np.float32(-np.inf)
    for kind in range(2):
        for j in range(low, high + 1):
            best = max(best, scores[kind, j])
    for kind in range(2):
        for j in range(low, high + 1):
            if best > -np.inf:
                scores[kind, j] -= best
            kept[kind, j - low] = scores[kind, j]


@compiled
def _retrace(
    values: Floats, top: Floats, blank: Floats, free: Floats, names: Ints, repeated: Floats, is_free: NDArray[np.uint8],
    low: Ints, high: Ints, kept: Floats, held_from: int, held_to: int, steps: NDArray[np.uint8],
    path: Ints, first: int, end: int,
) -> None:  # fmt: skip
    """Compute the frames first .. end - 1 anew, with back-pointers, and fill in the path that ends in path[end - 1].

    The path goes back one token a frame at most, so only a triangle of tokens can lie on it. A step is 0 (stay), 1 (from
    the gap before) or 2 (from the token before) of a token, and 4 more where its gap comes from the token.
    """
    last = (path[end - 1] + 1) // 2
    base = max(0, last - (end - first))
    size = last - base + 1
    token = np.full((2, size), -np.inf, np.float32)
    gap = np.full((2, size), -np.inf, np.float32)
    for j in range(max(base, held_from), min(last, held_to) + 1):
        token[0, j - base] = kept[0, j - held_from]
        gap[0, j - base] = kept[1, j - held_from]
    for frame in range(first, end):
        old, new = (frame - first) % 2, (frame - first + 1) % 2
        lowest = max(base, low[frame], last - (end - 1 - frame))
        for j in range(lowest, min(last, high[frame]) + 1):
            i = j - base
            emission = free[frame] if is_free[j] else blank[frame]
            step = 4 if token[old, i] >= gap[old, i] else 0
            new_gap = max(gap[old, i], token[old, i]) + emission
            best = token[old, i]
            if i > 0 and gap[old, i - 1] > best:
                best, step = gap[old, i - 1], step + 1
            if i > 0 and token[old, i - 1] + repeated[j] > best:
                best, step = token[old, i - 1] + repeated[j], step // 4 * 4 + 2
            gap[new, i] = new_gap
            token[new, i] = best + (values[frame, names[j]] - top[frame]) if j else best
            steps[frame - first, i] = step
        if lowest > base:
            gap[new, lowest - base - 1] = -np.inf
            token[new, lowest - base - 1] = -np.inf
    state = path[end - 1]
    for frame in range(end - 1, first - 1, -1):
        path[frame] = state
        j = (state + 1) // 2
        step = steps[frame - first, j - base]
        if state % 2 == 0:
            state = state - 1 if step & 4 else state
        else:
            state -= step & 3
    if first:
        path[first - 1] = state
