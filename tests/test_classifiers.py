"""Plain classifiers by sums alone: against formulas on all frames at once, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from xlsr.classifiers import Classifiers, FrameSums


def fitted(frames: np.ndarray, labels: np.ndarray, *, parts: int = 1, ridge: float = 0.01) -> Classifiers:
    sums = FrameSums(frames.shape[1], int(labels.max()) + 1)
    for one, other in zip(np.array_split(frames, parts), np.array_split(labels, parts), strict=True):
        sums.add(one, other)
    return sums.fit(ridge=ridge)


def corpus(count: int, *, seed: int, offset: float = 50.0) -> tuple[np.ndarray, np.ndarray]:
    """Five overlapping classes of seven correlated dimensions, far from zero."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(5, count, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    centres = np.random.default_rng(99).normal(size=(5, 7))
    frames = centres[labels] + rng.normal(size=(count, 7)) @ np.random.default_rng(98).normal(size=(7, 7)) / 2
    return (frames * np.arange(1, 8) + offset).astype(np.float32), labels


def test_sums_give_the_ridge_of_all_frames_at_once() -> None:
    frames, labels = corpus(3000, seed=0)
    found = fitted(frames, labels, parts=11)
    wide = frames.astype(np.float64)
    z = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    targets = np.eye(5)[labels]
    weight = np.linalg.solve(z.T @ z + 0.01 * len(z) * np.eye(7), z.T @ (targets - targets.mean(axis=0)))
    # Products are float32: seven digits, of sums of some hundreds.
    np.testing.assert_allclose(found.weight, weight, atol=1e-5)
    np.testing.assert_allclose(found.bias, targets.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.centres, [z[labels == k].mean(axis=0) for k in range(5)], atol=1e-5)
    test, _ = corpus(500, seed=1)
    z = (test - wide.mean(axis=0)) / wide.std(axis=0)
    scores = z @ weight + targets.mean(axis=0)
    clear = np.diff(np.sort(scores, axis=1))[:, -1] > 1e-4  # others may fall either way in float32
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found.linear(test)[clear], scores.argmax(axis=1)[clear])


def test_nearest_is_the_nearest_mean() -> None:
    frames, labels = corpus(1000, seed=2)
    found = fitted(frames, labels)
    z = (frames - found.mean) / found.deviation
    far = np.linalg.norm(z[:, None] - found.centres[None], axis=-1)
    clear = np.diff(np.sort(far, axis=1))[:, 0] > 1e-4
    np.testing.assert_array_equal(found.nearest(frames)[clear], far.argmin(axis=1)[clear])


def test_frames_that_hold_their_label_are_all_told() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(20, size=2000)
    frames = (np.eye(20)[labels] + 0.05 * rng.normal(size=(2000, 20))).astype(np.float32)
    found = fitted(frames[:1000], labels[:1000])
    assert (found.linear(frames[1000:]) == labels[1000:]).mean() > 0.999
    assert (found.nearest(frames[1000:]) == labels[1000:]).mean() > 0.999


def test_noise_tells_no_more_than_chance() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(4, size=8000)
    frames = rng.normal(size=(8000, 10)).astype(np.float32)
    found = fitted(frames[:4000], labels[:4000])
    for told in (found.linear(frames[4000:]), found.nearest(frames[4000:])):
        # The standard error of a share of 1/4 in 4000 is 0.0068: four of them.
        assert (told == labels[4000:]).mean() == pytest.approx(0.25, abs=0.028)


def test_a_dimension_that_never_changes_tells_nothing() -> None:
    frames, labels = corpus(600, seed=5)
    dull = np.concatenate([frames, np.full((600, 1), 3.3, np.float32)], axis=1)
    np.testing.assert_array_equal(fitted(dull, labels).linear(dull), fitted(frames, labels).linear(frames))


def test_a_class_without_frames_is_refused() -> None:
    sums = FrameSums(2, 3)
    sums.add(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    sums.add(np.ones((2, 2), np.float32), np.array([0, 2]))
    with pytest.raises(ValueError, match="every class"):
        sums.fit()
