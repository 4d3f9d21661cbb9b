"""The chance of speech, by Silero's voice activity detector run by OpenVINO. Needs the extra `vad`.

The one place that knows the package silero-vad: its network is taken from the package's files, which is never imported,
as that would load torch. Source: https://github.com/snakers4/silero-vad, version 6, the ONNX graph for whole sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.engines.runtime import openvino
from xlsr.errors import MissingDependencyError

Arrays = Mapping[str, NDArray[np.float32]]

_GRAPH = Path("data", "silero_vad_16k_sequence.onnx")
_STATE = (1, 1, 128)
_CONTEXT_SAMPLES = 64  # of the chunk before, that each chunk is given with
_MOST_CHUNKS = 1024  # in one call: half a minute


class Silero:
    """The network; each recording gets its own detector from it."""

    def __init__(self) -> None:
        package = find_spec("silero_vad")
        graph = Path(package.origin).parent / _GRAPH if package is not None and package.origin is not None else None
        if graph is None or not graph.is_file():
            raise MissingDependencyError("silero-vad 6.2.3 or later is needed to skip silence: pip install 'xlsr[vad]'")
        # Its matrices are small: a second thread costs more than it gives.
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        core = openvino().Core()
        self._compiled = core.compile_model(core.read_model(graph), "CPU", options)

    def detector(self) -> SileroDetector:
        """Return a detector that has heard nothing yet."""
        return SileroDetector(self._compiled.create_infer_request().infer)


class SileroDetector:
    """Tells how likely each 32 ms of one recording is speech, and remembers what it heard."""

    def __init__(self, infer: Callable[[Arrays], Arrays]) -> None:
        self._infer = infer
        self._hidden, self._cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        self._before = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def __call__(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the chance of speech of consecutive chunks: (chunks, 512) float32 at 16 kHz -> (chunks,)."""
        parts = [self._run(chunks[start : start + _MOST_CHUNKS]) for start in range(0, len(chunks), _MOST_CHUNKS)]
        return np.concatenate(parts)

    def _run(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        ends = chunks[:, -_CONTEXT_SAMPLES:]
        context = np.concatenate([self._before[None], ends[:-1]])
        self._before = ends[-1].copy()
        inputs = {"input": np.concatenate([context, chunks], axis=1), "h": self._hidden, "c": self._cell}
        found = self._infer(inputs)
        self._hidden, self._cell = found["hn"].copy(), found["cn"].copy()
        chances: NDArray[np.float32] = found["speech_probs"].reshape(-1).copy()
        return chances
