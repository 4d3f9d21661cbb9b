"""Comparisons: frames against labels, rates of speech against their language, duplicates and leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from xlsr.config import Wav2Vec2Config
from xlsr.data.checks_audio import Measurement
from xlsr.data.checks_corpus import corpus_findings
from xlsr.data.findings import Finding
from xlsr.data.manifest import Utterance
from xlsr.data.rows import Row

HEARD = Measurement(2.0, 2.0, 16_000, 0.5, -20.0, 0.0, 0.0, 0.9, "")


def row(line: int, text: str | None = "some words here", seconds: float = 2.0, **fields) -> Row:
    return Row(line, b"", Utterance(Path(f"{line}.wav"), seconds, text=text, **fields), {})


def found(rows: list[Row], heard: dict[Row, Measurement] | None = None, against: list[Row] | None = None,
          known: list[Finding] | None = None) -> set[tuple[int | None, str]]:  # fmt: skip
    findings = corpus_findings(rows, against or [], heard or {}, known or [])
    return {(finding.line, finding.code) for finding in findings}


@given(st.text("ab ", min_size=1, max_size=12), st.integers(400, 8_000))
def test_labels_fit_exactly_where_ctc_has_a_path(text: str, samples: int) -> None:
    """Oracle: torch's CTC loss is infinite exactly where no path exists."""
    spelled = " ".join(text.split())
    assume(spelled)
    frames = Wav2Vec2Config().num_frames(samples)
    ids = torch.tensor([[" ab".index(char) + 1 for char in spelled]])
    loss = torch.nn.functional.ctc_loss(
        torch.zeros(frames, 1, 4).log_softmax(-1), ids, torch.tensor([frames]), torch.tensor([ids.shape[1]])
    )
    told = (1, "too_many_labels") in found([row(1, text, samples / 16_000)])
    assert told == bool(torch.isinf(loss))


def test_labels_that_hardly_fit_are_suspicious() -> None:
    assert found([row(1, "abcdefg" * 5, 1.0)]) == set()  # 35 of 49 frames
    assert found([row(1, "abcdefg" * 6, 1.0)]) == {(1, "implausible_rate")}
    assert found([row(1, "abcdefg" * 7, 1.0)]) == {(1, "implausible_rate")}
    assert found([row(1, "abcdefg" * 7 + "a", 1.0)]) == {(1, "too_many_labels")}
    assert found([row(1, None, 1.0, phones=" ".join("abcde" * 10))]) == {(1, "too_many_labels")}


def test_measured_audio_counts_and_not_what_the_row_says() -> None:
    listed = row(1, "abcdefg" * 6, 4.0)
    assert found([listed]) == set()
    assert found([listed], {listed: replace(HEARD, seconds=0.5)}) == {(1, "too_many_labels")}


def test_lengths_that_fine_tuning_drops_are_told() -> None:
    rows = [row(1, "a", 0.09), row(2, "a", 0.1), row(3, "a", 30.0), row(4, "a", 30.1)]
    assert found(rows) == {(1, "duration_outlier"), (4, "duration_outlier")}
    assert found([row(1, None, 500.0)]) == set()  # pre-training cuts what is long


def test_a_fault_that_explains_a_length_is_told_alone() -> None:
    listed = row(1, "a", 40.0)
    assert found([listed], known=[listed.finding("wrong_rate", "twice as long")]) == set()
    assert found([listed], known=[listed.finding("wrong_rate", "of the original", "note")]) == {(1, "duration_outlier")}


def speech(count: int, *, seed: int = 0) -> list[Row]:
    """Rows of 14 letters a second, give or take a seventh."""
    rates = 14 * np.exp(0.15 * np.random.default_rng(seed).standard_normal(count))
    return [row(line, ("abcd " * 40)[: round(rate * 6)], 6.0) for line, rate in enumerate(rates, 1)]


def test_rates_far_from_the_usual_are_told() -> None:
    usual = speech(60)
    assert found(usual) == set()
    fast, slow = row(61, "abcde " * 36, 6.0), row(62, "ab", 6.0)
    assert found([*usual, fast, slow]) == {(61, "implausible_rate"), (62, "implausible_rate")}
    assert found([*usual[:10], slow]) == set()  # too few to know what is usual
    assert found([replace_language(fast, "deu"), *usual]) == set()  # another language


def replace_language(listed: Row, language: str) -> Row:
    return replace(listed, utterance=replace(listed.utterance, language=language))


def test_one_word_in_a_pause_is_no_slow_speech() -> None:
    rows = [*speech(60), row(61, "ab", 6.0)]
    heard = {listed: replace(HEARD, seconds=6.0, content=str(listed.line)) for listed in rows}
    assert found(rows, heard) == {(61, "implausible_rate")}
    heard[rows[-1]] = replace(heard[rows[-1]], sound_share=0.1)
    assert found(rows, heard) == set()


def test_equal_rates_have_no_outlier() -> None:
    assert found([row(line, "abcd efgh ijkl", 1.0) for line in range(1, 40)]) == set()


def test_duplicates_are_told_by_content_whatever_their_names() -> None:
    rows = [row(1), row(2, "Some words, here!"), row(3, "other words"), row(4), row(5)]
    contents = ["x", "x", "x", "y", "y"]
    heard = {listed: replace(HEARD, content=content) for listed, content in zip(rows, contents, strict=True)}
    assert found(rows, heard) == {(2, "duplicate_audio"), (3, "contradictory_text"), (5, "duplicate_audio")}
    silent = {listed: replace(measured, loudest_db=-100.0) for listed, measured in heard.items()}
    assert found(rows, silent) == set()  # all silence is alike


def test_without_audio_the_same_stretch_is_a_duplicate() -> None:
    one = row(1)
    assert found([one, replace(one, line=2)]) == {(2, "duplicate_audio")}
    later = replace(one, line=2, utterance=replace(one.utterance, offset=2.0))
    assert found([one, later]) == set()


def test_leaks_between_splits_are_told_where_they_can_be_mended() -> None:
    rows = [
        row(1, "the first of the sentences", split="train", speaker="A"),
        row(2, "another sentence of some length", split="train", speaker="B"),
        row(3, "yes", split="train", speaker="C"),
        row(4, "The first of the sentences.", split="test", speaker="X"),
        row(5, "yes", split="dev", speaker="B"),
        row(6, "and something else in here", split="dev", speaker="Y"),
    ]
    heard = {listed: replace(HEARD, content=str(listed.line)) for listed in rows}
    assert found(rows, heard) == {(1, "text_leak"), (5, "speaker_leak")}
    heard[rows[1]] = replace(HEARD, content="6")
    assert found(rows, heard) == {(1, "text_leak"), (2, "audio_leak")}  # without line 2, B is no leak


@pytest.mark.parametrize("others", ["test", "train", None])
def test_another_manifest_is_held_out_whatever_its_rows_say(others: str | None) -> None:
    ours = [row(1, "the first of the sentences", speaker="A"), row(2, "yes", split="test", speaker="B")]
    theirs = [row(1, "the first of the sentences", speaker="B", split=others)]
    assert found(ours, against=theirs) == {(1, "text_leak"), (2, "speaker_leak")}


def test_splits_that_share_by_design_bring_one_note() -> None:
    prompts = [f"prompt number {chr(97 + number)} of the set" for number in range(25)]
    train = [row(n, text, split="train", speaker="lj") for n, text in enumerate(prompts, 1)]
    test = [row(n, text, split="test", speaker="lj") for n, text in enumerate(prompts, 26)]
    findings = corpus_findings([*train, *test], [], {}, [])
    assert {(f.code, f.line, f.severity) for f in findings} == {
        ("text_leak", None, "note"), ("speaker_leak", None, "note")}  # fmt: skip


def test_a_corpus_of_nothing_has_no_faults() -> None:
    assert found([]) == set()
    assert found([row(1, None)]) == set()
