"""Words and their times against recorded offsets and transformers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.decoding.greedy import GreedyDecoder
from xlsr.decoding.hypothesis import Hypothesis, SpeltWord, TokenSpan, words_of
from xlsr.results import Character
from xlsr.tokenizer import Tokenizer

SYMBOLS = ["<pad>", "<s>", "</s>", "<unk>", "|", "A", "B", "Σ"]


def hypothesis_of(ids: list[int], vocab: int) -> Hypothesis:
    log_probs = np.full((len(ids), vocab), -20.0, dtype=np.float32)
    log_probs[np.arange(len(ids)), ids] = -0.5
    return GreedyDecoder(0).decode(log_probs)[0]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, object]:
    from transformers import Wav2Vec2CTCTokenizer

    folder = tmp_path_factory.mktemp("peer")
    ours = Tokenizer.from_symbols(SYMBOLS)
    ours.to_folder(folder)
    return ours, Wav2Vec2CTCTokenizer.from_pretrained(folder)


def test_words_equal_recorded_offsets(reference: Path, tmp_path: Path) -> None:
    golden = json.loads((reference / "golden" / "tokenizer_golden.json").read_text(encoding="utf-8"))
    vocab = (reference / "configs" / "vocab_base_960h.json").read_text(encoding="utf-8")
    (tmp_path / "vocab.json").write_text(vocab, encoding="utf-8")
    words = words_of(hypothesis_of(golden["ids"], 32), Tokenizer.from_folder(tmp_path))
    found = [{"word": w.text, "start_offset": w.start / 0.02, "end_offset": w.end / 0.02} for w in words]
    for word, wanted in zip(found, golden["word_offsets"], strict=True):
        assert word == pytest.approx(wanted)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(SYMBOLS) - 1), max_size=20))
def test_words_and_characters_equal_transformers(peer: tuple[Tokenizer, object], ids: list[int]) -> None:
    ours, theirs = peer
    wanted = theirs.decode(ids, output_char_offsets=True, output_word_offsets=True)
    words = words_of(hypothesis_of(ids, len(SYMBOLS)), ours, frame_seconds=1.0)
    assert [(w.text, w.start, w.end) for w in words] == [
        (w["word"], w["start_offset"], w["end_offset"]) for w in wanted.word_offsets or []
    ]
    assert [(c.text, c.start, c.end) for w in words for c in w.characters] == [
        (c["char"], c["start_offset"], c["end_offset"]) for c in wanted.char_offsets or [] if c["char"] != " "
    ]
    assert " ".join(w.text for w in words) == " ".join(wanted.text.split())


def test_phones_are_a_unit_each_without_delimiters() -> None:
    tokenizer = Tokenizer.from_symbols(["<pad>", "|", "oʊ", "t"], is_phones=True, word_delimiter="|")
    words = words_of(hypothesis_of([0, 2, 2, 1, 3, 0, 3], 4), tokenizer, frame_seconds=1.0)
    assert [(w.text, w.start, w.end, w.characters) for w in words] == [
        ("oʊ", 1, 3, ()),
        ("t", 4, 5, ()),
        ("t", 6, 7, ()),
    ]


def test_times_are_frames_of_20_ms_after_the_offset() -> None:
    tokenizer = Tokenizer.from_symbols(["<pad>", "a"])
    spans = (TokenSpan(1, 10, 12, math.log(0.5)),)
    (word,) = words_of(Hypothesis(spans, -1.0), tokenizer, offset_seconds=3600)
    assert (word.start, word.end) == pytest.approx((3600.2, 3600.24))
    assert word.characters == (Character("a", word.start, word.end, pytest.approx(0.5)),)


def test_score_of_a_word_is_the_geometric_mean_of_its_tokens() -> None:
    tokenizer = Tokenizer.from_symbols(["<pad>", "a", "b", "|"])
    spans = (TokenSpan(1, 0, 9, math.log(0.9)), TokenSpan(2, 9, 10, math.log(0.4)))
    assert words_of(Hypothesis(spans, 0.0), tokenizer)[0].score == pytest.approx(0.6)


def test_lowercase_reads_a_word_as_a_whole() -> None:
    tokenizer = Tokenizer.from_symbols(SYMBOLS, lowercase=True)
    ids = [7, 5, 7, 4, 6]
    words = words_of(hypothesis_of(ids, len(SYMBOLS)), tokenizer)
    assert [word.text for word in words] == ["σaς", "b"]
    assert tokenizer.decode(ids) == "σaς b"


def test_an_empty_hypothesis_has_no_words() -> None:
    assert words_of(Hypothesis((), 0.0), Tokenizer.from_symbols(SYMBOLS)) == []


def test_words_that_a_lexicon_names_keep_their_names() -> None:
    phones = Tokenizer.from_symbols(["<pad>", "t", "uː", "m"], is_phones=True)
    spans = tuple(TokenSpan(id, 10 * id, 10 * id + 5, -0.1) for id in (1, 2, 3))
    hypothesis = Hypothesis(spans, -1.0, words=(SpeltWord("two", 0, 2), SpeltWord("M", 2, 3)))
    words = words_of(hypothesis, phones, frame_seconds=1.0)
    assert [(word.text, word.start, word.end, word.characters) for word in words] == [
        ("two", 10, 25, ()),
        ("M", 30, 35, ()),
    ]
