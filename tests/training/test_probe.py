"""The probe says yes to what can be learnt and no to what cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from tests.training.test_trainer import corpus  # noqa: F401  (a fixture)
from xlsr.training.probe import probe


@pytest.mark.slow
def test_tones_can_be_learnt(corpus) -> None:  # noqa: F811
    verdict = probe(corpus / "recipe.toml", seconds=60)
    assert verdict.learns
    assert verdict.error_rate < 0.1
    assert verdict.losses[-1] < verdict.losses[0]
    assert "start the run" in verdict.advice


@pytest.mark.slow
def test_silence_cannot(corpus, tmp_path) -> None:  # noqa: F811
    rows = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()]
    for index, row in enumerate(rows):
        soundfile.write(tmp_path / f"{index}.wav", np.zeros(round(row["duration"] * 16_000)), 16_000)
        row["audio"] = f"{index}.wav"
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    verdict = probe(corpus / "recipe.toml", overrides={"data.train": str(tmp_path / "train.jsonl")}, seconds=8)
    assert not verdict.learns
    assert "start the run" not in verdict.advice
