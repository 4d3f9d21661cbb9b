"""Leave out the n-grams that change a model least: relative entropy pruning. Knows probabilities, no texts.

How often a history comes is taken from the counts, not from the model: the lower orders of a Kneser-Ney model tell how
many words come before, and would misjudge it (Chelba et al. 2010). An n-gram stays where a longer one that stays begins
or ends with it; lower orders are therefore judged after the higher ones.

Sources: Stolcke 1998, equations 3 to 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from xlsr.decoding.ngram.estimate import Float64, Grams

_TINY = 1e-12  # of the mass that backing off has; below it is rounding


def prune_by_entropy(grams: Sequence[Grams], threshold: float, tokens: int) -> list[Grams]:
    """Return the n-grams whose loss would raise the perplexity by at least the threshold, with new back-off weights.

    Args:
        grams: of orders 1, 2, …; what an n-gram begins and ends with is among them. Words are always kept.
        threshold: relative increase of the perplexity, such as 1e-8.
        tokens: words of the text, ends of sentences among them.
    """
    kept = [np.ones(len(grams[0].prob), bool)]
    needed = np.zeros(len(grams[-1].prob), bool)
    for below, here in zip(grams[-2::-1], grams[:0:-1], strict=True):
        keep = needed | (_increase(below, here, tokens) >= threshold)
        kept.insert(1, keep)
        needed = np.zeros(len(below.prob), bool)
        needed[here.context[keep]] = True
        needed[here.suffix[keep]] = True
    pruned = [grams[0]]
    for (below_kept, here_kept), here in zip(pairwise(kept), grams[1:], strict=True):
        rows = (np.cumsum(below_kept) - 1).astype(np.int32)
        left = here.select(here_kept)
        left = replace(left, suffix=rows[left.suffix], context=rows[left.context])
        free, low_free = _free(pruned[-1], left)
        pruned[-1] = replace(pruned[-1], backoff=free / low_free)
        pruned.append(left)
    return pruned


def _increase(below: Grams, here: Grams, tokens: int) -> Float64:
    """Return (n,), the relative increase of the perplexity by the loss of each n-gram alone."""
    free, low_free = (of_all[here.context] for of_all in _free(below, here))
    prob, low = here.prob, below.prob[here.suffix]
    weight, new_weight = np.log(free / low_free), np.log((free + prob) / (low_free + low))
    change = prob * (np.log(low / prob) + new_weight) + free * (new_weight - weight)
    history = below.count[here.context] / tokens
    increase: Float64 = np.expm1(-history * change)
    return increase


def _free(below: Grams, here: Grams) -> tuple[Float64, Float64]:
    """Return what every history leaves to backing off, and what the words that are backed off to have below it."""
    taken = np.bincount(here.context, here.prob, len(below.prob))
    low = np.bincount(here.context, below.prob[here.suffix], len(below.prob))
    return np.maximum(1 - taken, _TINY), np.maximum(1 - low, _TINY)
