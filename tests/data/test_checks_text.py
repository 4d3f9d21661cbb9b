"""Texts: each fault alone, the edges, and what is right and must not be told."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.data.checks_text import repaired_text, text_findings
from xlsr.data.manifest import Utterance
from xlsr.data.rows import Row


def rows(*texts: str | None, **fields) -> list[Row]:
    return [Row(line, b"", Utterance(Path(f"{line}.wav"), 2.0, text=text, **fields), {})
            for line, text in enumerate(texts, 1)]  # fmt: skip


def codes(*texts: str | None) -> list[set[str]]:
    """The findings of each text, in order."""
    found = text_findings(rows(*texts))
    return [{finding.code for finding in found if finding.line == line} for line in range(1, len(texts) + 1)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_text"),
        ("   ", "empty_text"),
        ("...", "empty_text"),
        ("\u200b", "empty_text"),
        ("a\u200bb", "invisible_characters"),
        ("soft\u00adhyphen", "invisible_characters"),
        ("no\u00a0break", "invisible_characters"),
        ("\ufeffbom", "invisible_characters"),
        ("left\u200eto", "invisible_characters"),
        ("bell\x07", "invisible_characters"),
        ("half\ud800", "invisible_characters"),
        ("joiner\u200cinside", "invisible_characters"),
        ("\u200cپیش", "invisible_characters"),
        (" a", "whitespace"),
        ("a ", "whitespace"),
        ("a  b", "whitespace"),
        ("a\tb", "whitespace"),
        ("a\nb", "whitespace"),
        ("a\u3000b", "whitespace"),
        ("cafe\u0301", "not_nfc"),
        ("\u212bngstrom", "not_nfc"),
        ("hеllo", "confusable_characters"),  # Cyrillic е
        ("привeт", "confusable_characters"),  # Latin e
        ("αlpha", "confusable_characters"),
        ("in 1999", "unspoken_symbols"),
        ("٣ كتب", "unspoken_symbols"),
        ("½ cup", "unspoken_symbols"),
        ("5 %", "unspoken_symbols"),
        ("you & me", "unspoken_symbols"),
        ("a|b", "unspoken_symbols"),
        ("20 €", "unspoken_symbols"),
    ],
)
def test_a_fault_is_told_by_its_name_alone(text: str, code: str) -> None:
    assert codes(text) == [{code}]


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world!",
        "don't – “quoted” … (really?)",
        "¿Qué tal?",
        "Привет, мир",
        "می\u200cخواهم",  # Persian is spelled with it
        "क्\u200dष",
        "你好。",
        "ქართული",
        "हिन्दी।",
        "x",
        "Ελληνικά",
        "naïve Ångström",
    ],
)
def test_right_spelling_is_left_alone(text: str) -> None:
    assert codes(text) == [set()]
    assert repaired_text(text) == text


def test_a_word_that_only_looks_like_the_language_is_told() -> None:
    english = ["that is a house and more"] * 5
    assert codes(*english, "that is а house") == [*[set()] * 5, {"confusable_characters"}]  # Cyrillic а
    russian = ["это дом и сад"] * 5
    assert codes(*russian, "это windows") == [set()] * 6  # a Latin word that cannot be Cyrillic


def test_missing_text_is_an_error_where_others_have_it() -> None:
    assert codes("hello", None) == [set(), {"empty_text"}]
    (finding,) = text_findings(rows(None, None))
    assert (finding.code, finding.severity, finding.line) == ("empty_text", "note", None)
    assert text_findings(rows(None, phones="a b")) == []
    assert text_findings([]) == []


@pytest.mark.parametrize(
    ("habit", "odd"),
    [
        ("all is low", ["Sentence case", "ALL IS HIGH", "OK"]),
        ("ALL IS HIGH", ["all is low", "Sentence case"]),
        ("Sentence case.", ["ALL IS HIGH"]),
    ],
)
def test_casing_unlike_the_rest_is_told(habit: str, odd: list[str]) -> None:
    assert codes(*[habit] * 40, *odd) == [*[set()] * 40, *[{"mixed_case"}] * len(odd)]


def test_casing_without_a_habit_is_one_note() -> None:
    (finding,) = text_findings(rows(*["all is low", "ALL IS HIGH"] * 20))
    assert (finding.code, finding.severity, finding.line) == ("mixed_case", "note", None)


def test_lower_case_fragments_and_abbreviations_are_no_fault_of_sentences() -> None:
    assert codes(*["He said so."] * 30, "and went on", "NATO", "你好") == [set()] * 33
    assert codes(*["low"] * 18, "HIGH AND LOUD") == [set()] * 19  # too few to have a habit


def test_the_rarer_apostrophe_is_told() -> None:
    assert codes(*["it's"] * 20, "it’s", "’tis") == [*[set()] * 20, {"confusable_characters"}, set()]
    (finding,) = text_findings(rows(*["it's", "it’s"] * 5))
    assert finding.line is None
    assert codes(*["l’eau"] * 5) == [set()] * 5


def test_rare_letters_are_told_in_a_large_corpus_only() -> None:
    plain = ["the same letters again and again"]
    found = text_findings(rows(*plain * 600, "a fjord"))
    assert {(finding.code, finding.line) for finding in found} == {("rare_characters", 601)}
    assert codes(*plain * 100, "a fjord")[-1] == set()
    many = [chr(0x4E00 + number) for number in range(600)]
    assert text_findings(rows(*many)) == []  # every character of Chinese is rare


def test_characters_that_training_lacks_are_told() -> None:
    train = rows("abc", "def", split="train", language="eng")
    held = rows("abc", "xyz abc", "DEF", split="test", language="eng")
    (finding,) = text_findings([*train, *held])
    assert (finding.code, finding.line) == ("unseen_characters", 2)
    assert finding.message.startswith("x y z ")
    (other,) = text_findings([*train, *rows("ქა", split="test", language="kat")])
    assert (other.code, other.line) == ("unseen_characters", None)
    assert text_findings(held) == []  # a test set alone has no training to lack


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_a_repaired_text_needs_no_repair(text: str) -> None:
    repaired = repaired_text(text)
    assert repaired_text(repaired) == repaired
    assert unicodedata.normalize("NFC", repaired) == repaired
    left = {finding.code for finding in text_findings(rows(repaired))}
    assert not left & {"whitespace", "not_nfc", "invisible_characters"}


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1))
def test_what_is_not_told_is_not_repaired(text: str) -> None:
    told = {finding.code for finding in text_findings(rows(text))}
    if repaired_text(text) != text:
        assert told & {"whitespace", "not_nfc", "invisible_characters", "empty_text"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(), max_size=30))
def test_no_text_breaks_the_checks(texts: list[str]) -> None:
    for finding in text_findings(rows(*texts)):
        json.dumps(finding.message)
        assert finding.line is None or 1 <= finding.line <= len(texts)
