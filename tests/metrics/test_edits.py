"""Edits and error counts against jiwer."""

from __future__ import annotations

from pathlib import Path

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.metrics import (
    Confusion,
    Edit,
    ErrorCounts,
    align_chars,
    align_words,
    cer,
    char_errors,
    confusions,
    judge,
    per,
    token_errors,
    wer,
    word_errors,
)

texts = st.lists(st.sampled_from(["a", "b", "ab", "é", "  "]), max_size=8).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=4)


def counts_of(output: jiwer.WordOutput | jiwer.CharacterOutput) -> ErrorCounts:
    return ErrorCounts(output.substitutions, output.deletions, output.insertions, output.hits)


@settings(max_examples=150, deadline=None)
@given(pairs)
def test_word_errors_equal_jiwer(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = map(list, zip(*pairs, strict=True))
    counts = sum((word_errors(*pair) for pair in pairs), ErrorCounts())
    wanted = jiwer.process_words(references, hypotheses)
    assert counts == counts_of(wanted)
    assert wer(references, hypotheses) == pytest.approx(wanted.wer)


@settings(max_examples=150, deadline=None)
@given(pairs)
def test_char_errors_equal_jiwer(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = map(list, zip(*pairs, strict=True))
    counts = sum((char_errors(*pair) for pair in pairs), ErrorCounts())
    wanted = jiwer.process_characters(references, hypotheses)
    assert counts == counts_of(wanted)
    assert cer(references, hypotheses) == pytest.approx(wanted.cer)


def test_counts_of_a_hand_computed_case() -> None:
    counts = word_errors("a b c d e f", "x a b c e g")
    assert counts == ErrorCounts(substitutions=1, deletions=1, insertions=1, hits=4)
    assert (counts.length, counts.errors, counts.rate) == (6, 3, 0.5)


def test_empty_reference_counts_insertions_as_jiwer_does() -> None:
    assert wer("", "a b") == jiwer.wer("", "a b") == 2
    assert wer("", "") == jiwer.wer("", "") == 0
    assert wer("a b", "") == 1
    assert wer(["", "a b"], ["c", "a b"]) == jiwer.wer(["", "a b"], ["c", "a b"]) == 0.5


def test_no_utterances_have_no_errors() -> None:
    assert wer([], []) == cer([], []) == 0


def test_any_tokens_can_be_counted() -> None:
    assert token_errors(("oʊ", "t"), ("oʊ", "d", "t")) == ErrorCounts(0, 0, 1, 2)


def test_unequal_numbers_of_texts_are_named() -> None:
    with pytest.raises(ValueError, match="2 references but 1 hypotheses"):
        wer(["a", "b"], ["a"])


@settings(max_examples=150, deadline=None)
@given(texts, texts)
def test_edits_lead_from_reference_to_hypothesis(reference: str, hypothesis: str) -> None:
    edits = align_words(reference, hypothesis)
    assert [edit.reference for edit in edits if edit.reference is not None] == reference.split()
    assert [edit.hypothesis for edit in edits if edit.hypothesis is not None] == hypothesis.split()
    wanted = jiwer.process_words(reference, hypothesis).alignments[0]
    assert sum(edit.kind == "hit" for edit in edits) == sum(
        chunk.ref_end_idx - chunk.ref_start_idx for chunk in wanted if chunk.type == "equal"
    )


def test_edits_of_a_hand_computed_case() -> None:
    assert align_words("a b c", "a x c d") == (Edit("a", "a"), Edit("b", "x"), Edit("c", "c"), Edit(None, "d"))
    assert [edit.kind for edit in align_words("a b c", "a x c d")] == ["hit", "substitution", "hit", "insertion"]
    assert align_chars("ab ", "b") == (Edit("a", None), Edit("b", "b"))
    assert align_words("", "") == ()


def test_confusions_are_counted_most_frequent_first() -> None:
    edits = [edit for pair in (("a b c", "x b"), ("a", "x"), ("b", "b z")) for edit in align_words(*pair)]
    assert confusions(edits) == (Confusion("a", "x", 2), Confusion(None, "z", 1), Confusion("c", None, 1))


def test_phones_are_counted_whole_however_many_letters_they_have() -> None:
    assert per("t͡ʃ iː z", "t͡ʃ ɪ z") == pytest.approx(1 / 3)


def test_rates_of_the_examples_of_sclite_are_those_of_sclite() -> None:
    # Of the test data of NIST's scoring toolkit (public domain): six Ukrainian sentences, 13.6 % in its own record, and
    # seven turns of a telephone call, where "{ um / uh }" is what sclite chose.
    lines = Path(__file__).with_name("sclite.tsv").read_text("utf-8").splitlines()[1:]
    pairs, wanted = [], []
    for line in lines:
        reference, hypothesis, *counts = line.split("\t")
        pairs.append((reference, hypothesis))
        wanted.append(tuple(map(int, counts)))
    for pair, (hits, substitutions, deletions, insertions) in zip(pairs, wanted, strict=True):
        found = word_errors(*pair)
        assert found.length == hits + substitutions + deletions
        # Where two substitutions cost as much as a deletion and an insertion around a hit, sclite takes the hit (its
        # weights are 4, 3, 3) and jiwer either: their sum is the same, and so is the rate.
        assert found.errors == substitutions + deletions + insertions
    assert len(pairs) == 13
    ukrainian = sum((word_errors(*pair) for pair in pairs[:6]), ErrorCounts())
    assert ukrainian == ErrorCounts(substitutions=7, deletions=0, insertions=2, hits=59)
    assert f"{ukrainian.rate:.1%}" == "13.6%"


@given(texts, texts)
def test_parts_are_right_where_all_their_tokens_are(reference: str, hypothesis: str) -> None:
    said, heard = reference.split(), hypothesis.split()
    alone = judge(said, [[word] for word in heard])
    assert sum(alone) == word_errors(reference, hypothesis).hits
    pairs = [heard[at : at + 2] for at in range(0, len(heard), 2)]
    assert judge(said, [*pairs, []]) == [all(alone[2 * at : 2 * at + 2]) for at in range(len(pairs))] + [None]
