"""Hotwords: the automaton against the definition, and through the search against every alignment."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding.exhaustive import places_of
from tests.decoding.test_beam import LETTERS, SPELLINGS, UNSPACED, check, emissions, lexicon_of, models
from xlsr.compiled import compiled
from xlsr.decoding.beam import BeamSearchDecoder
from xlsr.decoding.hotwords import HotUnit, HotwordArrays, build_hotwords, follow
from xlsr.decoding.options import BeamOptions
from xlsr.errors import ConfigError, LexiconError
from xlsr.tokenizer import Tokenizer

__all__ = ["models"]  # a fixture

END = 10  # symbols from here on end words
UNITS = {"a": HotUnit(11, ((1,), (2, 3))), "b": HotUnit(12, ((1,),)), "c": HotUnit(13, ((2, 3, 4), (1, 2))), "d": None}


@compiled
def walk(arrays: HotwordArrays, symbols: np.ndarray) -> tuple[float, float]:
    """The bonus of symbols when the recording ends behind them, and the largest that one of them brought."""
    state, total, most = 0, 0.0, 0.0
    for symbol in symbols:
        state, gain = follow(arrays, state, symbol)
        total, most = total + gain, max(most, gain)
    return total - arrays.states[state].open, most


words = st.lists(st.sampled_from("abcd"), max_size=7)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=4), words, st.data())
def test_the_bonus_is_that_of_the_hotwords_heard(hotwords, heard, data) -> None:
    arrays, gain = build_hotwords([[UNITS[word] for word in hotword] for hotword in hotwords], 0.5, END, 0)
    symbols, lengths = [], []
    for word in heard:
        unit = UNITS[word] or HotUnit(END, ((3,), (1, 3), (2,)))  # a word that is none, also one begun like others
        symbols += [*data.draw(st.sampled_from(unit.spellings)), unit.end]
        lengths.append(unit.length)
    bonus, most = walk(arrays, np.array(symbols, np.int64))
    wanted = sum(lengths[place] for place in places_of(hotwords, heard))
    assert bonus == pytest.approx(0.5 * wanted)
    assert most <= gain + 1e-9, "the search leaves out what cannot be kept even so"
    unfinished, _ = walk(arrays, np.array([*symbols, 1, 2], np.int64))
    assert unfinished == pytest.approx(0.5 * wanted), "a word begun at the end is worth nothing"


@pytest.mark.parametrize("name", [None, "characters"])
@settings(max_examples=40, deadline=None)
@given(log_probs=emissions(4), log_add=st.booleans())
def test_free_letters_with_hotwords_equal_the_definition(name, log_probs, log_add, models) -> None:
    lm = None if name is None else models[name]
    check(LETTERS, BeamOptions(lm=lm, log_add=log_add, hotwords=("b", "ab a", "a a"), hotword_score=0.8), log_probs)


@settings(max_examples=40, deadline=None)
@given(log_probs=emissions(4))
def test_hotwords_without_a_delimiter_lie_anywhere(log_probs) -> None:
    check(UNSPACED, BeamOptions(hotwords=("ab", "bca", "b"), hotword_score=1.5), log_probs)


@settings(max_examples=40, deadline=None)
@given(log_probs=emissions(4))
def test_hotwords_outside_the_language_model_equal_the_definition(log_probs, models) -> None:
    check(LETTERS, BeamOptions(lm=models["words"], hotwords=("aba", "b a", "ab"), hotword_score=0.8), log_probs)


@pytest.mark.parametrize("tokenizer", [LETTERS, UNSPACED], ids=["words", "no delimiter"])
@settings(max_examples=40, deadline=None)
@given(log_probs=emissions(4), with_lm=st.booleans())
def test_hotwords_of_a_lexicon_are_told_from_words_that_sound_alike(
    tokenizer, log_probs, with_lm, models, tmp_path_factory
) -> None:
    text = SPELLINGS if tokenizer is LETTERS else SPELLINGS.replace("|", "")
    lexicon = lexicon_of(tmp_path_factory.getbasetemp(), text, tokenizer)
    lm = models["words"] if with_lm else None
    check(tokenizer, BeamOptions(lexicon=lexicon, lm=lm, hotwords=("ay b", "ab", "aab"), hotword_score=0.8), log_probs)


def test_a_hotword_outside_the_model_is_heard_in_place_of_a_word_that_sounds_alike(models) -> None:
    probabilities = [[0.1, 0.05, 0.8, 0.05], [0.8, 0.1, 0.05, 0.05], [0.02, 0.03, 0.3, 0.65], [0.1, 0.7, 0.1, 0.1]]
    log_probs = np.log(np.array(probabilities, np.float32))
    plain = BeamSearchDecoder(LETTERS, BeamOptions(lm=models["words"], word_score=1.0))
    hot = BeamSearchDecoder(LETTERS, dataclasses.replace(plain.options, hotwords=("aa",), hotword_score=4.0))
    assert LETTERS.decode(plain.decode(log_probs)[0].ids, group=False) == "ab"
    assert LETTERS.decode(hot.decode(log_probs)[0].ids, group=False) == "aa"


def test_a_hotword_within_another_word_is_not_heard() -> None:
    log_probs = np.log(np.array([[0.05, 0.05, 0.7, 0.2], [0.1, 0.1, 0.1, 0.7]], np.float32))
    wanted = BeamSearchDecoder(LETTERS, BeamOptions(nbest=50)).decode(log_probs)
    found = BeamSearchDecoder(LETTERS, BeamOptions(nbest=50, hotwords=("a",))).decode(log_probs)
    scores = {hypothesis.ids: hypothesis.score for hypothesis in wanted}
    bonuses = {hypothesis.ids: hypothesis.score - scores[hypothesis.ids] for hypothesis in found}
    assert bonuses[2, 3] == pytest.approx(0), "the word is ab, not a"
    assert bonuses[2,] == pytest.approx(2)


def test_phones_are_hotwords_too() -> None:
    phones = Tokenizer.from_symbols(["<pad>", "h", "ə", "oʊ"], is_phones=True)
    log_probs = np.log(np.array([[0.1, 0.6, 0.1, 0.2], [0.1, 0.1, 0.4, 0.4]], np.float32))
    found = BeamSearchDecoder(phones, BeamOptions(hotwords=("h oʊ",))).decode(log_probs)[0]
    assert phones.decode(found.ids, group=False) == "h oʊ"


def test_hotwords_that_cannot_be_heard_are_refused() -> None:
    with pytest.raises(LexiconError, match=r"'xyz'.*leave them out"):
        BeamSearchDecoder(LETTERS, BeamOptions(hotwords=("ab", "xyz")))
    with pytest.raises(ConfigError, match="a hotword is empty"):
        BeamSearchDecoder(LETTERS, BeamOptions(hotwords=(" ",)))
