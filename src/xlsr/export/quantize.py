"""A graph in eight bits, and what that costs: weights and activations, by NNCF's post-training quantization.

The ranges of activations come from real speech, half of a manifest; the other half is transcribed by both graphs, by
the best path. Texts are compared in lower case without punctuation; where the manifest has none, the texts of the first
graph stand for them. Knows OpenVINO's graphs only.

Source: NNCF, post-training quantization of transformers (Apache-2.0).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE, normalize_waveform
from xlsr.checkpoint.folder import Description
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.engines.openvino import OpenVINOEngine
from xlsr.engines.runtime import openvino, quantizer
from xlsr.errors import ExportError
from xlsr.metrics import ErrorCounts, word_errors
from xlsr.normalize import normalize_text
from xlsr.recognizer import Recognizer

_CALIBRATED, _COMPARED = 300, 500  # utterances, at most
_MAX_SECONDS = 30.0  # of an utterance that calibrates: all activations of one are held at a time


@dataclass(frozen=True)
class Change:
    """What a graph lost and won by eight bits.

    Attributes:
        utterances: that were transcribed by both graphs.
        before: errors by word of the first graph; of a model of phones, by phone.
        after: the same of the graph in eight bits.
        speed: times as fast.
    """

    utterances: int
    before: float
    after: float
    speed: float

    @property
    def points(self) -> float:
        """What was added to the error rate, in percent of the words."""
        return 100 * (self.after - self.before)

    def __str__(self) -> str:
        return (
            f"word error rate {self.before:.2%} -> {self.after:.2%} ({self.points:+.2f} points) on {self.utterances} "
            f"utterances, {self.speed:.1f} x as fast"
        )


def quantize(graph: Path, description: Description, manifest: Path | str) -> Change:
    """Replace a graph by its like in eight bits.

    Args:
        graph: `model.xml`; is written anew.
        description: of the model that the graph computes.
        manifest: speech as the model will hear it; half of it calibrates, half compares.

    Raises:
        ExportError: the manifest lists fewer than two utterances.
        MissingDependencyError: NNCF is not installed.
    """
    nncf = quantizer()
    calibrating, comparing = _halves(manifest)
    before, seconds = _read(graph, description, comparing)
    waveforms = [load_utterance(utterance)[: round(_MAX_SECONDS * SAMPLE_RATE)] for utterance in calibrating]
    if description.normalizes:
        waveforms = [normalize_waveform(waveform) for waveform in waveforms]
    exact = openvino().Core().read_model(graph)
    made = nncf.quantize(
        exact,
        nncf.Dataset(waveforms, _inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(waveforms),
        ignored_scope=nncf.IgnoredScope(names=[_first_convolution(exact)]),
    )
    _save(made, graph)
    after, fewer_seconds = _read(graph, description, comparing)
    references = [u.text or u.phones or text for u, text in zip(comparing, before, strict=True)]
    return Change(len(comparing), _rate(references, before), _rate(references, after), seconds / fewer_seconds)


def _first_convolution(graph: Any) -> str:
    """The layer that hears the waveform, which stays as it is: in eight bits, quiet sounds drown in rounding noise."""
    name: str = next(op.get_friendly_name() for op in graph.get_ordered_ops() if op.get_type_name() == "Convolution")
    return name


def _save(made: Any, graph: Path) -> None:
    """Put a graph in the place of another, whose weights are still mapped: who reads the old file keeps it."""
    with tempfile.TemporaryDirectory(dir=graph.parent) as temporary:
        path = Path(temporary) / graph.name
        openvino().save_model(made, path, compress_to_fp16=True)
        for file in (path.with_suffix(".bin"), path):
            file.replace(graph.with_name(file.name))


def _inputs(waveform: NDArray[np.float32]) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    return {"waveforms": waveform[None], "lengths": np.array([len(waveform)], dtype=np.int64)}


def _halves(manifest: Path | str) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances to calibrate on and others to compare on, drawn from a manifest; the same ones every time."""
    utterances = read_manifest(manifest)
    if len(utterances) < 2:
        raise ExportError(f"{manifest} lists one utterance; eight bits want some to calibrate on and others to compare")
    order = np.random.default_rng(0).permutation(len(utterances))
    calibrated = min(_CALIBRATED, len(order) // 2)
    chosen = [utterances[place] for place in order[: calibrated + _COMPARED]]
    return chosen[:calibrated], chosen[calibrated:]


def _read(graph: Path, description: Description, utterances: Sequence[Utterance]) -> tuple[list[str], float]:
    """The texts of a graph, and the seconds that they took without the reading of files."""
    engine = OpenVINOEngine(graph, description.config, normalizes=description.normalizes)
    recognizer = Recognizer(engine, description, "greedy")
    texts, seconds = [], 0.0
    for utterance in utterances:
        waveform = load_utterance(utterance)
        started = time.perf_counter()
        texts.append(recognizer.transcribe(waveform, timestamps="none").text)
        seconds += time.perf_counter() - started
    return texts, seconds


def _rate(references: Sequence[str], texts: Sequence[str]) -> float:
    counts = ErrorCounts()
    for reference, text in zip(references, texts, strict=True):
        counts += word_errors(*(normalize_text(one, drop_punctuation=True) for one in (reference, text)))
    return counts.rate
