"""The compiled loops of forced alignment: scores forward, the path backward, in little memory. Floor 2, for `viterbi`.

A frame is in a token j of 1 .. L or in the gap after one, gap 0 before the first. A gap is blank; between words it may
hold the space too, and beside a wildcard any symbol. The pass forward keeps its scores every few frames only; the pass
backward computes one stretch after the other anew, over the tokens that its path can reach, so that back-pointers are
only ever held for one stretch. Knows arrays that fit together; who calls it has checked them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Lattice(NamedTuple):
    """A recording and the tokens to find in it.

    Emissions are taken less the largest of their frame, so that the sums of hours stay near zero.

    Attributes:
        log_probs: (frames, vocab).
        top: (frames,) the largest of each frame.
        gaps: (frames, 3) emissions of each kind of gap, less `top`: blank, with a space, with a wildcard.
        kinds: (tokens + 1,) of the gap after each token.
        names: (tokens + 1,) ids; token 0 is none.
        repeated: (tokens + 1,) -inf where a token equals the one before it, which a gap must part, else 0.
    """

    log_probs: Floats
    top: Floats
    gaps: Floats
    kinds: NDArray[np.uint8]
    names: Ints
    repeated: Floats


@compiled
def search(lattice: Lattice, low: Ints, high: Ints, stride: int) -> tuple[Ints, bool]:
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
    old, come, into = gap[low : high + 1], token[low : high + 1], new_gap[low : high + 1]
    kinds, emissions = lattice.kinds[low:], lattice.gaps[frame]
    for i in range(len(into)):
        best = old[i] if old[i] > come[i] else come[i]
        into[i] = best + emissions[kinds[i]]
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
            gap[new, i] = max(token[old, i], gap[old, i]) + lattice.gaps[frame, lattice.kinds[j]]
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
