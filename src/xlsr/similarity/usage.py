"""Counts of codebook entries by language -> how many are in use, and how alike two languages use them.

Each codebook is compared by itself and the divergences are averaged. The product of two codebooks of 320 has 102,400
cells, of which five minutes of speech, 15,000 frames, can fill a seventh at most: over the product, two halves of one
language look as different as two languages. Over one codebook each entry is seen some fifty times.

Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991). The question is that
of XLSR, arXiv 2006.13979, which clusters languages by how often they use each shared unit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def perplexities(counts: Counts) -> Floats:
    """(..., entries) -> (...): two to the entropy in bits, the entries that would be as varied if used alike.

    0 where nothing was counted.
    """
    found: Floats = np.where(counts.sum(axis=-1) > 0, np.exp2(_entropies(_shares(counts))), 0.0)
    return found


def entries_used(counts: Counts) -> Floats:
    """(..., groups, entries) -> (...): the share of all entries that occur at least once."""
    used: Floats = (counts > 0).mean(axis=(-2, -1))
    return used


def divergences(counts: Counts) -> Floats:
    """Return the Jensen-Shannon divergence of each pair of languages, in bits, averaged over the groups.

    Args:
        counts: (languages, groups, entries), how often each entry was used.

    Returns:
        (languages, languages) in [0, 1]: 0 for the same distribution, 1 where no entry is shared. One minus it is
        called similarity.

    Raises:
        ValueError: a language has no counts in a group.
    """
    if not counts.sum(axis=-1).all():
        raise ValueError("a language without counts has no distribution to compare: leave it out")
    shares = _shares(counts)
    entropies = _entropies(shares)
    rows = []
    for one, entropy in zip(shares, entropies, strict=True):  # row by row: the memory of one language against all
        mixed = _entropies((shares + one) / 2)
        rows.append((mixed - (entropies + entropy) / 2).mean(axis=-1))
    found = np.clip(np.stack(rows), 0.0, 1.0)  # rounding only: divergences lie within
    np.fill_diagonal(found, 0.0)
    symmetric: Floats = (found + found.T) / 2
    return symmetric


def distances(divergence: Floats) -> Floats:
    """The roots of divergences, which are distances in a Euclidean space (Endres & Schindelin, 2003)."""
    roots: Floats = np.sqrt(divergence)
    return roots


def _shares(counts: Counts) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares


def _entropies(shares: Floats) -> Floats:
    """(..., entries) -> (...), bits."""
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    entropies: Floats = -(shares * logs).sum(axis=-1)
    return entropies
