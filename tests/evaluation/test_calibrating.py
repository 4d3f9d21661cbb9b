"""A calibration is proved on voices that it was not fitted to, and stored where it may be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xlsr
from tests.evaluation.test_measure import LETTERS, PHONES, Parrot, manifest_of
from tests.test_cli import run
from xlsr.checkpoint.folder import Description, update_extras
from xlsr.config import Wav2Vec2Config
from xlsr.data.manifest import read_manifest
from xlsr.decoding.calibration import KEY
from xlsr.errors import ConfigError, XlsrError
from xlsr.evaluation.calibrating import MIN_WORDS, _halves
from xlsr.metrics import Scored, ScoredWord
from xlsr.recognizer import Recognizer


class Mumbler(Parrot):
    """Says one letter a word, and the more often a wrong one the less clear it is, but always as if it were surer."""

    boast = 5.0

    def _say(self, text: str, frames: int) -> np.ndarray:
        rng = np.random.default_rng(frames)
        symbols = np.array([self.tokenizer.vocab[symbol] for symbol in self.letters])
        rows = np.full((frames, self.tokenizer.size), -20.0)
        rows[:, self.tokenizer.blank_id] = 0
        for place, symbol in enumerate(text.split()):
            odds = abs(rng.normal(1.2, 1.2))
            others = symbols[symbols != self.tokenizer.vocab[symbol]]
            heard = self.tokenizer.vocab[symbol] if rng.random() < 1 / (1 + np.exp(-odds)) else rng.choice(others)
            rows[4 * place, self.tokenizer.blank_id] = -20
            rows[4 * place, symbols] = 0
            rows[4 * place, heard] = self.boast * odds + np.log(len(others))
            if not self.tokenizer.is_phones:
                rows[4 * place + 2, [self.tokenizer.blank_id, self.tokenizer.vocab["|"]]] = -20, 0
        return (rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))).astype(np.float32)

    @property
    def letters(self) -> list[str]:
        return ["t͡ʃ", "iː", "ɪ", "z"] if self.tokenizer.is_phones else list("abcdefgh")


def mumbler(folder: Path, texts: list[str], tokenizer=LETTERS) -> Recognizer:
    """A recognizer whose model folder holds what a calibration needs."""
    config = Wav2Vec2Config.from_dict({"vocab_size": tokenizer.size})
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    update_extras(folder, {"name": "mumbler", "language": "eng"})
    return Recognizer(
        Mumbler(tokenizer, texts), Description(config, tokenizer, extras={"name": "mumbler"}, folder=folder)
    )


def spoken(
    folder: Path, key: str = "text", speakers: int = 4, letters: str = "a b c d e f g h a b c d"
) -> tuple[Path, list[str]]:
    texts = [" ".join(np.random.default_rng(n).permutation(letters.split())) for n in range(60)]
    rows = [{key: text, "speaker": f"s{number % speakers}"} for number, text in enumerate(texts)]
    return manifest_of(folder, *rows), texts


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> tuple[Path, Path, list[str], xlsr.evaluate]:
    folder = tmp_path_factory.mktemp("mumbler")
    manifest, texts = spoken(folder)
    found = xlsr.evaluate(mumbler(folder / "model", texts), manifest, calibrate=True)
    return folder / "model", manifest, texts, found


def test_scores_of_voices_that_were_held_out_become_probabilities(calibrated) -> None:
    folder, _, _, found = calibrated
    fitted = found.calibration
    assert fitted.unit == "speakers"
    assert fitted.after.words == fitted.before.words == 360  # half of 60 utterances of twelve words
    assert found.confidence.words == 720
    assert fitted.before.error > 0.12
    assert fitted.after.error < 1.5 * fitted.after.chance < 0.08
    assert fitted.after.cross_entropy > fitted.before.cross_entropy + 0.1
    before, after = fitted.characters
    assert after < before
    assert fitted.calibration.temperature > 1.5
    stored = json.loads((folder / "xlsr.json").read_text())
    assert (stored["name"], stored["language"]) == ("mumbler", "eng")
    assert stored[KEY] == fitted.calibration.to_dict()
    assert stored[KEY]["fitted_on"]["manifest"] == "list.jsonl"
    assert stored[KEY]["fitted_on"]["held_out"]["words"] == 360


def test_the_recognizer_takes_what_was_stored(calibrated) -> None:
    folder, manifest, texts, raw = calibrated
    extras = json.loads((folder / "xlsr.json").read_text())
    plain = Description(Wav2Vec2Config.from_dict({"vocab_size": LETTERS.size}), LETTERS, extras=extras, folder=folder)
    model = Recognizer(Mumbler(LETTERS, texts), plain)
    found = xlsr.evaluate(model, manifest)
    assert [item.hypothesis for item in found.utterances] == [item.hypothesis for item in raw.utterances]
    assert found.confidence.error < raw.confidence.error / 2
    assert found.confidence.score == pytest.approx(found.confidence.accuracy, abs=0.02)
    item = found.utterances[0]
    assert item.score == pytest.approx(np.mean([word.score for word in item.words]), abs=1e-3)
    # Calibrating again starts from what the network gives, and leaves the recognizer as it was.
    reader = model.reader
    again = xlsr.evaluate(model, manifest, calibrate=True, output=folder.parent / "again")
    assert again.calibration.calibration == raw.calibration.calibration
    assert again.confidence == raw.confidence
    assert model.reader is reader


def test_the_report_tells_what_scores_are_worth(calibrated) -> None:
    _, _, _, found = calibrated
    text = found.to_text()
    for row in (found.confidence.row(), found.calibration.before.row(), found.calibration.after.row()):
        assert all(cell in text for cell in row)
    fields = json.loads(found.to_json())
    assert fields["confidence"]["error"] == found.confidence.error
    assert fields["calibration"]["after"]["error"] == found.calibration.after.error
    assert fields["utterances"][0]["words"][0].keys() == {"text", "score", "right"}
    html = found.to_page().to_html()
    for part in ("Scores as probabilities", "Reliability", "Risk by coverage, utterances", "Calibration", "calibrated"):
        assert part in html


def test_phones_are_calibrated_as_words_are(tmp_path) -> None:
    manifest, texts = spoken(tmp_path, "phones", letters="t͡ʃ iː ɪ z t͡ʃ iː ɪ z t͡ʃ iː ɪ z")
    found = xlsr.evaluate(mumbler(tmp_path / "model", texts, PHONES), manifest, calibrate=True)
    assert found.calibration.characters is None
    assert found.calibration.after.error < found.calibration.before.error / 2


def test_words_that_normalisation_drops_are_not_judged(tmp_path) -> None:
    manifest, texts = spoken(tmp_path)
    manifest.write_text(manifest.read_text().replace('"text": "', '"text": "«Oh» '))
    model = mumbler(tmp_path / "model", texts)
    marked = replace(LETTERS, vocab={("!" if s == "a" else s): i for s, i in LETTERS.vocab.items()})
    model.reader = replace(model.reader, tokenizer=marked)
    model.engine.tokenizer = LETTERS
    found = xlsr.evaluate(model, manifest, drop_punctuation=True, calibrate=True)
    heard = sum(len(item.hypothesis.split()) for item in found.utterances)
    assert found.confidence.words == heard < 720
    assert found.calibration.calibration.fitted_on["words"] == heard


def item(words: int, speaker: str | None) -> Scored:
    return Scored("x", "", "", speaker=speaker, words=(ScoredWord("a", 0.5, True),) * words)


def test_halves_share_no_speaker_and_have_as_many_words_as_can_be() -> None:
    items = [item(5, "a"), item(4, "b"), item(2, "c"), item(5, "a"), item(3, "d")]
    held, unit = _halves(items)
    assert unit == "speakers"
    assert held == [False, True, True, False, True]
    alone, unit = _halves([item(3, "a")] * 4)
    assert unit == "utterances"
    assert sum(alone) == 2


def test_too_few_words_are_refused(tmp_path) -> None:
    manifest, texts = spoken(tmp_path, speakers=2)
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(lines[:7]))
    with pytest.raises(XlsrError, match=f"48 words were heard in one half of .* and 36 .* no speakers; {MIN_WORDS}"):
        xlsr.evaluate(mumbler(tmp_path / "model", texts), manifest, calibrate=True)
    assert KEY not in json.loads((tmp_path / "model" / "xlsr.json").read_text())


def test_an_output_is_for_a_calibration(tmp_path) -> None:
    with pytest.raises(ConfigError, match="calibrate is not asked for"):
        xlsr.evaluate("no/such/model", "no.jsonl", output=tmp_path / "new")


@pytest.mark.slow
def test_the_shipped_model_is_calibrated_on_real_digits(corpora, repository, tmp_path) -> None:
    digits = repository / "examples" / "digits.wav"
    source = corpora / "fsdd" / "manifest.jsonl"
    if not source.is_file():
        pytest.skip(f"{source} is not there: recordings of digits are needed")
    chosen = read_manifest(source, split="test")[::2]
    rows = [vars(utterance) | {"audio": str(utterance.audio.resolve()), "alignment": None} for utterance in chosen]
    manifest = tmp_path / "test.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    refused = run("evaluate", manifest, "--calibrate")
    assert refused.returncode == 1
    assert "--output FOLDER" in refused.stderr
    done = run("evaluate", manifest, "--calibrate", "-o", tmp_path / "mine", "--json", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    assert "calibrated on" in done.stderr
    assert "half held out" in done.stdout
    found = json.loads((tmp_path / "a.json").read_text())["calibration"]
    # 125 words of one speaker, fitted on 125 of another; chance alone makes 0.04.
    assert found["after"]["error"] < 0.1
    assert found["after"]["cross_entropy"] > found["before"]["cross_entropy"]
    mine, shipped = (xlsr.load_model(model).transcribe(digits) for model in (tmp_path / "mine", "default"))
    assert mine.text == shipped.text
    assert all(a.score != b.score for a, b in zip(mine.words, shipped.words, strict=True))
    assert 0 < mine.score < 1
