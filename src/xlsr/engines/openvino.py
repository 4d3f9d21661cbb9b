"""An exported graph on the CPU, by OpenVINO; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import normalize_waveform
from xlsr.config import Wav2Vec2Config
from xlsr.engines.runtime import openvino
from xlsr.errors import CheckpointError

# Samples. OpenVINO prepares itself for every new length, which costs a small network more than computing. Padding to
# half seconds, which exported graphs pass over, leaves few lengths: a folder of short clips takes half the time
# (benchmarks/results.md).
_LENGTH_STEP = 8_000


class OpenVINOEngine:
    """Runs `openvino/model.xml` of a model folder, one waveform after the other.

    On a CPU a batch is no faster than its members.

    Args:
        graph: `model.xml`.
        config: of the network in it.
        normalizes: whether waveforms are normalised first.
        threads: CPU threads; 0: OpenVINO's choice.

    Raises:
        CheckpointError: OpenVINO cannot load the graph.
    """

    def __init__(self, graph: Path, config: Wav2Vec2Config, *, normalizes: bool = True, threads: int = 0) -> None:
        # Processors with bf16 units would compute in bf16 by default: 5e-3 in the log-probabilities.
        options: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        core = openvino().Core()
        try:
            self.compiled = core.compile_model(core.read_model(graph), "CPU", options)
        except RuntimeError as error:
            raise CheckpointError(f"{graph} cannot be loaded by OpenVINO: {error}") from error
        self.request = self.compiled.create_infer_request()
        self.config, self.normalizes = config, normalizes

    @property
    def name(self) -> str:
        """What users call it."""
        return "openvino on cpu"

    def log_probs(self, waveforms: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """As `Engine.log_probs`."""
        return [self._run(normalize_waveform(w) if self.normalizes else w) for w in waveforms]

    def _run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        padding = -len(waveform) % _LENGTH_STEP
        inputs = {
            "waveforms": np.pad(waveform, (0, padding))[None],
            "lengths": np.array([len(waveform)], dtype=np.int64),
        }
        result = self.request.infer(inputs)
        log_probs: NDArray[np.float32] = result["log_probs"][0, : self.config.num_frames(len(waveform))].copy()
        return log_probs
