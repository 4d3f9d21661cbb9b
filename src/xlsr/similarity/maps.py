"""Distances -> a tree of clusters, the order of its leaves, and a plane. Knows not what the points are.

Source: average linkage (UPGMA), Sokal & Michener 1958; classical scaling, Torgerson 1952.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Merge:
    """Two clusters that become one.

    Points are clusters 0 to n - 1; the first merge makes cluster n, the next n + 1, and so on.

    Attributes:
        left: the cluster with the smaller number.
        right: the other.
        distance: mean distance of a point of one from a point of the other.
    """

    left: int
    right: int
    distance: float


def cluster(distances: Floats) -> tuple[Merge, ...]:
    """Join the two nearest clusters until there is one, by average linkage.

    Args:
        distances: (points, points), symmetric.

    Returns:
        points - 1 merges. Of equally near pairs the one with the smallest numbers is joined first.
    """
    count = len(distances)
    sizes = dict.fromkeys(range(count), 1)
    between = {(a, b): float(distances[a, b]) for a in range(count) for b in range(a + 1, count)}
    merges: list[Merge] = []
    while between:
        (left, right), distance = min(between.items(), key=lambda item: (item[1], item[0]))
        new, total = count + len(merges), sizes[left] + sizes[right]
        merges.append(Merge(left, right, distance))
        del between[left, right]
        for other in sizes.keys() - {left, right}:
            # The mean over all pairs of points, from the means of both parts.
            parts = (between.pop((min(one, other), max(one, other))) * sizes[one] / total for one in (left, right))
            between[other, new] = sum(parts)
        del sizes[left], sizes[right]
        sizes[new] = total
    return tuple(merges)


def leaves(merges: Sequence[Merge]) -> tuple[int, ...]:
    """The points in the order of the tree's leaves: clusters stand together."""
    count = len(merges) + 1
    order: dict[int, tuple[int, ...]] = {point: (point,) for point in range(count)}
    for number, merge in enumerate(merges, count):
        order[number] = order.pop(merge.left) + order.pop(merge.right)
    return order[max(order)]


def classical_scaling(distances: Floats, dimensions: int = 2) -> tuple[Floats, float]:
    """Place points so that their distances are kept as well as a plane can.

    Args:
        distances: (points, points), symmetric.
        dimensions: of the place.

    Returns:
        (points, dimensions), centred, the widest direction first, each with its largest value positive; and the share
        of the spread that these directions hold, 0 where all points are one.
    """
    centred = np.eye(len(distances)) - 1 / len(distances)
    inner = -0.5 * centred @ np.square(distances) @ centred
    values, vectors = np.linalg.eigh(inner)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    places = np.zeros((len(distances), dimensions))
    kept = min(dimensions, len(distances))
    places[:, :kept] = vectors[:, :kept] * np.sqrt(values[:kept])
    largest = places[np.abs(places).argmax(axis=0), np.arange(dimensions)]
    share = float(values[:dimensions].sum() / values.sum()) if values.sum() > 0 else 0.0
    return np.where(largest < 0, -places, places), share
