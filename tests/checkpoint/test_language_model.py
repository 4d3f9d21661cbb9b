"""Folders of `Wav2Vec2ProcessorWithLM`: written as pyctcdecode reads them, read as it writes them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.decoding.test_beam import WORDS
from xlsr.checkpoint.language_model import read_language_model, write_language_model
from xlsr.decoding.beam import BeamSearchDecoder
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.errors import LanguageModelError
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b"])


@pytest.fixture
def arpa(tmp_path) -> Path:
    (tmp_path / "words.arpa").write_text(WORDS + "\n", "utf-8")
    return tmp_path / "words.arpa"


@pytest.fixture
def folder(tmp_path, arpa) -> Path:
    """As pyctcdecode 0.5 writes it."""
    inner = tmp_path / "model" / "language_model"
    inner.mkdir(parents=True)
    attributes = {"alpha": 0.5, "beta": 1.5, "unk_score_offset": -10.0, "score_boundary": True}
    (inner / "attrs.json").write_text(json.dumps(attributes))
    (inner / "unigrams.txt").write_text("a\nab\nba\nbb\n")
    (inner / "3gram.arpa").write_bytes(arpa.read_bytes())
    labels = {"labels": ["", "<s>", "</s>", "\u2047", " ", "a", "b"], "is_bpe": False}
    (inner.parent / "alphabet.json").write_text(json.dumps(labels))
    return inner.parent


def test_numbers_of_pyctcdecode_are_ours(folder) -> None:
    options = read_language_model(folder, TOKENIZER)
    assert (options.lm_weight, options.word_score, options.score_boundary) == (0.5, 1.5, True)
    assert options.unk_score == pytest.approx(-10 * 0.5 * math.log(10)), "its offset is decimal, and weighted"
    assert options.lexicon is None, "all words of the model are known"
    log_probs = np.log(np.full((4, 7), 1 / 7, np.float32))
    (found,) = BeamSearchDecoder(TOKENIZER, options).decode(log_probs)
    lm = options.lm.score(TOKENIZER.decode(found.ids, group=False).split())
    assert found.score == pytest.approx(found.acoustic_score + 0.5 * lm + 1.5 * len(found.ids and [1]), abs=1e-4)


def test_words_that_are_not_among_the_unigrams_are_unknown(folder) -> None:
    (folder / "language_model" / "unigrams.txt").write_text("ba\nxyz\n")
    options = read_language_model(folder, TOKENIZER)
    assert options.lexicon.words == ("ba",)
    (folder / "language_model" / "unigrams.txt").write_text("")
    assert read_language_model(folder, TOKENIZER).lexicon is None


@pytest.mark.parametrize("unk_score", [None, -3.0, -math.inf])
def test_what_is_written_is_read_again(arpa, tmp_path, unk_score) -> None:
    out = tmp_path / "out"
    TOKENIZER.to_folder(out)
    (out / "preprocessor_config.json").write_text('{"do_normalize": true}')
    lexicon = Lexicon.from_words(["ab", "ba", "aab"], TOKENIZER)
    options = BeamOptions(
        lm=arpa, lexicon=lexicon, lm_weight=0.8, word_score=-0.3, unk_score=unk_score, score_boundary=False
    )
    write_language_model(out, TOKENIZER, options)
    found = read_language_model(out, TOKENIZER)
    assert (found.lm_weight, found.word_score, found.score_boundary) == (0.8, -0.3, False)
    assert found.unk_score == pytest.approx(-math.inf if unk_score is None else unk_score)
    assert sorted(found.lexicon.words) == ["ab", "ba"], "aab is none of the model's"
    assert found.lm.score(["ab", "a"]) == pytest.approx(NGram.load(arpa).score(["ab", "a"]), abs=1e-5)


def test_the_layout_is_what_pyctcdecode_and_transformers_want(arpa, tmp_path) -> None:
    TOKENIZER.to_folder(tmp_path / "out")
    (tmp_path / "out" / "preprocessor_config.json").write_text('{"do_normalize": true}')
    write_language_model(tmp_path / "out", TOKENIZER, BeamOptions(lm=arpa))
    inner = tmp_path / "out" / "language_model"
    assert {file.name for file in inner.iterdir()} == {"attrs.json", "unigrams.txt", "lm.arpa"}
    attributes = json.loads((inner / "attrs.json").read_text())
    assert attributes.keys() == {"alpha", "beta", "unk_score_offset", "score_boundary"}
    assert attributes["unk_score_offset"] == pytest.approx(-10 / 0.7 / math.log(10))
    assert (inner / "unigrams.txt").read_text() == "a\nab\nba\nbb\n"
    alphabet = json.loads((tmp_path / "out" / "alphabet.json").read_text())
    assert alphabet == {"labels": ["", "<s>", "</s>", "⁇", " ", "a", "b"], "is_bpe": False}
    for name in ("preprocessor_config.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["processor_class"] == "Wav2Vec2ProcessorWithLM"
    assert Tokenizer.from_folder(tmp_path / "out").vocab == TOKENIZER.vocab


def test_a_folder_that_does_not_fit_is_refused(folder, arpa) -> None:
    inner = folder / "language_model"
    with pytest.raises(LanguageModelError, match=r"calls column 5 'a', vocab.json 'b'"):
        read_language_model(folder, Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "b", "a"]))
    with pytest.raises(LanguageModelError, match=r"holds 3gram.arpa, where only one"):
        write_language_model(folder, TOKENIZER, BeamOptions(lm=arpa))
    (inner / "lm.arpa").write_bytes(b"")
    with pytest.raises(LanguageModelError, match=r"2 n-gram models \(3gram.arpa, lm.arpa\)"):
        read_language_model(folder, TOKENIZER)
    (inner / "lm.arpa").unlink()
    (inner / "3gram.arpa").rename(inner / "5gram.bin")
    (inner / "5gram.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    with pytest.raises(LanguageModelError, match="is a binary of KenLM"):
        read_language_model(folder, TOKENIZER)
    (inner / "unigrams.txt").write_bytes(b"\xff\xfe")
    (inner / "5gram.bin").unlink()
    with pytest.raises(LanguageModelError, match=r"0 n-gram models \(none\)"):
        read_language_model(folder, TOKENIZER)


@pytest.mark.parametrize(
    "content",
    ["[1]", "{", '{"alpha": "x"}', '{"alpha": NaN, "beta": 1, "unk_score_offset": 1, "score_boundary": true}'],
)
def test_damaged_attributes_are_named(folder, content) -> None:
    (folder / "language_model" / "attrs.json").write_text(content)
    with pytest.raises(LanguageModelError, match=r"attrs.json is damaged .*; wanted the numbers alpha"):
        read_language_model(folder, TOKENIZER)
    (folder / "language_model" / "attrs.json").unlink()
    with pytest.raises(LanguageModelError, match=r"attrs.json is missing"):
        read_language_model(folder, TOKENIZER)


def test_only_models_of_words_have_a_place(tmp_path, arpa) -> None:
    for lm in (None, NGram.load(arpa, unit="char")):
        with pytest.raises(LanguageModelError, match="a language model of words is wanted"):
            write_language_model(tmp_path, TOKENIZER, BeamOptions(lm=lm))
