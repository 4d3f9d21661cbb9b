"""Beam search against the definition: every alignment of a small problem, added up."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding.exhaustive import Exhaustive, Found
from xlsr.decoding.beam import BeamSearchDecoder
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.tokenizer import Tokenizer

LETTERS = Tokenizer.from_symbols(["<pad>", "|", "a", "b"])
UNSPACED = Tokenizer.from_symbols(["<pad>", "a", "b", "c"])
WORDS = """\\data\\
ngram 1=7
ngram 2=5
ngram 3=2

\\1-grams:
-99\t<s>\t-0.3
-1.0\t</s>
-2.0\t<unk>\t-0.1
-0.6\ta\t-0.2
-0.7\tab\t-0.25
-0.9\tba\t-0.35
-1.1\tbb\t-0.1

\\2-grams:
-0.3\t<s> a\t-0.1
-0.4\ta ab\t-0.15
-0.5\tba </s>
-0.6\tab a\t-0.15
-0.44\tbb a\t-0.3

\\3-grams:
-0.2\t<s> a ab
-0.1\tbb a ab

\\end\\
"""
# The same of characters; "c" is unknown to it.
CHARACTERS = "\n".join(
    line.replace("ab", "|").replace("bb", "X").replace("ba", "b").replace("X", "zz") for line in WORDS.splitlines()
)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, NGram]:
    folder = tmp_path_factory.mktemp("arpa")
    found = {}
    for name, text in {
        "words": WORDS,
        "closed words": WORDS.replace("ngram 1=7", "ngram 1=6").replace("-2.0\t<unk>\t-0.1\n", ""),
        "characters": CHARACTERS,
    }.items():
        (folder / "lm.arpa").write_text(text + "\n", "utf-8")
        found[name] = NGram.load(folder / "lm.arpa", unit="char" if name == "characters" else "word")
    return found


def lexicon_of(folder: Path, text: str, tokenizer: Tokenizer) -> Lexicon:
    (folder / "lexicon.txt").write_text(text, "utf-8")
    return Lexicon.from_file(folder / "lexicon.txt", tokenizer)


@st.composite
def emissions(draw, vocab: int, frames: int = 4) -> np.ndarray:
    """(frames, vocab) log-probabilities of every kind, from flat ones to nearly certain ones."""
    seed, sharpness = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.3, 1.0, 4.0, 15.0]))
    logits = sharpness * np.random.default_rng(seed).standard_normal((draw(st.integers(0, frames)), vocab))
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def check(tokenizer: Tokenizer, options: BeamOptions, log_probs: np.ndarray) -> None:
    """Hold every hypothesis of a wide beam against the definition."""
    options = dataclasses.replace(options, nbest=3000, beam_size=3000, beam_threshold=1e9)
    oracle = Exhaustive(tokenizer, options)
    wanted = oracle.hypotheses(log_probs)
    found = BeamSearchDecoder(tokenizer, options).decode(log_probs)
    assert {oracle.identity(hypothesis) for hypothesis in found} == set(wanted)
    assert len(found) == len(wanted)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)
    for hypothesis in found:
        parts = Found(hypothesis.score, hypothesis.acoustic_score, hypothesis.lm_score)
        # float32 probabilities of the language model keep seven digits
        assert parts == pytest.approx(wanted[oracle.identity(hypothesis)], abs=1e-4)
        assert all(0 <= span.start < span.end <= len(log_probs) for span in hypothesis.spans)


numbers = st.sampled_from([0.0, 0.7, -1.3])
weights = st.sampled_from([0.0, 0.5, 2.0])


@settings(max_examples=60, deadline=None)
@given(emissions(4, frames=5), numbers, numbers, st.booleans())
def test_free_letters_equal_the_sum_over_all_alignments(log_probs, word_score, sil_score, log_add) -> None:
    check(LETTERS, BeamOptions(word_score=word_score, sil_score=sil_score, log_add=log_add), log_probs)


@settings(max_examples=30, deadline=None)
@given(emissions(4), st.booleans())
def test_free_symbols_without_a_delimiter_equal_the_sum(log_probs, log_add) -> None:
    check(UNSPACED, BeamOptions(log_add=log_add), log_probs)


@pytest.mark.parametrize("tokenizer", [LETTERS, UNSPACED], ids=["words", "no delimiter"])
@settings(max_examples=40, deadline=None)
@given(log_probs=emissions(4), lm_weight=weights, log_add=st.booleans())
def test_a_model_of_characters_is_added(tokenizer, log_probs, lm_weight, log_add, models) -> None:
    check(tokenizer, BeamOptions(lm=models["characters"], lm_weight=lm_weight, log_add=log_add), log_probs)


@settings(max_examples=60, deadline=None)
@given(
    log_probs=emissions(4), lm_weight=weights, word_score=numbers,
    unk_score=st.sampled_from([None, 0.0, -3.0, 1.0, -math.inf]),
)  # fmt: skip
def test_a_model_of_words_with_unknown_ones_is_added(log_probs, lm_weight, word_score, unk_score, models) -> None:
    options = BeamOptions(lm=models["words"], lm_weight=lm_weight, word_score=word_score, unk_score=unk_score)
    check(LETTERS, options, log_probs)


SPELLINGS = """\
a\ta |
ab a b
ay a
ab a a |
b b
bab b a b
"""


@pytest.mark.parametrize("tokenizer", [LETTERS, UNSPACED], ids=["words", "no delimiter"])
@settings(max_examples=60, deadline=None)
@given(log_probs=emissions(4), lm_weight=weights, word_score=numbers, log_add=st.booleans(), with_lm=st.booleans())
def test_a_lexicon_binds_the_search(
    tokenizer, log_probs, lm_weight, word_score, log_add, with_lm, models, tmp_path_factory
) -> None:
    text = SPELLINGS if tokenizer is LETTERS else SPELLINGS.replace("|", "")
    lexicon = lexicon_of(tmp_path_factory.getbasetemp(), text, tokenizer)
    lm = models["words"] if with_lm else None
    options = BeamOptions(lexicon=lexicon, lm=lm, lm_weight=lm_weight, word_score=word_score, log_add=log_add)
    check(tokenizer, options, log_probs)


@settings(max_examples=60, deadline=None)
@given(
    log_probs=emissions(4), unk_score=st.sampled_from([-2.0, 0.0]), name=st.sampled_from([None, "words", "characters"])
)
def test_a_lexicon_knows_words_among_unknown_ones(log_probs, unk_score, name, models, tmp_path_factory) -> None:
    lexicon = lexicon_of(tmp_path_factory.getbasetemp(), SPELLINGS, LETTERS)
    lm = None if name is None else models[name]
    check(LETTERS, BeamOptions(lexicon=lexicon, lm=lm, word_score=0.4, unk_score=unk_score), log_probs)


@settings(max_examples=30, deadline=None)
@given(log_probs=emissions(4), log_add=st.booleans())
def test_a_lexicon_goes_with_a_model_of_characters(log_probs, log_add, models, tmp_path_factory) -> None:
    lexicon = lexicon_of(tmp_path_factory.getbasetemp(), SPELLINGS, LETTERS)
    check(LETTERS, BeamOptions(lexicon=lexicon, lm=models["characters"], log_add=log_add), log_probs)
