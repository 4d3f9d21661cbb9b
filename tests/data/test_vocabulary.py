"""A vocabulary spells what it was made of, and what cannot be spelt is named by its symbols."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.data.manifest import Utterance
from xlsr.data.vocabulary import Survey, build_vocabulary, case_of, spell, target_of
from xlsr.tokenizer import Tokenizer

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
CHARACTERS = st.characters(exclude_characters="|", exclude_categories=["Cs", "Z", "Cc"])


def test_letters_come_after_the_special_symbols_by_frequency_then_code_point() -> None:
    vocab = build_vocabulary(["bab c|", "\tb\nd"]).vocab
    assert vocab == {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "b": 5, "a": 6, "c": 7, "d": 8}


def test_phones_of_several_characters_are_one_symbol_and_need_no_delimiter() -> None:
    tokenizer = build_vocabulary(["tʃ oʊ tʃ", "aɪɚ oʊ"], targets="phones")
    assert list(tokenizer.vocab) == [*SPECIAL, "oʊ", "tʃ", "aɪɚ"]
    assert (tokenizer.is_phones, tokenizer.word_delimiter) == (True, None)
    assert spell(tokenizer, "aɪɚ tʃ").ids == [6, 5]


def test_phones_that_hold_a_word_delimiter_keep_it() -> None:
    tokenizer = build_vocabulary(["h ə | w | h"], targets="phones")
    assert list(tokenizer.vocab)[:6] == [*SPECIAL, "|", "h"]
    spelling = spell(tokenizer, "h | w")
    assert spelling.ids == [5, 4, tokenizer.vocab["w"]]
    assert not spelling.outside + spelling.changed
    assert tokenizer.decode(spelling.ids, group=False) == "h w"  # as transformers prints phones


@pytest.mark.parametrize(("targets", "order"), [("text", ["ab", "ba c"]), ("phones", ["ab b", "b ab c"])])
def test_the_order_of_texts_does_not_change_the_vocabulary(targets, order) -> None:
    assert build_vocabulary(order, targets=targets).vocab == build_vocabulary(order[::-1], targets=targets).vocab


def test_symbols_below_the_least_count_are_left_out_and_named() -> None:
    tokenizer = build_vocabulary(["aab", "aé"], min_count=2)
    assert list(tokenizer.vocab) == [*SPECIAL, "|", "a"]
    survey = Survey(tokenizer)
    assert [survey.add(text).outside for text in ("aab", "aé", "a a")] == [("b",), ("é",), ()]
    report = survey.report()
    assert {symbol: (seen.count, seen.example) for symbol, seen in report.left_out.items()} == {
        "b": (1, "aab"),
        "é": (1, "aé"),
    }
    assert (report.failures, report.failed) == (2, {"aab": ("b",), "aé": ("é",)})


def test_the_report_counts_symbols_scripts_and_rare_ones_with_an_example() -> None:
    tokenizer = build_vocabulary(["aaaa aaab", "аz"])  # the last а is Cyrillic
    survey = Survey(tokenizer)
    for text in ("aaaa aaab", "аz"):
        survey.add(text)
    report = survey.report()
    assert report.symbols == {"a": 7, "|": 1, "b": 1, "а": 1, "z": 1}
    assert report.scripts == {"LATIN": 9, "CYRILLIC": 1}
    assert {symbol: seen.example for symbol, seen in report.rare.items()}["а"] == "аz"
    assert (report.texts, report.failures, report.unused) == (2, 0, ())
    assert json.loads(json.dumps(report.to_dict()))["rare"]["b"] == {"count": 1, "example": "aaaa aaab"}
    assert "CYRILLIC 1" in str(report)
    assert "а 1 x, in 'аz'" in str(report)


def test_symbols_that_no_text_has_are_named() -> None:
    survey = Survey(Tokenizer.from_symbols([*SPECIAL, "|", "a", "q"]))
    survey.add("a")
    assert survey.report().unused == ("|", "q")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(CHARACTERS)))
def test_a_vocabulary_spells_the_texts_it_was_made_of(words: list[str]) -> None:
    text = " ".join(" ".join(words).split())
    tokenizer = build_vocabulary([text])
    spelling = spell(tokenizer, text)
    if any(symbol in text for symbol in SPECIAL):
        return  # which text cannot hold
    assert not spelling.outside + spelling.changed
    assert tokenizer.decode(spelling.ids, group=False) == text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(CHARACTERS, min_size=1), min_size=1).filter(lambda p: not set(p) & set(SPECIAL)))
def test_a_vocabulary_spells_the_phones_it_was_made_of(phones: list[str]) -> None:
    text = " ".join(" ".join(phones).split())
    tokenizer = build_vocabulary([text], targets="phones")
    spelling = spell(tokenizer, text)
    assert not spelling.outside + spelling.changed
    assert tokenizer.decode(spelling.ids, group=False) == text


@pytest.mark.parametrize(
    ("symbols", "text", "outside", "changed"),
    [
        (["a", "b"], "a|b", (), ("|",)),  # a delimiter of the text's own would come back as a space
        (["a", "b"], "ab?b!", ("?", "!"), ()),
        (["up", "down"], "up down", (), ()),
        (["up", "down"], "up left", ("l", "e", "f", "t"), ()),
        (["a"], "a<pad>a", (), ("<", "p", "d", ">", "a")),  # the blank is no label
    ],
)
def test_symbols_at_fault_are_named(symbols, text, outside, changed) -> None:
    spelling = spell(Tokenizer.from_symbols([*SPECIAL, "|", *symbols]), text)
    assert (spelling.outside, set(spelling.changed)) == (outside, set(changed))


def test_a_letter_whose_capital_is_another_word_is_named() -> None:
    tokenizer = Tokenizer.from_symbols([*SPECIAL, "|", "S", "A"], lowercase=True)
    assert spell(tokenizer, "as").ids == [6, 5]
    assert spell(tokenizer, "aß").changed == ("ß",)


def test_without_an_unknown_symbol_what_is_outside_is_named_too() -> None:
    spelling = spell(Tokenizer.from_symbols(["<pad>", "|", "a"]), "ab")
    assert (spelling.ids, spelling.outside) == ([], ("b",))


@pytest.mark.parametrize(
    ("letters", "case"),
    [("ABC'", "upper"), ("abcß", "lower"), ("aB", "keep"), ("אב", "keep"), ("აბ", "lower")],
)
def test_texts_take_the_case_of_the_vocabulary(letters: str, case: str) -> None:
    assert case_of(Tokenizer.from_symbols(["<pad>", "<unk>", "[UNK]", "|", *letters])) == case


def test_a_released_vocabulary_of_capitals_spells_lower_case_texts(reference: Path, tmp_path: Path) -> None:
    symbols = json.loads((reference / "configs" / "vocab_base_960h.json").read_text("utf-8"))
    (tmp_path / "vocab.json").write_text(json.dumps(symbols))
    tokenizer = Tokenizer.from_folder(tmp_path)
    utterance = Utterance(Path("a.wav"), 1.0, text=" it's  Ê ", phones="t  S")
    assert target_of(utterance, "text", case_of(tokenizer)) == "IT'S Ê"
    assert target_of(utterance, "phones", "lower") == "t S"
    assert spell(tokenizer, "IT'S").ids == [10, 6, 27, 12]


def test_the_ids_equal_those_of_transformers(tmp_path: Path) -> None:
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2PhonemeCTCTokenizer

    letters, phones = build_vocabulary(["ein äh"]), build_vocabulary(["aɪ n tʃ | n"], targets="phones")
    letters.to_folder(tmp_path / "letters")
    phones.to_folder(tmp_path / "phones")
    theirs = Wav2Vec2CTCTokenizer.from_pretrained(tmp_path / "letters")
    assert theirs("äh ein").input_ids == spell(letters, "äh ein").ids
    theirs = Wav2Vec2PhonemeCTCTokenizer.from_pretrained(tmp_path / "phones")
    ids = spell(phones, "tʃ n | n").ids
    assert theirs("tʃ n | n").input_ids == ids
    assert theirs.decode(ids, group_tokens=False) == phones.decode(ids, group=False) == "tʃ n n"
