"""A CTC network as a graph with any batch and any length: (waveforms, lengths) -> log_probs.

Waveforms come normalised, as the network takes them; lengths are samples and are handled inside the graph, so that a
padded batch gives the frames of single utterances there too. Every export is compared with torch before it counts.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xlsr.checkpoint.decoder import copy_decoder
from xlsr.checkpoint.folder import copy_card, find_model, write_description
from xlsr.checkpoint.hf import load_ctc, save
from xlsr.config import Wav2Vec2Config
from xlsr.engines.runtime import converter, openvino
from xlsr.errors import ExportError, require
from xlsr.export.quantize import Change, quantize
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

GraphFormat = Literal["openvino", "onnx"]
Precision = Literal["fp32", "int8"]
GRAPH_PATHS: dict[GraphFormat, str] = {"openvino": "openvino/model.xml", "onnx": "model.onnx"}

Runner = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True)
class Receipt:
    """What an export was measured to be.

    Attributes:
        format: "openvino" or "onnx".
        path: the graph.
        megabytes: of the graph with its weights.
        largest_difference: of log-probabilities from torch's, over valid frames, before any rounding to eight bits.
        tolerance: that was allowed.
        change: of the errors by eight bits; None: these are 32 bits.
    """

    format: GraphFormat
    path: Path
    megabytes: float
    largest_difference: float
    tolerance: float
    change: Change | None = None


class _Graph(nn.Module):
    def __init__(self, model: Wav2Vec2ForCTC) -> None:
        super().__init__()
        self.model = model

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        return self.model.log_probs(waveforms, lengths)[0]


def export_model(
    format: GraphFormat,
    model: Path | str,
    out: Path | str,
    *,
    language: str | None = None,
    tolerance: float = 1e-3,
    precision: Precision = "fp32",
    calibration: Path | str | None = None,
    limit: float = 0.1,
    force: bool = False,
) -> Receipt:
    """Export a model folder's network into a folder that `load_model` takes.

    Args:
        format: "openvino" or "onnx".
        model: the source folder.
        out: the folder to write; may be the source itself, to which the graph is then added.
        language: for models of several languages: the one that the graph will speak.
        tolerance: largest difference of a log-probability from torch's that is accepted.
        precision: "int8" rounds weights and activations to eight bits (OpenVINO only).
        calibration: for that, a manifest of speech as the model will hear it, best with texts.
        limit: points of word error rate that eight bits may cost.
        force: keep a graph that costs more.

    Raises:
        ExportError: the graph differs from torch by more, or eight bits cost more; nothing of it is left.
    """
    source, out = find_model(model, language=language), Path(out)
    in_place = out.resolve() == source.resolve()
    if in_place and language is not None:
        raise ExportError("the graph of a language is exported into a folder of its own, beside its vocabulary")
    if not in_place and (out / "config.json").exists():
        raise ExportError(f"{out} holds a model already; name another folder")
    _check_precision(format, precision, calibration)
    description, network = load_ctc(source, language=language)
    _check_exportable(description.config, source)
    with tempfile.TemporaryDirectory(prefix="xlsr-export-") as temporary:
        path = Path(temporary) / GRAPH_PATHS[format]
        path.parent.mkdir(exist_ok=True)
        runner = _write_openvino(network, path) if format == "openvino" else _write_onnx(network, path)
        difference = largest_difference(network, runner)
        if not difference <= tolerance:
            raise ExportError(
                f"the {format} graph differs from torch by {difference:.2g}; at most {tolerance:.2g} is wanted"
            )
        change = None if calibration is None else quantize(path, description, calibration)
        if change is not None and change.points > limit and not force:
            raise ExportError(f"eight bits cost too much: {change}; at most {limit:g} are accepted, or force it")
        if not in_place:
            write_description(description, out)
            save(description, network, out)
            copy_card(source, out)
            copy_decoder(source, out)
        made = out / GRAPH_PATHS[format]
        made.parent.mkdir(parents=True, exist_ok=True)
        files = sorted(path.parent.glob(f"{path.stem}.*"))
        for file in files:
            shutil.copyfile(file, made.parent / file.name)
        size = sum(file.stat().st_size for file in files) / 1e6
    return Receipt(format, made, round(size, 2), difference, tolerance, change)


def _check_precision(format: GraphFormat, precision: Precision, calibration: Path | str | None) -> None:
    """Refuse what does not go together before anything is computed."""
    if precision == "int8" and format != "openvino":
        raise ExportError(f"eight bits are for openvino; {format} graphs have fp32")
    if precision == "int8" and calibration is None:
        raise ExportError("int8 wants a calibration manifest: speech as the model will hear it, best with texts")
    if precision == "fp32" and calibration is not None:
        raise ExportError("a calibration manifest is for int8; fp32 graphs need none")


def _check_exportable(config: Wav2Vec2Config, source: Path) -> None:
    """Refuse by name what the graph, which takes waveforms, cannot hold."""
    if config.is_bert:
        raise ExportError(f"{source} is a wav2vec2-bert, which takes log-mel features; waveform models are exported")
    if config.thinning != 1:
        raise ExportError(f"{source} has add_adapter, whose frames are not 50 a second; such models are not exported")


def largest_difference(model: Wav2Vec2ForCTC, runner: Runner) -> float:
    """Largest difference of a graph's log-probabilities from torch's, over a padded batch and single utterances."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for sizes in ([16000, 9000, 400], [30000], [4321], [400], [719]):
        lengths = np.array(sizes, dtype=np.int64)
        waveforms = rng.standard_normal((len(sizes), max(sizes))).astype(np.float32)
        waveforms[np.arange(max(sizes)) >= lengths[:, None]] = 0.0
        with torch.inference_mode():
            wanted = model.log_probs(torch.from_numpy(waveforms), torch.from_numpy(lengths))[0].numpy()
        found = runner(waveforms, lengths)
        for row, size in enumerate(sizes):
            frames = model.config.num_frames(size)
            worst = max(worst, float(np.abs(found[row, :frames] - wanted[row, :frames]).max()))
    return worst


def _program(model: Wav2Vec2ForCTC) -> torch.export.ExportedProgram:
    """The network's computation with any batch and any length."""
    # A single frame, 400 to 719 samples, would be a case of its own to the tracer; the graph computes it all the same.
    batch, samples = torch.export.Dim("batch"), torch.export.Dim("samples", min=720)
    example = (torch.randn(2, 16000), torch.tensor([16000, 12000]))
    shapes = {"waveforms": {0: batch, 1: samples}, "lengths": {0: batch}}
    try:
        return torch.export.export(_Graph(model).eval(), example, dynamic_shapes=shapes)
    except torch._dynamo.exc.UserError as error:
        kind = f"{model.config.model_type} with {model.config.position_embeddings_type} positions"
        raise ExportError(f"{kind} cannot be traced for any length; it runs on torch only") from error


def _write_openvino(model: Wav2Vec2ForCTC, path: Path) -> Runner:
    graph = converter().convert_model(_program(model))
    graph.inputs[0].get_tensor().set_names({"waveforms"})
    graph.inputs[1].get_tensor().set_names({"lengths"})
    graph.outputs[0].get_tensor().set_names({"log_probs"})
    openvino().save_model(graph, path, compress_to_fp16=False)
    compiled = openvino().Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(waveforms: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = compiled({"waveforms": waveforms, "lengths": lengths})["log_probs"]
        return found

    return run


def _write_onnx(model: Wav2Vec2ForCTC, path: Path) -> Runner:
    require("onnx", "export", "ONNX export")
    require("onnxscript", "export", "ONNX export")
    runtime = require("onnxruntime", "export", "checking an ONNX export")
    program = torch.onnx.export(
        _program(model), dynamo=True, verbose=False, input_names=["waveforms", "lengths"], output_names=["log_probs"]
    )
    assert program is not None
    program.save(path)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(waveforms: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(["log_probs"], {"waveforms": waveforms, "lengths": lengths})[0]
        return found

    return run
