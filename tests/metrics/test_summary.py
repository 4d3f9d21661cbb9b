"""What a summary says of a small corpus that was counted by hand."""

from __future__ import annotations

import json

import jiwer
import pytest

from xlsr.metrics import Scored, compare_corpora, score_corpus

CORPUS = [
    Scored("one.wav", "a b c d", "a b c d", 1.0, "ann", "eng"),
    Scored("two.wav", "a b", "x b", 3.0, "ann", "eng"),
    Scored("three.wav", "e f g h", "e", 2.0, "bob", "deu"),
    Scored("four.wav", "", "a", 30.0, None, None),
]


def test_rates_and_parts_of_a_hand_counted_corpus() -> None:
    summary = score_corpus(CORPUS, by=("language", "speaker"))
    wer, cer = summary.total.rates
    assert (wer.name, wer.counts.errors, wer.counts.length, wer.value) == ("WER", 5, 10, 0.5)
    texts = [item.reference for item in CORPUS], [item.hypothesis for item in CORPUS]
    assert wer.value == jiwer.wer(*texts)
    assert (cer.name, cer.value) == ("CER", jiwer.cer(*texts))
    assert summary.rate("CER") is cer
    assert (wer.interval.unit, wer.interval.units) == ("speakers", 3)
    assert wer.interval.low <= wer.value <= wer.interval.high
    parts = {key: {part.name: part.rates[0].value for part in parts} for key, parts in summary.parts.items()}
    assert parts == {
        "duration": {"under 2 s": 0, "2 to 5 s": 4 / 6, "20 s and over": 1},
        "language": {"deu": 3 / 4, "eng": 1 / 6, "unknown": 1},
        "speaker": {"ann": 1 / 6, "bob": 3 / 4, "unknown": 1},
    }


def test_worst_utterances_and_confusions_come_in_order() -> None:
    summary = score_corpus(CORPUS)
    assert [item.name for item in summary.worst] == ["four.wav", "three.wav", "two.wav"]
    wrong = [(pair.reference, pair.hypothesis, pair.count) for pair in summary.confusions["WER"]]
    assert wrong == [(None, "a", 1), ("a", "x", 1), ("f", None, 1), ("g", None, 1), ("h", None, 1)]
    assert len(score_corpus(CORPUS, most=1).worst) == 1


def test_a_single_part_is_no_breakdown() -> None:
    assert score_corpus(CORPUS[:1]).parts == {}


def test_phones_have_rates_of_their_own() -> None:
    summary = score_corpus([Scored("a", "t͡ʃ iː z", "t͡ʃ ɪ z")], tokens="phones")
    rates = [(rate.name, rate.value) for rate in summary.total.rates]
    assert rates == [("PER", pytest.approx(1 / 3)), ("PFER", pytest.approx(2 / 24 / 3))]  # tense and long
    assert summary.table().columns[3:] == ("phones", "PER", "PFER")


def test_no_utterances_are_refused() -> None:
    with pytest.raises(ValueError, match="no utterances"):
        score_corpus([])
    with pytest.raises(ValueError, match="no utterances"):
        compare_corpora([], [])


def test_intervals_of_few_speakers_are_called_what_they_are() -> None:
    assert "2000 draws of 3 speakers; too few to trust" in score_corpus(CORPUS).note
    assert "nothing is said of other voices" in score_corpus(CORPUS[:2]).note
    assert score_corpus(CORPUS[:1]).note == "one utterance gives no interval"
    assert str(score_corpus(CORPUS[:1]).rate("WER")) == "0.0%"
    many = [Scored(f"{i}", "a b", "a", 1.0, f"s{i}") for i in range(12)]
    assert score_corpus(many).note == "95 % intervals from 2000 draws of 12 speakers"


def test_the_summary_is_json_and_markdown() -> None:
    summary = score_corpus([*CORPUS, Scored("five", "a", "a", 1.0, "eve", "<b>|")])
    fields = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert fields["total"]["rates"]["WER"]["value"] == 5 / 11
    assert fields["worst"] == ["four.wav", "three.wav", "two.wav"]
    lines = summary.to_markdown().splitlines()
    assert lines[0] == "|  | utterances | hours | words | WER | CER |"
    assert lines[2].startswith("| all | 5 | 0.01 | 11 | 45.5% [")
    assert any(line.startswith(r"| &lt;b>\| | 1 |") for line in lines)
    assert lines[-1].endswith("are wanted.")


def test_two_systems_are_compared_on_the_same_utterances_only() -> None:
    better = [Scored(item.name, item.reference, item.reference, item.duration, item.speaker) for item in CORPUS]
    found = compare_corpora(CORPUS, better)
    assert found["WER"].first == 0.5
    assert found["WER"].second == 0
    assert found["WER"].difference == -0.5
    with pytest.raises(ValueError, match="same utterances"):
        compare_corpora(CORPUS, better[::-1])
