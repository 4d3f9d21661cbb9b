"""A model folder brings its own beam search: files that lie in it, and numbers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import xlsr
from tests.decoding.test_beam import WORDS
from xlsr.checkpoint.decoder import copy_decoder, read_decoder, store_decoder
from xlsr.checkpoint.folder import Description, read_description, write_description
from xlsr.config import Wav2Vec2Config
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.errors import CheckpointError, ConfigError, LanguageModelError
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b"])


@pytest.fixture
def arpa(tmp_path) -> Path:
    (tmp_path / "words.arpa").write_text(WORDS + "\n", "utf-8")
    return tmp_path / "words.arpa"


@pytest.fixture
def folder(tmp_path) -> Path:
    config = Wav2Vec2Config.from_dict({"vocab_size": TOKENIZER.size})
    write_description(Description(config, TOKENIZER, extras={"name": "two letters"}), tmp_path / "model")
    return tmp_path / "model"


def test_what_is_stored_is_read(folder, arpa, tmp_path) -> None:
    assert read_decoder(read_description(folder)) is None
    (tmp_path / "words.txt").write_text("ab\nba\n")
    numbers = {"lm_weight": 0.9, "word_score": -0.5, "unk_score": -math.inf, "beam_size": 20}
    store_decoder(folder, numbers, lm=arpa, lexicon=tmp_path / "words.txt")
    found = read_decoder(read_description(folder))
    assert found == BeamOptions(folder / "lexicon.txt", folder / "lm.ngram", **numbers)
    assert NGram.load(found.lm).score(["ab", "a"]) == pytest.approx(NGram.load(arpa).score(["ab", "a"]), abs=1e-5)
    assert read_description(folder).extras["name"] == "two letters"
    store_decoder(folder, {"lm_weight": 0.4})  # numbers alone change numbers alone
    assert read_decoder(read_description(folder)) == replace(found, lm_weight=0.4)
    store_decoder(folder, {}, lm=folder / "lm.ngram")  # its own file is no reason to fail; what was weighed goes
    wanted = BeamOptions(folder / "lexicon.txt", folder / "lm.ngram", beam_size=20)
    assert read_decoder(read_description(folder)) == wanted


@pytest.mark.parametrize(
    ("stored", "match"),
    [
        ("beam", "decoder is 'beam'; wanted an object"),
        ({"lm": "../words.arpa"}, r"decoder.lm is '../words.arpa'; wanted the name of a file in that folder"),
        ({"lm": "/etc/passwd"}, "wanted the name of a file in that folder"),
        ({"lm": "none.arpa"}, "wanted the name of a file in that folder"),
        ({"alpha": 0.5}, "decoder.alpha is no option of beam search; wanted lm, lexicon, beam_size"),
        ({"hotwords": ["a"]}, "decoder.hotwords is no option"),
        ({"lm_weight": "high"}, "decoder.lm_weight is 'high'; wanted a number"),
        ({"lm_weight": -1}, "lm_weight is -1; wanted at least 0"),
    ],
)
def test_what_cannot_be_is_refused(folder, arpa, stored, match) -> None:
    settings = json.loads((folder / "xlsr.json").read_text()) | {"decoder": stored}
    (folder / "xlsr.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=match):
        read_decoder(read_description(folder))


def test_numbers_go_with_the_layout_of_transformers(folder, arpa) -> None:
    assert xlsr.attach_lm(folder, arpa, lm_weight=0.6, word_score=1.0, layout="transformers") == folder
    assert (folder / "language_model" / "lm.arpa").is_file()
    assert json.loads((folder / "preprocessor_config.json").read_text())["processor_class"] == "Wav2Vec2ProcessorWithLM"
    assert "decoder" not in read_description(folder).extras
    found = read_decoder(read_description(folder))
    assert (found.lm_weight, found.word_score, found.lm.unit) == (0.6, 1.0, "word")
    store_decoder(folder, {"lm_weight": 1.2})
    again = read_decoder(read_description(folder))
    assert (again.lm_weight, again.word_score, again.lm.words) == (1.2, 1.0, found.lm.words)


def test_a_language_model_is_attached_to_a_copy(folder, arpa, tmp_path) -> None:
    copy = xlsr.attach_lm(folder, arpa, unk_score=-3.0, output=tmp_path / "copy")
    assert read_decoder(read_description(copy)) == BeamOptions(lm=copy / "lm.ngram", unk_score=-3.0)
    assert read_decoder(read_description(folder)) is None
    with pytest.raises(CheckpointError, match="holds something already"):
        xlsr.attach_lm(folder, arpa, output=copy)


def test_the_layout_of_transformers_takes_the_place_of_ours(folder, arpa, tmp_path) -> None:
    (tmp_path / "words.txt").write_text("ab\n")
    xlsr.attach_lm(folder, arpa, lexicon=tmp_path / "words.txt", lm_weight=0.6)
    store_decoder(folder, {"beam_size": 7})
    xlsr.attach_lm(folder, arpa, lm_weight=2.0, layout="transformers")
    found = read_decoder(read_description(folder))
    assert (found.lm_weight, found.lexicon, found.beam_size) == (2.0, None, 7)
    assert not isinstance(found.lm, Path)


def test_a_language_model_is_for_its_language(folder, arpa) -> None:
    store_decoder(folder, {}, lm=arpa, language="fra")
    description = read_description(folder)
    assert read_decoder(description) is None
    french = replace(description, tokenizer=replace(description.tokenizer, language="fra"))
    assert read_decoder(french) == BeamOptions(lm=folder / "lm.ngram")


def test_files_of_a_search_go_on_with_a_model(folder, arpa, tmp_path) -> None:
    (tmp_path / "words.txt").write_text("ab\n")
    xlsr.attach_lm(folder, arpa, lexicon=tmp_path / "words.txt")
    for out in (tmp_path / "ours", tmp_path / "theirs"):
        write_description(read_description(folder), out)
    copy_decoder(folder, tmp_path / "ours")
    found = read_decoder(read_description(tmp_path / "ours"))
    assert found == BeamOptions(tmp_path / "ours" / "lexicon.txt", tmp_path / "ours" / "lm.ngram")
    xlsr.attach_lm(folder, arpa, layout="transformers", lm_weight=0.9)
    copy_decoder(folder, tmp_path / "theirs")
    assert (tmp_path / "theirs" / "alphabet.json").is_file()
    assert json.loads((tmp_path / "theirs" / "processor_config.json").read_text())["processor_class"].endswith("WithLM")


def test_a_mapped_language_model_can_be_replaced(folder, arpa) -> None:
    store_decoder(folder, {}, lm=arpa)
    mapped = NGram.load(folder / "lm.ngram")
    before = mapped.score(["ab", "a"])
    copy = folder.parent / "other.ngram"
    NGram.load(arpa).save(copy)
    store_decoder(folder, {}, lm=copy)
    store_decoder(folder, {}, lm=arpa)
    assert mapped.score(["ab", "a"]) == before
    assert not list(folder.glob(".part*"))


def test_what_does_not_fit_is_not_attached(folder, arpa, tmp_path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ConfigError, match="layout is 'kaldi'; wanted one of xlsr, transformers"):
        xlsr.attach_lm(folder, arpa, layout="kaldi")
    with pytest.raises(ConfigError, match="lm_weight is -1"):
        xlsr.attach_lm(folder, arpa, lm_weight=-1)
    (tmp_path / "bad.arpa").write_text("no model")
    with pytest.raises(LanguageModelError):
        xlsr.attach_lm(folder, tmp_path / "bad.arpa")
    assert sorted(path.name for path in folder.iterdir()) == before
    (folder / "vocab.json").unlink()
    with pytest.raises(CheckpointError, match="has no vocabulary"):
        xlsr.attach_lm(folder, arpa)


def test_info_tells_of_the_search_and_of_what_it_lacks(folder, arpa) -> None:
    assert xlsr.info(folder).decoder is None
    xlsr.attach_lm(folder, arpa, lm_weight=0.6)
    assert xlsr.info(folder).decoder == "beam search of 100 with a language model of weight 0.6"
    (folder / "lm.ngram").unlink()
    found = xlsr.info(folder)
    assert found.decoder is None
    assert any("decoder.lm is 'lm.ngram'; wanted the name of a file" in problem for problem in found.problems)


def test_a_binary_of_kenlm_is_refused_with_two_ways_out(folder, arpa) -> None:
    xlsr.attach_lm(folder, arpa, layout="transformers")
    (folder / "language_model" / "lm.arpa").unlink()
    (folder / "language_model" / "5gram.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" * 9)
    with pytest.raises(LanguageModelError, match=r"binary of KenLM.* the ARPA file .*--beam_size 1 \(decoder="):
        read_decoder(read_description(folder))
