"""Silero's detector by OpenVINO against the same graph by ONNX Runtime, and what happens without the package."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from xlsr.engines import silero
from xlsr.engines.silero import Silero
from xlsr.errors import MissingDependencyError

CHUNK, CONTEXT = 512, 64


@pytest.fixture(scope="module")
def speech(repository) -> np.ndarray:
    samples, rate = soundfile.read(repository / "examples" / "digits.wav", dtype="float32")
    assert rate == 16_000
    return samples[: len(samples) // CHUNK * CHUNK].reshape(-1, CHUNK)


def by_onnx_runtime(chunks: np.ndarray) -> np.ndarray:
    """One chunk at a time, with the graph that the package itself runs on live audio."""
    import onnxruntime

    graph = Path(find_spec("silero_vad").origin).parent / "data" / "silero_vad.onnx"
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    state, before, found = np.zeros((2, 1, 128), np.float32), np.zeros((1, CONTEXT), np.float32), []
    for chunk in chunks:
        inputs = {"input": np.concatenate([before, chunk[None]], axis=1), "state": state, "sr": np.array(16_000)}
        chance, state = session.run(None, inputs)
        before = chunk[None, -CONTEXT:]
        found.append(float(chance[0, 0]))
    return np.array(found)


def test_chances_are_those_of_the_package(speech) -> None:
    found = Silero().detector()(speech)
    np.testing.assert_allclose(found, by_onnx_runtime(speech), rtol=0, atol=1e-3)  # two runtimes, fp32
    assert found.max() > 0.9
    assert found.shape == (len(speech),)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_chunks_may_come_in_any_number(speech, size: int, monkeypatch) -> None:
    monkeypatch.setattr(silero, "_MOST_CHUNKS", 16)
    network = Silero()
    detector = network.detector()
    found = np.concatenate([detector(speech[start : start + size]) for start in range(0, len(speech), size)])
    monkeypatch.undo()
    np.testing.assert_allclose(found, network.detector()(speech), rtol=0, atol=1e-5)


def test_silence_and_hiss_are_no_speech() -> None:
    hiss = np.random.default_rng(0).normal(0, 1e-3, (60, CHUNK)).astype(np.float32)
    for chunks in (np.zeros_like(hiss), hiss):
        assert Silero().detector()(chunks).max() < 0.5


def test_without_the_package_the_install_line_is_said(monkeypatch) -> None:
    monkeypatch.setattr(silero, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'xlsr\[vad\]'"):
        Silero()
