"""Beam search against the definition: every alignment of a small problem, added up."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding.exhaustive import Exhaustive, Found
from tests.decoding.plain_search import plain_search
from xlsr.decoding.beam import BeamSearchDecoder
from xlsr.decoding.hypothesis import Hypothesis, words_of
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.errors import ConfigError, LanguageModelError
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
@given(log_probs=emissions(4), lm_weight=weights, log_add=st.booleans(), score_boundary=st.booleans())
def test_a_model_of_characters_is_added(tokenizer, log_probs, lm_weight, log_add, score_boundary, models) -> None:
    options = BeamOptions(
        lm=models["characters"], lm_weight=lm_weight, log_add=log_add, score_boundary=score_boundary
    )  # fmt: skip
    check(tokenizer, options, log_probs)


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


@settings(max_examples=40, deadline=None)
@given(log_probs=emissions(4, frames=12), beam_size=st.integers(1, 5), with_lm=st.booleans())
def test_a_narrow_beam_keeps_what_the_plain_search_keeps(log_probs, beam_size, with_lm, models) -> None:
    def language(prefix, *, eos) -> float:
        return lm.score(map(UNSPACED.symbol, prefix), eos=eos) if with_lm else 0.0

    lm = models["characters"]
    wanted = plain_search(
        log_probs, 0, beam_size, bonus=partial(language, eos=False), end=partial(language, eos=True)
    )  # fmt: skip
    options = BeamOptions(
        lm=lm if with_lm else None, lm_weight=1.0, nbest=beam_size, beam_size=beam_size, beam_threshold=1e9
    )
    found = BeamSearchDecoder(UNSPACED, options).decode(log_probs)
    assert [hypothesis.ids for hypothesis in found] == [prefix for _, prefix in wanted]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in wanted], abs=1e-4)


def test_one_best_leaves_room_to_prefixes_with_another_future(models) -> None:
    """What can no longer be the best is given up where there is no room, which finds better hypotheses."""
    better, worse = 0, 0
    for seed in range(30):
        logits = 2 * np.random.default_rng(seed).standard_normal((80, 4))
        log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
        found = {}
        for nbest in (1, 2):
            options = BeamOptions(lm=models["characters"], nbest=nbest, beam_size=8)
            found[nbest] = BeamSearchDecoder(LETTERS, options).decode(log_probs)[0].score
        better += found[1] > found[2] + 1e-3
        worse += found[1] < found[2] - 1e-3
    assert better > 15 > 3 >= worse


def test_a_long_recording_is_remembered_from_its_start() -> None:
    logits = 2 * np.random.default_rng(0).standard_normal((500, 4))
    log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    score, ids = plain_search(log_probs, 0, 20, bonus=lambda _: 0.0, end=lambda _: 0.0)[0]
    found = BeamSearchDecoder(UNSPACED, BeamOptions(nbest=2, beam_size=20, beam_threshold=1e9)).decode(log_probs)[0]
    assert found.ids == ids, "20 new symbols a frame: the memory of 4096 was cleared twice"
    assert found.score == pytest.approx(score)


def test_a_wider_beam_finds_no_worse_a_hypothesis(models) -> None:
    logits = np.random.default_rng(1).standard_normal((60, 4))
    log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    best = [
        BeamSearchDecoder(LETTERS, BeamOptions(lm=models["words"], beam_size=size, log_add=False))
        .decode(log_probs)[0]
        .score
        for size in (1, 10, 100, 1000)
    ]
    assert best[0] < best[-1]
    assert best[1] <= best[2] + 1e-9 <= best[3] + 2e-9


def test_likely_tokens_and_near_prefixes_only_where_asked() -> None:
    log_probs = np.log(np.array([[0.4, 0.3, 0.2, 0.1]] * 2, np.float32))
    tokens = {t for h in every(BeamOptions(beam_size_token=1), log_probs) for t in h.ids}
    assert tokens == {1}, "the likeliest beside the blank"
    near = every(BeamOptions(beam_threshold=1.0), log_probs)
    assert {h.ids for h in near} == {(), (1,), (2,)}, "0.16, 0.33 and 0.2; the others have 0.08 at most"


def every(options: BeamOptions, log_probs: np.ndarray) -> list[Hypothesis]:
    return BeamSearchDecoder(UNSPACED, dataclasses.replace(options, nbest=100)).decode(log_probs)


def test_words_of_a_lexicon_have_names_and_times(tmp_path) -> None:
    phones = Tokenizer.from_symbols(["<pad>", "t", "uː", "m"], is_phones=True)
    lexicon = lexicon_of(tmp_path, "two t uː\nme m\n", phones)
    log_probs = peaked([0, 1, 0, 2, 2, 0, 0, 3, 0], 4)
    (found,) = BeamSearchDecoder(phones, BeamOptions(lexicon=lexicon)).decode(log_probs[:7])
    assert [word.text for word in words_of(found, phones)] == ["two"]
    lexicon = lexicon_of(tmp_path, "two t uː\nto t uː\nm m\n", phones)
    found = BeamSearchDecoder(phones, BeamOptions(lexicon=lexicon, nbest=9)).decode(log_probs)
    words = words_of(found[0], phones, frame_seconds=1.0)
    assert [(word.start, word.end) for word in words] == [(1, 5), (7, 8)]
    assert {tuple(word.text for word in words_of(h, phones)) for h in found[:2]} == {("two", "m"), ("to", "m")}


def test_the_likelier_spelling_of_a_word_gives_its_times(tmp_path) -> None:
    lexicon = lexicon_of(tmp_path, "ab a b\nab b a\n", LETTERS)
    (found,) = BeamSearchDecoder(LETTERS, BeamOptions(lexicon=lexicon)).decode(peaked([3, 0, 2, 1], 4))
    assert [(span.id, span.start) for span in found.spans] == [(3, 0), (2, 2)]


def test_a_word_that_does_not_end_is_told_where_nothing_else_is(tmp_path) -> None:
    lexicon = lexicon_of(tmp_path, "abc a b c\n", UNSPACED)
    (found,) = BeamSearchDecoder(UNSPACED, BeamOptions(lexicon=lexicon, beam_size=1)).decode(peaked([1, 2, 0], 4))
    assert found.ids == (1, 2)
    assert [word.text for word in found.words] == ["ab"]


def test_delimiters_around_words_change_nothing() -> None:
    decoder = BeamSearchDecoder(LETTERS, BeamOptions())
    plain, (spaced,) = decoder.decode(peaked([2, 1, 3], 4))[0], decoder.decode(peaked([1, 1, 2, 1, 0, 1, 3, 0, 1], 4))
    assert plain.ids == spaced.ids == (2, 1, 3)
    assert (spaced.spans[0].start, spaced.spans[2].start) == (2, 6)


def test_marks_of_sentences_are_never_heard() -> None:
    tokenizer = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a"])
    (found,) = BeamSearchDecoder(tokenizer).decode(peaked([1, 5, 3, 2], 6))
    assert tokenizer.decode(found.ids, group=False) == "a"


def test_no_frames_and_impossible_ones(models) -> None:
    decoder = BeamSearchDecoder(LETTERS, BeamOptions(lm=models["words"], lm_weight=1.0))
    (found,) = decoder.decode(np.zeros((0, 4), np.float32))
    assert (found.ids, found.score) == ((), pytest.approx(models["words"].score([])))
    impossible = np.full((3, 4), -np.inf, np.float32)
    impossible[:, 2] = 0.0
    assert decoder.decode(impossible)[0].ids == (2,)


def test_wrong_arrays_are_named() -> None:
    decoder = BeamSearchDecoder(LETTERS)
    with pytest.raises(ValueError, match=r"shape \(3,\); wanted \(frames, vocab\) with the vocabulary's 4 columns"):
        decoder.decode(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        decoder.decode(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN in 1 of 2 frames"):
        decoder.decode(np.array([[0, 0, 0, np.nan], [0, 0, 0, 0]]))
    assert decoder.decode(np.zeros((2, 7)))[0].score < 3, "columns without a symbol are left aside"


def test_options_that_make_no_sense_are_named(models, tmp_path) -> None:
    lexicon = lexicon_of(tmp_path, "ab a b\n", UNSPACED)
    phones = Tokenizer.from_symbols(["<pad>", "|", "a", "b"], is_phones=True, word_delimiter="|")
    for wrong, match in (
        ({"beam_size": 0}, "beam_size is 0; wanted at least 1"),
        ({"nbest": 200}, "nbest is 200 and beam_size 100"),
        ({"lm_weight": -1.0}, "lm_weight is -1.0; wanted at least 0"),
        ({"word_score": math.inf}, "word_score is inf; wanted a finite number"),
        ({"unk_score": math.inf}, "unk_score is inf; wanted a number, or -inf"),
    ):
        with pytest.raises(ConfigError, match=match):
            BeamOptions(**wrong)
    for tokenizer, wrong, match in (
        (LETTERS, {"unk_score": -1.0}, "unk_score needs words that are known"),
        (UNSPACED, {"word_score": 1.0}, "word_score needs words"),
        (UNSPACED, {"sil_score": 1.0}, "sil_score is for the word delimiter"),
        (UNSPACED, {"lexicon": lexicon, "unk_score": -1.0}, "neither with unknown words"),
        (UNSPACED, {"lexicon": lexicon, "lm": models["characters"]}, "language model of characters"),
    ):
        with pytest.raises(ConfigError, match=match):
            BeamSearchDecoder(tokenizer, BeamOptions(**wrong))
    for tokenizer, why in ((UNSPACED, "have no word delimiter"), (phones, "are phones")):
        with pytest.raises(LanguageModelError, match=f"needs a lexicon where a model's symbols {why}"):
            BeamSearchDecoder(tokenizer, BeamOptions(lm=models["words"]))
    with pytest.raises(LanguageModelError, match="knows none of the model's symbols"):
        BeamSearchDecoder(Tokenizer.from_symbols(["<pad>", "я"]), BeamOptions(lm=models["characters"]))


def test_a_model_without_unknown_words_takes_them_for_its_rarest(models) -> None:
    log_probs = peaked([2, 3, 0, 3, 2, 0, 2], 4)  # "abba"
    options = BeamOptions(lm=models["closed words"], lm_weight=1.0, unk_score=0.0)
    (found,) = BeamSearchDecoder(LETTERS, options).decode(log_probs)
    rarest = -1.1 * math.log(10)  # of "bb"
    assert LETTERS.decode(found.ids, group=False) == "abbaa"
    assert found.lm_score == pytest.approx(rarest + models["closed words"].score([], bos=False), abs=1e-4)


def peaked(ids: list[int], vocab: int) -> np.ndarray:
    """Log-probabilities of a path: (frames, vocab)."""
    probabilities = np.full((len(ids), vocab), 0.02 / (vocab - 1), np.float32)
    probabilities[np.arange(len(ids)), ids] = 0.98
    return np.log(probabilities)
