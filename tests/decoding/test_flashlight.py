"""Beam search against flashlight-text, which torchaudio's `ctc_decoder` is: every hypothesis of wide beams.

It weighs decimal logarithms of the language model, we natural ones: its `lm_weight` is ours times ln 10. It starts
behind its silence token, as it were, which is the blank here where nothing else is meant. It ends a word at a delimiter
only, so the last frame of a search with a lexicon is a sure delimiter.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from flashlight.lib.text.decoder import (
    LM,
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    LexiconFreeDecoder,
    LexiconFreeDecoderOptions,
    SmearingMode,
    Trie,
    ZeroLM,
)
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding.test_beam import CHARACTERS, UNSPACED, WORDS, emissions
from xlsr.decoding.beam import BeamSearchDecoder
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.tokenizer import Tokenizer

LN10 = math.log(10)
TOKENIZER = Tokenizer.from_symbols(["<pad>", "|", "a", "b", "c"])
SPELLINGS = {"a": ["a"], "ab": ["ab", "ca"], "ba": ["ba", "b"], "bb": ["bb"], "b": ["b"], "cab": ["cab"], "x": ["a"]}
ENTRIES = [(word, spelling) for word, spellings in SPELLINGS.items() for spelling in spellings]
WIDE = {"nbest": 5000, "beam_size": 5000, "beam_threshold": 1e6}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("arpa")
    found = {}
    for name, text in {"words": WORDS, "characters": CHARACTERS}.items():
        found[name] = folder / f"{name}.arpa"
        found[name].write_text(text + "\n", "utf-8")
    return found


def dictionary(entries) -> Dictionary:
    found = Dictionary()
    for entry in entries:
        found.add_entry(entry)
    return found


def decoded(decoder, log_probs: np.ndarray) -> list:
    values = np.ascontiguousarray(log_probs, np.float32)
    return decoder.decode(values.ctypes.data, *values.shape)


@settings(max_examples=25, deadline=None)
@given(log_probs=emissions(4, frames=6), lm_weight=st.sampled_from([0.0, 0.7]), log_add=st.booleans())
def test_free_symbols_and_scores_are_flashlights(log_probs, lm_weight, log_add, files) -> None:
    symbols = [UNSPACED.symbol(id) for id in range(UNSPACED.size)]
    lm: LM = KenLM(str(files["characters"]), dictionary(symbols)) if lm_weight else ZeroLM()
    options = LexiconFreeDecoderOptions(
        beam_size=WIDE["beam_size"], beam_size_token=4, beam_threshold=WIDE["beam_threshold"],
        lm_weight=lm_weight * LN10, sil_score=0.0, log_add=log_add, criterion_type=CriterionType.CTC,
    )  # fmt: skip
    wanted = {}
    for result in decoded(LexiconFreeDecoder(options, lm, 0, 0, []), log_probs):
        tokens = (token for token, _ in itertools.groupby(result.tokens[1:-1]))
        wanted[tuple(token for token in tokens if token != 0)] = result.score
    own = NGram.load(files["characters"], unit="char") if lm_weight else None
    ours = BeamSearchDecoder(UNSPACED, BeamOptions(lm=own, lm_weight=lm_weight, log_add=log_add, **WIDE)).decode(
        log_probs
    )
    assert {hypothesis.ids: hypothesis.score for hypothesis in ours} == pytest.approx(wanted, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    log_probs=emissions(5, frames=6), lm_weight=st.sampled_from([0.0, 0.7]), log_add=st.booleans(),
    word_score=st.sampled_from([0.0, -0.9]), sil_score=st.sampled_from([0.0, 0.6]),
)  # fmt: skip
def test_words_of_a_lexicon_and_scores_are_flashlights(
    log_probs, lm_weight, log_add, word_score, sil_score, files, tmp_path_factory
) -> None:
    log_probs = np.concatenate((log_probs, [[-5000.0, 0.0, -5000.0, -5000.0, -5000.0]])).astype(np.float32)
    names = dictionary(SPELLINGS)
    lm = KenLM(str(files["words"]), names) if lm_weight else ZeroLM()
    trie, start = Trie(TOKENIZER.size, 1), lm.start(False)
    for word, spelling in ENTRIES:
        index = names.get_index(word)
        trie.insert([*TOKENIZER.encode(spelling), 1], index, lm.score(start, index)[1])
    trie.smear(SmearingMode.MAX)
    options = LexiconDecoderOptions(
        beam_size=WIDE["beam_size"], beam_size_token=5, beam_threshold=WIDE["beam_threshold"],
        lm_weight=lm_weight * LN10, word_score=word_score, unk_score=-math.inf, sil_score=sil_score, log_add=log_add,
        criterion_type=CriterionType.CTC,
    )  # fmt: skip
    decoder = LexiconDecoder(options, trie, lm, 1, 0, 0, [], False)
    wanted = {}
    for result in decoded(decoder, log_probs):
        wanted[tuple(names.get_entry(word) for word in result.words if word >= 0)] = result.score
    path = tmp_path_factory.getbasetemp() / "lexicon.txt"
    path.write_text("".join(f"{word} {' '.join(spelling)} |\n" for word, spelling in ENTRIES), "utf-8")
    own = BeamOptions(
        lexicon=path, lm=files["words"] if lm_weight else None, lm_weight=lm_weight, word_score=word_score,
        sil_score=sil_score, log_add=log_add, **WIDE,
    )  # fmt: skip
    ours = BeamSearchDecoder(TOKENIZER, own)
    # What does not end in the delimiter is beyond all else.
    found = [hypothesis for hypothesis in ours.decode(log_probs) if hypothesis.acoustic_score > -4000]
    found = {tuple(word.text for word in hypothesis.words): hypothesis.score for hypothesis in found}
    assert found == pytest.approx(wanted, abs=1e-3)
