"""A graph equals torch, for any batch and any length, or there is no graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models import ARCHITECTURES, tiny
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import load_ctc, save
from xlsr.engines.openvino import OpenVINOEngine
from xlsr.engines.torch import TorchEngine
from xlsr.errors import ExportError
from xlsr.export import graph
from xlsr.tokenizer import Tokenizer

# torch's exporter warns of its own parts.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"])


@pytest.fixture(params=ARCHITECTURES)
def source(request, tmp_path):
    model = tiny(request.param)
    save(Description(model.config, TOKENIZER), model, tmp_path / "source")
    return tmp_path / "source"


def test_openvino_gives_the_log_probs_of_torch(source, tmp_path) -> None:
    receipt = graph.export_model("openvino", source, tmp_path / "out")
    assert receipt.largest_difference < 1e-4
    description, model = load_ctc(tmp_path / "out")
    rng = np.random.default_rng(1)
    waveforms = [rng.standard_normal(n).astype(np.float32) for n in (400, 5000, 16_001)]
    theirs = TorchEngine(model).log_probs(waveforms)
    ours = OpenVINOEngine(receipt.path, description.config, normalizes=description.normalizes).log_probs(waveforms)
    for mine, other, waveform in zip(ours, theirs, waveforms, strict=True):
        assert mine.shape == other.shape == (model.config.num_frames(len(waveform)), 8)
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_onnx_gives_the_log_probs_of_torch(source, tmp_path) -> None:
    receipt = graph.export_model("onnx", source, tmp_path / "out")
    assert receipt.path.is_file()
    assert receipt.largest_difference < 1e-4


def test_a_graph_that_differs_is_refused_and_removed(source, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(graph, "largest_difference", lambda model, runner: 0.5)
    with pytest.raises(ExportError, match=r"differs from torch by 0\.5"):
        graph.export_model("openvino", source, tmp_path / "out")
    assert not (tmp_path / "out" / "openvino").exists()


def test_an_export_touches_no_other_model(source, tmp_path, monkeypatch) -> None:
    graph.export_model("openvino", source, source)
    before = (source / "openvino" / "model.bin").read_bytes()
    monkeypatch.setattr(graph, "largest_difference", lambda model, runner: float("nan"))
    with pytest.raises(ExportError, match="differs from torch"):
        graph.export_model("openvino", source, source)
    assert (source / "openvino" / "model.bin").read_bytes() == before
    with pytest.raises(ExportError, match="holds a model already"):
        graph.export_model("openvino", source, str(_other(tmp_path)))


def _other(folder):
    model = tiny("large")
    save(Description(model.config, TOKENIZER), model, folder / "other")
    return folder / "other"


def test_a_card_goes_with_the_graph(source, tmp_path) -> None:
    (source / "README.md").write_text("---\nlicense: mit\n---\n")
    graph.export_model("openvino", source, tmp_path / "out")
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()


def test_a_comparison_would_notice_a_wrong_graph(source) -> None:
    _, model = load_ctc(source)

    def wrong(waveforms, lengths):
        with torch.inference_mode():
            return model.log_probs(torch.from_numpy(waveforms))[0].numpy()  # forgets the lengths

    assert graph.largest_difference(model, wrong) > 1e-3
