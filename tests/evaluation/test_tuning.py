"""Tuning finds the numbers with the fewest errors, and the model's folder uses them from then on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xlsr
from tests.evaluation.test_measure import LETTERS, Parrot, manifest_of
from xlsr.checkpoint.folder import Description, read_description, write_description
from xlsr.config import Wav2Vec2Config
from xlsr.errors import LanguageModelError, ManifestError
from xlsr.evaluation.tuning import Trial, tune_lm
from xlsr.metrics import word_errors
from xlsr.recognizer import Recognizer

SAID = ["the cat sat", "a cat", "the mat sat on the cat", "on the mat", "a mat on a mat"]


class Blurred(Parrot):
    """Says every vowel, and a little more clearly another one."""

    def _say(self, text: str, frames: int) -> np.ndarray:
        rows = super()._say(text, frames)
        vowels = "aeiou"
        for place, symbol in enumerate(text):
            if symbol in vowels:
                other = vowels[(vowels.index(symbol) + 1 + place % 3) % 5]
                rows[2 * place, LETTERS.blank_id] = -20
                rows[2 * place, LETTERS.vocab[symbol]] = -1.2
                rows[2 * place, LETTERS.vocab[other]] = -0.5
        return rows


@pytest.fixture
def lm(tmp_path) -> Path:
    (tmp_path / "text.txt").write_text("\n".join(SAID * 5))
    xlsr.build_lm([str(tmp_path / "text.txt")], tmp_path / "lm.arpa", order=2)
    return tmp_path / "lm.arpa"


@pytest.fixture
def model(tmp_path) -> Recognizer:
    description = Description(Wav2Vec2Config.from_dict({"vocab_size": LETTERS.size}), LETTERS)
    write_description(description, tmp_path / "model")
    return Recognizer(Blurred(LETTERS, SAID), read_description(tmp_path / "model"))


def test_errors_fall_and_the_folder_says_by_what(tmp_path, lm, model) -> None:
    rows = [{"text": text.capitalize()} for text in SAID]
    manifest = manifest_of(tmp_path, *rows, {"text": None})
    seen = []

    def watch(results, total):
        seen.append(total)
        return results

    found = xlsr.tune_lm(model, manifest, lm=lm, beam_size=30, progress=watch)
    assert seen == [6]
    assert found.greedy[0].rate > 0.8
    assert found.best.errors[0].errors == 0
    assert [Path(failure.audio).name for failure in found.failures] == ["5.wav"]
    assert found.best.errors == min((trial.errors for trial in found.trials), key=lambda pair: pair[0].errors)
    assert "best path" in found.table().to_text()
    assert str(tmp_path / "model" / "xlsr.json") in found.note
    again = Recognizer(Blurred(LETTERS, SAID), read_description(tmp_path / "model"))
    assert again.beam_options.lm_weight == found.best.lm_weight
    assert again.beam_options.beam_size == 30
    assert xlsr.evaluate(again, manifest).summary.rate("WER").value == 0
    # The one that it has can be tuned again.
    twice = xlsr.tune_lm(again, manifest, beam_size=30)
    assert twice.best.rank == found.best.rank


def test_the_search_stops_at_a_best_that_has_no_better_neighbour() -> None:
    from xlsr.evaluation.tuning import _search

    def attempt(weight: float, score: float) -> Trial:
        wrong = round(4000 * (weight - 0.9) ** 2 + 1000 * (score - 1.3) ** 2)
        counts = word_errors("a " * 20_000, "a " * (20_000 - wrong))
        return Trial(weight, score, (counts, counts))

    best, trials = _search(attempt)
    assert (best.lm_weight, best.word_score) == (0.875, 1.25)
    assert len({(trial.lm_weight, trial.word_score) for trial in trials}) == len(trials) < 60


def test_what_cannot_be_tuned_is_said(tmp_path, lm, model) -> None:
    manifest = manifest_of(tmp_path, {"text": "the cat sat"})
    with pytest.raises(LanguageModelError, match="has no language model, and none was given"):
        tune_lm(model, manifest)
    silent = tmp_path / "silent.jsonl"
    silent.write_text(manifest.read_text().replace('"text": "the cat sat"', '"text": null'))
    with pytest.raises(ManifestError, match=r"can be heard and has text; the first: .*0\.wav has no text"):
        tune_lm(model, silent, lm=lm)
    unsaved = Recognizer(model.engine, replace(model.description, folder=None))
    with pytest.raises(xlsr.XlsrError, match="no model folder"):
        tune_lm(unsaved, manifest, lm=lm)
