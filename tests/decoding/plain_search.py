"""Prefix beam search in plain Python, as the papers tell it: the oracle of the compiled one where beams are narrow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Prefix = tuple[int, ...]
MINUS = -math.inf


def add(a: float, b: float) -> float:
    return max(a, b) if MINUS in (a, b) else float(np.logaddexp(a, b))


def plain_search(
    log_probs: np.ndarray, blank: int, beam_size: int, bonus: Callable[[Prefix], float], end: Callable[[Prefix], float]
) -> list[tuple[float, Prefix]]:
    """Return scores and prefixes, best first.

    Args:
        log_probs: (frames, vocab).
        blank: its column.
        beam_size: prefixes kept in a frame.
        bonus: what is added to the log-probability of a prefix.
        end: what is added to that of a whole hypothesis instead.
    """
    beams: dict[Prefix, tuple[float, float]] = {(): (0.0, MINUS)}  # paths that end in a blank, in the last token
    for row in log_probs.astype(float):
        found: dict[Prefix, tuple[float, float]] = {}
        for prefix, (silent, spoken) in beams.items():
            for token, emission in enumerate(row):
                if token == blank:
                    longer, paths = prefix, (add(silent, spoken) + emission, MINUS)
                elif prefix and token == prefix[-1]:
                    before = found.get(prefix, (MINUS, MINUS))
                    found[prefix] = (before[0], add(before[1], spoken + emission))
                    longer, paths = (*prefix, token), (MINUS, silent + emission)
                else:
                    longer, paths = (*prefix, token), (MINUS, add(silent, spoken) + emission)
                before = found.get(longer, (MINUS, MINUS))
                found[longer] = (add(before[0], paths[0]), add(before[1], paths[1]))
        ranked = sorted(found, key=lambda prefix: add(*found[prefix]) + bonus(prefix), reverse=True)
        beams = {prefix: found[prefix] for prefix in ranked[:beam_size]}
    return sorted(((add(*paths) + end(prefix), prefix) for prefix, paths in beams.items()), reverse=True)
