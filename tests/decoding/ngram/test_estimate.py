"""Estimation: modified Kneser-Ney against its definition, against lmplz, and against the axioms of probability."""

import math
import os
from collections import Counter
from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.decoding.ngram import NGram, advance
from xlsr.decoding.ngram.build import build_lm
from xlsr.decoding.ngram.estimate import estimate_discounts
from xlsr.normalize import normalize_text

LN10 = math.log(10)
SENTENCES = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), min_size=1, max_size=12)


def built(folder: Path, sentences: list[list[str]], name: str = "lm.ngram", **options) -> NGram:
    (folder / "text").write_text("".join(" ".join(words) + "\n" for words in sentences), "utf-8")
    build_lm([folder / "text"], folder / name, **options)
    return NGram.load(folder / name)


def total(model: NGram, state: int) -> float:
    """The sum of the probabilities of all words that can follow."""
    begin = model.words.index("<s>")
    return math.fsum(
        math.exp(advance(model.arrays, state, word)[0]) for word in range(len(model.words)) if word != begin
    )


class KneserNey:
    """Chen and Goodman 1998, equations 26 and 27, over counters of tuples; discounts and unknown words as lmplz.

    But a discount of 0, which leaves nothing for words that were never seen, counts as none.
    """

    def __init__(self, sentences: list[list[str]], order: int) -> None:
        self.order = order
        padded = [("<s>", *words, "</s>") for words in sentences]
        grams = [
            Counter(words[end - size : end] for words in padded for end in range(max(size, 2), len(words) + 1))
            for size in range(1, order + 1)
        ]
        self.counts = [
            Counter({gram: raw if size == order or gram[0] == "<s>" else len({g for g in grams[size] if g[1:] == gram})
                     for gram, raw in grams[size - 1].items()})
            for size in range(1, order + 1)
        ]  # fmt: skip
        self.discounts = []
        for counts in self.counts:
            n = [sum(count == k for count in counts.values()) for k in range(5)]
            values = [0.5, 1.0, 1.5]
            if n[1] and n[2] and n[3]:
                y = n[1] / (n[1] + 2 * n[2])
                found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
                values = found if min(found) > 0 else values
            self.discounts.append([0.0, *values])
        self.words = {word for words in padded for word in words[1:]} | {"<unk>"}

    def prob(self, history: tuple[str, ...], word: str) -> float:
        history = history[-(self.order - 1) :] if self.order > 1 else ()
        size = len(history)
        lower = self.prob(history[1:], word) if size else 1 / len(self.words)
        following = {g: count for g, count in self.counts[size].items() if g[:-1] == history}
        if not following:
            return lower
        off = self.discounts[size]
        own = following.get((*history, word), 0)
        freed = sum(off[min(count, 3)] for count in following.values())
        return (own - off[min(own, 3)] + freed * lower) / sum(following.values())


@settings(max_examples=20, deadline=None)
@given(sentences=SENTENCES, order=st.integers(1, 4))
def test_probabilities_are_those_of_the_definition(sentences, order, tmp_path_factory) -> None:
    model = built(tmp_path_factory.mktemp("lm"), sentences, order=order)
    wanted = KneserNey(sentences, order)
    for words in [*sentences[:3], ["d", "a", "c"], ["b", "x"]]:
        known = [word if word in wanted.words else "<unk>" for word in words] + ["</s>"]
        history = ("<s>",)
        for word, found in zip(known, model.word_scores(words), strict=True):
            # stored as float32
            assert found == pytest.approx(math.log(wanted.prob(history, word)), abs=2e-6)
            history += (word,)


@settings(max_examples=30, deadline=None)
@given(
    sentences=SENTENCES,
    order=st.integers(1, 4),
    prune=st.sampled_from([(0,), (0, 1), (0, 0, 1), (0, 1, 3)]),
    prune_entropy=st.sampled_from([0.0, 1e-4, 1e-2]),
    vocab_size=st.sampled_from([None, 1, 3]),
    unit=st.sampled_from(["word", "char"]),
)
def test_probabilities_sum_to_one_in_every_context(
    sentences, order, prune, prune_entropy, vocab_size, unit, tmp_path_factory
) -> None:
    model = built(
        tmp_path_factory.mktemp("lm"), sentences, order=order, prune=prune[:order], prune_entropy=prune_entropy,
        vocab_size=vocab_size, unit=unit,
    )  # fmt: skip
    states = np.flatnonzero(model.arrays.is_state)
    assert {model.start, model.empty} <= {*states.tolist()}
    for state in states.tolist():
        assert total(model, state) == pytest.approx(1.0, abs=2e-6)  # float32


def test_a_real_model_sums_to_one(corpora, tmp_path) -> None:
    build_lm([corpora / "text" / "deu_genesis.txt"], tmp_path / "lm.ngram", prune=(0, 0, 1), prune_entropy=1e-6)
    model = NGram.load(tmp_path / "lm.ngram")
    states = np.random.default_rng(0).choice(np.flatnonzero(model.arrays.is_state), 10).tolist()
    for state in [model.empty, model.start, *states]:
        assert total(model, state) == pytest.approx(1.0, abs=1e-5)  # 3,000 numbers of float32


# Perplexity and log10 probability of the last 200 lines, by kenlm 0.3.0, of models that lmplz made of the others.
LMPLZ = {
    ("deu_genesis", 2, (0,)): (238.73203, -11841.99525, (3281, 17188)),
    ("deu_genesis", 3, (0,)): (213.07572, -11596.09911, (3281, 17188, 25372)),
    ("deu_genesis", 4, (0, 0, 1, 2)): (219.29405, -11658.31371, (3281, 17188, 2759, 298)),
    ("swh_new_testament_part", 5, (0,)): (214.62849, -8939.68938, (5479, 19709, 25732, 26578, 25706)),
}


@pytest.mark.parametrize(("name", "order", "prune"), LMPLZ, ids=str)
def test_models_are_lmplzs(name, order, prune, corpora, tmp_path) -> None:
    lines = (corpora / "text" / f"{name}.txt").read_text("utf-8").splitlines()
    (tmp_path / "text").write_text("\n".join(lines[:-200]), "utf-8")
    report = build_lm([tmp_path / "text"], tmp_path / "lm.arpa", order=order, prune=prune)
    perplexity, log10, counts = LMPLZ[name, order, prune]
    assert report.kept == counts
    theirs, ours = kenlm.Model(os.fspath(tmp_path / "lm.arpa")), NGram.load(tmp_path / "lm.arpa")
    held_out = [normalize_text(line, drop_punctuation=True) for line in lines[-200:]]
    scores = [theirs.score(line) for line in held_out]
    assert sum(scores) == pytest.approx(log10, abs=0.01)  # 6,000 words, each to six digits
    tokens = sum(len(line.split()) + 1 for line in held_out)
    assert 10 ** (-sum(scores) / tokens) == pytest.approx(perplexity, rel=1e-5)
    for line, score in zip(held_out, scores, strict=True):
        assert ours.score(line.split()) / LN10 == pytest.approx(score, abs=1e-4)


def test_discounts_are_those_of_the_paper() -> None:
    found = estimate_discounts(np.array([0, 60, 20, 10, 5, 3]))
    y = 60 / 100
    assert found.values == pytest.approx((1 - 2 * y / 3, 2 - 3 * y / 2, 3 - 4 * y / 2))
    assert found.estimated


@pytest.mark.parametrize("histogram", [[0, 5, 0, 1, 0, 0], [0, 0, 0, 0, 0, 9], [0, 90, 1, 9, 0, 0]], ids=str)
def test_degenerate_counts_give_the_usual_discounts(histogram) -> None:
    found = estimate_discounts(np.array(histogram))
    assert found.values == (0.5, 1.0, 1.5)
    assert not found.estimated
