"""Stored features are the teacher's frames, of short recordings and of long ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers

import xlsr
from xlsr import cli
from xlsr.audio import normalize_waveform
from xlsr.data.manifest import Utterance, read_manifest, write_manifest
from xlsr.data.stored_features import read_features
from xlsr.errors import ConfigError, ManifestError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    rows = []
    for name, size in (("b", 20_000), ("a", 9_000), ("c", 14_321), ("d", 500)):
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(size), 16_000, subtype="FLOAT")
        rows.append(Utterance(folder / f"{name}.wav", size / 16_000, split="test" if name == "d" else "train"))
    write_manifest(rows, folder / "list.jsonl")
    return folder


@pytest.mark.parametrize(("layer", "dtype", "tolerance"), [(1, "float32", 1e-5), (None, "float16", 4e-3)])
def test_stored_features_are_the_frames_of_transformers(
    corpus, pretrained_base, tmp_path, layer, dtype: str, tolerance: float
) -> None:
    done = xlsr.store_features(pretrained_base, corpus / "list.jsonl", tmp_path / "out", layer=layer, dtype=dtype)
    theirs = transformers.Wav2Vec2Model.from_pretrained(pretrained_base).eval()
    rows = read_manifest(done.manifest)
    assert [row.audio.name for row in rows] == ["b.wav", "a.wav", "c.wav", "d.wav"]  # in their order
    for row in rows:
        wave = torch.from_numpy(normalize_waveform(soundfile.read(row.audio, dtype="float32")[0]))[None]
        with torch.no_grad():
            heard = theirs(wave, output_hidden_states=True)
        wanted = heard.last_hidden_state if layer is None else heard.hidden_states[layer]
        np.testing.assert_allclose(read_features(row), wanted[0], rtol=0, atol=tolerance)  # float16 has 11 bits


def test_a_long_recording_has_all_its_frames(pretrained, tmp_path) -> None:
    samples = 31 * 16_000
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).standard_normal(samples), 16_000)
    write_manifest([Utterance(tmp_path / "long.wav", 31.0)], tmp_path / "list.jsonl")
    done = xlsr.store_features(pretrained, tmp_path / "list.jsonl", tmp_path / "out", threads=1)
    assert read_features(read_manifest(done.manifest)[0]).shape == (31 * 50 - 1, 32)


def test_one_bad_recording_does_not_stop_the_others(corpus, pretrained, tmp_path, capsys) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    write_manifest(
        [Utterance(tmp_path / "bad.wav", 1.0), *read_manifest(corpus / "list.jsonl")], tmp_path / "list.jsonl"
    )
    command = ["features", str(tmp_path / "list.jsonl"), str(tmp_path / "out"), "--model", str(pretrained)]
    assert cli.app([*command, "--split", "train"], result_action="return_value") == 0
    found = capsys.readouterr()
    assert found.out.split() == [str(tmp_path / "out" / "manifest.jsonl")]
    assert "3 utterances stored, 0 left out" in found.err
    command[2] = str(tmp_path / "all")
    assert cli.app(command, result_action="return_value") == 1
    shown = capsys.readouterr().err
    assert "bad.wav" in shown
    assert "4 utterances stored, 1 left out" in shown
    rows = [json.loads(line) for line in (tmp_path / "all" / "manifest.jsonl").read_text().splitlines()]
    assert rows[0]["features"].startswith("features-000000.tar/")


def test_what_cannot_be_stored_is_said_before_the_work(corpus, pretrained, tmp_path) -> None:
    with pytest.raises(ConfigError, match="layer 3 of the teacher is wanted; it has 1 to 2"):
        xlsr.store_features(pretrained, corpus / "list.jsonl", tmp_path / "out", layer=3)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "a.tar").touch()
    with pytest.raises(ManifestError, match="is in use"):
        xlsr.store_features(pretrained, corpus / "list.jsonl", tmp_path / "used")
