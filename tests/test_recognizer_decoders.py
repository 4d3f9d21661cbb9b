"""A recognizer decodes as it is told, else as its folder says, else by the best path."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import xlsr
from tests.levels import SYMBOLS, LevelEngine, level_recognizer, spoken, waveform_of
from tests.test_cli import run
from xlsr.checkpoint.folder import Description, read_description, write_description
from xlsr.config import Wav2Vec2Config
from xlsr.decoding.beam import BeamSearchDecoder
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.errors import ConfigError
from xlsr.recognizer import Recognizer
from xlsr.results import Transcript
from xlsr.tokenizer import Tokenizer

WORDS = ["abc", "ab", "cab", "bac", "a"]


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    """Words for a minute and a half: several windows."""
    return waveform_of(spoken(WORDS * 24, np.random.default_rng(3)))


@pytest.fixture
def folder(tmp_path):
    """A model folder with a language model that knows `cab` and `bac` only."""
    tokenizer = Tokenizer.from_symbols(SYMBOLS)
    description = Description(Wav2Vec2Config.from_dict({"vocab_size": tokenizer.size}), tokenizer)
    write_description(description, tmp_path / "model")
    (tmp_path / "text.txt").write_text("cab bac\nbac cab\nbac bac\n")
    xlsr.build_lm([str(tmp_path / "text.txt")], tmp_path / "lm.ngram", order=2)
    xlsr.attach_lm(tmp_path / "model", tmp_path / "lm.ngram", lm_weight=0.5, unk_score=-2.0)
    return tmp_path / "model"


def test_the_best_path_is_taken_where_a_folder_brings_nothing() -> None:
    model = level_recognizer(LevelEngine())
    assert isinstance(model.reader.decoder, GreedyDecoder)
    assert model.beam_options == xlsr.BeamOptions()
    with pytest.raises(ConfigError, match="decoder is 'beam'; wanted auto, greedy, the options of a beam search"):
        model.with_decoder("beam")


def test_a_folder_brings_its_search_and_can_be_told_otherwise(folder) -> None:
    model = Recognizer(LevelEngine(), read_description(folder))
    assert isinstance(model.reader.decoder, BeamSearchDecoder)
    assert model.beam_options == xlsr.BeamOptions(lm=folder / "lm.ngram", lm_weight=0.5, unk_score=-2.0)
    assert isinstance(model.with_decoder("greedy").reader.decoder, GreedyDecoder)
    own = model.with_decoder(model.reader.decoder)
    assert own.reader.decoder is model.reader.decoder, "a decoder of one's own goes too"
    assert own.engine is model.engine


def test_a_search_hears_the_same_words_in_long_recordings(recording) -> None:
    model = level_recognizer(LevelEngine())
    greedy = model.transcribe(recording)
    found = model.with_decoder(xlsr.BeamOptions(beam_size=8, nbest=4)).transcribe(recording)
    assert found.text == greedy.text == " ".join(WORDS * 24)
    starts = np.array([[word.start for word in one.words] for one in (found, greedy)])
    assert np.abs(starts[0] - starts[1]).max() < 0.021
    assert found.alternatives[0].text == found.text
    assert len({one.text for one in found.alternatives}) == 4
    scores = [one.score for one in found.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert greedy.alternatives == ()


def test_alternatives_are_in_the_json_and_come_back(recording) -> None:
    model = level_recognizer(LevelEngine()).with_decoder(xlsr.BeamOptions(nbest=2))
    found = model.transcribe(recording[:160_000])
    fields = json.loads(json.dumps(found.to_dict()))
    assert [one["text"] for one in fields["alternatives"]] == [one.text for one in found.alternatives]
    assert set(fields["alternatives"][0]) == {"text", "score", "acoustic_score", "lm_score"}
    assert Transcript.from_dict(fields).to_dict() == fields
    assert "alternatives" not in replace(found, alternatives=()).to_dict()


def test_scripts_without_spaces_have_none_and_a_word_for_each_character(recording) -> None:
    symbols = [*SYMBOLS[:4], "<x>", *SYMBOLS[5:]]
    model = level_recognizer(LevelEngine(), symbols, word_delimiter=None)
    silent = recording.copy()
    silent[np.abs(recording - 0.4) < 0.05] = 0  # no delimiters
    for decoder in ("greedy", xlsr.BeamOptions(beam_size=4, nbest=2)):
        found = model.with_decoder(decoder).transcribe(silent)
        assert found.text == "".join(WORDS * 24)
        assert "".join(segment.text for segment in found.segments) == found.text
        assert [word.text for word in found.words] == list(found.text)
        assert all(segment.end - segment.start < 12.1 for segment in found.segments)
        assert all(" " not in one.text for one in found.alternatives)


def test_a_lexicon_makes_words_of_phones(tmp_path) -> None:
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"]
    model = level_recognizer(LevelEngine(), symbols, is_phones=True, word_delimiter="|")
    (tmp_path / "words.txt").write_text("hello a b\nworld c a b\n")
    said = waveform_of(spoken(["ab", "cab", "ab"], np.random.default_rng(0)))
    assert [phone.text for phone in model.transcribe(said).phones] == list("abcabab")
    found = model.with_decoder(xlsr.BeamOptions(lexicon=tmp_path / "words.txt")).transcribe(said)
    assert [word.text for word in found.words] == ["hello", "world", "hello"]
    assert found.phones == ()


def test_hotwords_are_added_to_what_a_folder_brings(folder) -> None:
    model = Recognizer(LevelEngine(), read_description(folder))
    once = waveform_of(spoken(["bac"], np.random.default_rng(0)))
    (best,) = model.reader.decoder.decode(model.log_probs(once))
    hot = model.with_decoder(replace(model.beam_options, hotwords=("bac",), hotword_score=0.5))
    (again,) = hot.reader.decoder.decode(model.log_probs(once))
    assert again.lm_score == pytest.approx(best.lm_score)
    assert again.score == pytest.approx(best.score + 3 * 0.5, abs=1e-3), "three letters, each with its bonus"


def test_options_on_the_command_line(repository, tmp_path) -> None:
    digits = repository / "examples" / "digits.wav"
    done = run("transcribe", digits, "--nbest", "3", "--beam_size", "20", "-f", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["alternatives"]) == 3
    assert found["text"] == found["alternatives"][0]["text"]
    assert run("transcribe", digits, "--hotwords", "seven, nine", "--lm", "none").stdout.strip() == found["text"]
    assert run("transcribe", digits, "--beam_size", "1").stdout.strip() == found["text"]
    wrong = run("transcribe", digits, "--beam_size", "1", "--nbest", "3")
    assert wrong.returncode == 2
    assert "--beam_size 1 takes the best path, which knows no --nbest" in wrong.stderr
    assert run("transcribe", digits, "--beam_size", "0").returncode == 1
    unknown = run("transcribe", digits, "--hotwords", "eleven")
    assert unknown.returncode == 1
    assert "'eleven'" in unknown.stderr
    for options, why in (
        (["--lm_weight", "0.3"], "--lm_weight weighs a language model, and there is none"),
        (["--hotword_score", "3"], "--hotword_score is for --hotwords"),
        (["--hotwords", " , "], "wanted words or phrases, separated by commas"),
    ):
        done = run("transcribe", digits, *options)
        assert done.returncode in (1, 2)
        assert why in done.stderr
    assert run("transcribe", digits, "--beam_size", "1", "--nbest", "1", "--lm", "none").returncode == 0
    missing = run("evaluate", tmp_path / "none.jsonl", "--lm", tmp_path / "none.arpa")
    assert missing.returncode == 1
    assert "none.arpa" in missing.stderr
