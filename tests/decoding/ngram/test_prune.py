"""Entropy pruning: what is left out is what changes the perplexity least, by a sum over all words."""

import math

import numpy as np
import pytest

from xlsr.decoding.ngram.estimate import Grams
from xlsr.decoding.ngram.prune import _increase, prune_by_entropy

WORDS = 5


def bigrams() -> list[Grams]:
    """Words 0 to 4 with a distribution, and some bigrams that are likelier than by backing off."""
    rng = np.random.default_rng(3)
    low = rng.dirichlet(np.ones(WORDS))
    context, last = np.array([0, 0, 0, 1, 2, 2], np.int32), np.array([1, 3, 4, 1, 0, 4], np.int32)
    prob = low[last] * rng.uniform(0.5, 1.5, 6)
    taken, low_taken = np.bincount(context, prob, WORDS), np.bincount(context, low[last], WORDS)
    count = np.array([40, 30, 20, 5, 5])
    rows = np.arange(WORDS, dtype=np.int32)
    words = Grams(rows, rows * 0, rows * 0, count, low, (1 - taken) / (1 - low_taken))
    return [words, Grams(context, last, context, np.full(6, 20), prob, np.ones(6))]


def distribution(grams: list[Grams], history: int) -> np.ndarray:
    words, pairs = grams
    found = words.backoff[history] * words.prob
    here = pairs.context == history
    found[pairs.suffix[here]] = pairs.prob[here]
    return found


def test_the_increase_is_the_divergence_of_the_distributions() -> None:
    grams = bigrams()
    words, pairs = grams
    for row, found in enumerate(_increase(words, pairs, int(words.count.sum()))):
        history = int(pairs.context[row])
        before = distribution(grams, history)
        assert before.sum() == pytest.approx(1)
        lost = pairs.select(np.arange(len(pairs.prob)) != row)
        here = lost.context == history
        weights = words.backoff.copy()
        weights[history] = (1 - lost.prob[here].sum()) / (1 - words.prob[lost.suffix[here]].sum())
        after = distribution([Grams(*(*vars(words).values(),)[:-1], weights), lost], history)
        assert after.sum() == pytest.approx(1)
        divergence = words.count[history] / words.count.sum() * (before * np.log(before / after)).sum()
        assert found == pytest.approx(math.expm1(divergence), rel=1e-9, abs=1e-15)


def test_what_changes_least_goes_and_weights_are_made_anew() -> None:
    words, pairs = bigrams()
    increase = _increase(words, pairs, int(words.count.sum()))
    threshold = float(np.median(increase))
    new_words, new_pairs = prune_by_entropy([words, pairs], threshold, int(words.count.sum()))
    assert new_pairs.suffix.tolist() == pairs.suffix[increase >= threshold].tolist()
    for history in range(WORDS):
        assert distribution([new_words, new_pairs], history).sum() == pytest.approx(1)
    assert new_words.prob is words.prob


def test_what_a_longer_n_gram_begins_or_ends_with_stays() -> None:
    words, pairs = bigrams()
    # 2 0 1 begins with 2 0, row 4, and ends with 0 1, row 0
    first, suffix, context = (np.array([value], np.int32) for value in (2, 0, 4))
    triple = Grams(first, suffix, context, np.array([50]), np.array([0.99]), np.ones(1))
    tokens = int(words.count.sum())
    threshold = 1.001 * float(_increase(words, pairs, tokens)[[0, 4]].max())
    _, kept, longer = prune_by_entropy([words, pairs, triple], threshold, tokens)
    left = [*zip(kept.context.tolist(), kept.suffix.tolist(), strict=True)]
    assert left[longer.context[0]] == (2, 0)
    assert left[longer.suffix[0]] == (0, 1)
    alone = prune_by_entropy([words, pairs], threshold, tokens)[1]
    assert not {(2, 0), (0, 1)} & {*zip(alone.context.tolist(), alone.suffix.tolist(), strict=True)}
