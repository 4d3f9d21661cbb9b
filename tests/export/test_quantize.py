"""A graph in eight bits: smaller, nearly as right, and refused where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import xlsr
from xlsr.checkpoint.folder import find_model
from xlsr.data.manifest import Utterance, load_utterance, read_manifest, write_manifest
from xlsr.errors import ExportError
from xlsr.export import graph, quantize

# torch's exporter warns of its own parts.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def digits(corpora: Path, tmp_path_factory) -> Path:
    """Some spoken digits of the speaker that the shipped model chose by."""
    pytest.importorskip("nncf", reason="the extra `export` is not installed")
    path = tmp_path_factory.mktemp("digits") / "digits.jsonl"
    write_manifest(read_manifest(corpora / "fsdd" / "manifest.jsonl", split="dev")[::5], path)
    return path


def test_eight_bits_are_smaller_and_hear_the_same(digits, tmp_path) -> None:
    receipt = xlsr.export_model(
        "openvino", "default", tmp_path / "out", precision="int8", calibration=digits, limit=2.0
    )
    whole = xlsr.load_model(engine="openvino")
    small = xlsr.load_model(tmp_path / "out", engine="openvino")
    assert receipt.largest_difference < 1e-3
    assert receipt.change is not None
    assert receipt.change.utterances == len(read_manifest(digits)) - len(read_manifest(digits)) // 2
    assert abs(receipt.change.points) <= 2.0
    found = (tmp_path / "out" / "openvino" / "model.bin").stat().st_size
    assert found < 0.4 * (find_model("default") / "openvino" / "model.bin").stat().st_size
    clips = [load_utterance(utterance) for utterance in read_manifest(digits)]
    texts = [[model.transcribe(clip).text for clip in clips] for model in (whole, small)]
    assert np.mean([one == other for one, other in zip(*texts, strict=True)]) > 0.95


def test_a_graph_that_loses_too_much_is_refused_or_forced(digits, tmp_path, monkeypatch) -> None:
    change = quantize.Change(utterances=10, before=0.10, after=0.12, speed=1.5)
    monkeypatch.setattr(graph, "quantize", lambda path, description, manifest: change)
    options = {"precision": "int8", "calibration": digits}
    with pytest.raises(ExportError, match=r"10\.00% -> 12\.00% \(\+2\.00 points\) on 10 utterances.*at most 0\.1"):
        xlsr.export_model("openvino", "default", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    receipt = xlsr.export_model("openvino", "default", tmp_path / "out", **options, force=True)
    assert receipt.change == change


def test_without_texts_the_graph_itself_says_what_is_right(digits, tmp_path) -> None:
    rows = read_manifest(digits)[:20]
    write_manifest((Utterance(audio=u.audio, duration=u.duration) for u in rows), tmp_path / "bare.jsonl")
    description = xlsr.load_model(engine="openvino").description
    for file in (find_model("default") / "openvino").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change = quantize.quantize(tmp_path / "model.xml", description, tmp_path / "bare.jsonl")
    assert change.before == 0.0
    assert change.after <= 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "onnx", "precision": "int8", "calibration": "x.jsonl"}, "eight bits are for openvino"),
        ({"precision": "int8"}, "int8 wants a calibration manifest"),
        ({"calibration": "x.jsonl"}, "a calibration manifest is for int8"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(options, message, tmp_path) -> None:
    with pytest.raises(ExportError, match=message):
        xlsr.export_model(**{"format": "openvino", "model": "default", "out": tmp_path / "out"} | options)


def test_one_utterance_is_not_enough(tmp_path) -> None:
    soundfile.write(tmp_path / "one.wav", np.zeros(16_000, np.float32), 16_000)
    write_manifest([Utterance(audio=tmp_path / "one.wav", duration=1.0)], tmp_path / "one.jsonl")
    pytest.importorskip("nncf")
    with pytest.raises(ExportError, match="lists one utterance"):
        quantize.quantize(tmp_path / "model.xml", xlsr.load_model().description, tmp_path / "one.jsonl")
