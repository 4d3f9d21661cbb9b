"""The facade: audio in, transcripts out. Floor 4.

Reads, windows, encodes, stitches, decodes; the body of `transcribe` is the table of the data's path. Audio of any
length passes in windows with context on both sides, whose frames are stitched by stride arithmetic; audio that fits
one window is computed whole. Knows no format of files and no network: an engine gives log-probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import HOP_SAMPLES, AudioSource, Window, audio_name, open_audio, windows
from xlsr.checkpoint.folder import Description, find_model, read_description
from xlsr.decoding.calibration import Calibration, WordScorer
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.decoding.hypothesis import FRAME_SECONDS, words_of
from xlsr.engines.engine import Engine
from xlsr.errors import AudioError, CheckpointError, ConfigError, XlsrError, require
from xlsr.results import Timestamps, Transcript, split_segments, with_timestamps

LogProbs = NDArray[np.float32]
EngineName = Literal["auto", "openvino", "torch"]

# 25 s of kept audio with 2.5 s of context on both sides: a fifth of the work is context. The positional convolution
# reaches 1.28 s; attention further out changes probabilities little (docs/architecture.md gives the measured figures).
WINDOW_FRAMES = 1250
CONTEXT_FRAMES = 125


@dataclass(frozen=True)
class Failure:
    """An input of `transcribe_many` that could not be transcribed, and why."""

    audio: str
    error: str


class Recognizer:
    """A model ready to listen.

    Args:
        engine: gives log-probabilities.
        description: the model's configuration and vocabulary.
    """

    def __init__(self, engine: Engine, description: Description) -> None:
        if description.tokenizer is None:
            raise CheckpointError(
                f"{description.name} has no vocabulary: it is an encoder without a CTC head; "
                "fine-tune it first (xlsr finetune), or name a fine-tuned model"
            )
        if (hop := description.config.hop_samples // description.config.thinning) != HOP_SAMPLES:
            raise ConfigError(
                f"{description.name} has a frame every {hop} samples; one every {HOP_SAMPLES} is supported"
            )
        self.engine, self.description = engine, description
        self.tokenizer = description.tokenizer
        self.decoder = GreedyDecoder(self.tokenizer.blank_id)
        self.scorer: WordScorer | None = Calibration.from_extras(description.extras, description.name)
        named = description.extras.get("language")
        self.language = self.tokenizer.language or (named if isinstance(named, str) else None)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "default",
        *,
        engine: EngineName = "auto",
        device: str = "auto",
        language: str | None = None,
        threads: int = 0,
    ) -> Recognizer:
        """Load a model.

        Args:
            model: "default", the model that ships with the package; a model folder; a name on the hub; or any file
                that `xlsr import` takes.
            engine: "openvino" runs the folder's exported graph, "torch" its weights; "auto" takes the graph if
                there is one and the device is a CPU.
            device: "cpu", "cuda", ...; "auto" is a GPU if torch is chosen and has one.
            language: for models of several vocabularies.
            threads: CPU threads; 0: the engine's choice.

        Raises:
            CheckpointError: no such model, or its files do not fit each other.
            MissingDependencyError: torch is needed and not installed.
        """
        if engine not in get_args(EngineName) or threads < 0:
            raise ConfigError(
                f"engine {engine!r} with {threads} threads; wanted: one of {', '.join(get_args(EngineName))}, 0 or more"
            )
        folder = find_model(model, language=language)
        graph = folder / "openvino" / "model.xml"
        if engine == "openvino" and not graph.is_file():
            raise CheckpointError(f"{folder} has no OpenVINO graph; make one: xlsr export openvino {folder} OUT")
        if engine == "openvino" or (engine == "auto" and graph.is_file() and device in ("auto", "cpu")):
            return cls(*_openvino_engine(folder, graph, language, threads))
        return cls(*_torch_engine(folder, language, device, threads))

    def transcribe(self, audio: AudioSource, *, timestamps: Timestamps = "char") -> Transcript:
        """Transcribe one recording.

        Args:
            audio: path, bytes, file object, (samples,) array at 16 kHz, or (array, rate); "-" is stdin.
            timestamps: how deep the times go: "none", "segment", "word" or "char".

        Raises:
            AudioError: the recording cannot be read, or holds no usable signal.
        """
        return self._transcript(audio_name(audio), self.log_probs(audio), timestamps)

    def transcribe_many(
        self, audios: Iterable[AudioSource], *, batch_seconds: float = 120.0, timestamps: Timestamps = "char"
    ) -> Iterator[Transcript | Failure]:
        """Transcribe recordings in batches of similar length; results come in the order of the inputs.

        Args:
            audios: as for `transcribe`.
            batch_seconds: padded seconds of audio in one call of the engine.
            timestamps: as for `transcribe`.

        Yields:
            For each input its transcript, or a `Failure` that says why there is none.
        """
        if isinstance(audios, str | bytes | np.ndarray):
            raise AudioError(f"several recordings are wanted, in a list; got one {type(audios).__name__}")
        pending: list[tuple[str, list[Window] | XlsrError]] = []
        held = 0.0
        for audio in audios:
            name = audio_name(audio)
            try:
                with open_audio(audio) as stream:
                    parts = windows(stream.blocks(), window_frames=WINDOW_FRAMES, context_frames=CONTEXT_FRAMES)
                    first = list(_take(parts, 2))
                    if len(first) > 1:  # long: by itself, one window after the other
                        yield from self._flush(pending, batch_seconds, timestamps)
                        pending, held = [], 0.0
                        rows = [*self._encode(first), *(row for window in parts for row in self._encode([window]))]
                        yield self._transcript(name, np.concatenate(rows), timestamps)
                        continue
            except XlsrError as error:
                pending.append((name, error))
                continue
            pending.append((name, first))
            held += sum(len(window.waveform) for window in first) / 16_000
            # Four batches are sorted at a time: enough to find neighbours of similar length.
            if held >= 4 * batch_seconds:
                yield from self._flush(pending, batch_seconds, timestamps)
                pending, held = [], 0.0
        yield from self._flush(pending, batch_seconds, timestamps)

    def log_probs(self, audio: AudioSource) -> LogProbs:
        """Return the log-probabilities of a recording: (frames, vocab) float32, 50 frames a second."""
        with open_audio(audio) as stream:
            parts = windows(stream.blocks(), window_frames=WINDOW_FRAMES, context_frames=CONTEXT_FRAMES)
            return np.concatenate([row for window in parts for row in self._encode([window])])

    def _encode(self, parts: Sequence[Window]) -> list[LogProbs]:
        """The kept frames of each window."""
        found = self.engine.log_probs([window.waveform for window in parts])
        return [row[w.skip : w.skip + w.keep] for row, w in zip(found, parts, strict=True)]

    def _flush(
        self, pending: Sequence[tuple[str, list[Window] | XlsrError]], batch_seconds: float, timestamps: Timestamps
    ) -> Iterator[Transcript | Failure]:
        """Encode the waiting recordings, shortest first, and yield their results in their own order."""
        waiting = [window for _, part in pending if not isinstance(part, XlsrError) for window in part]
        encoded: dict[int, LogProbs] = {}
        for batch in _batches(sorted(waiting, key=lambda w: len(w.waveform)), batch_seconds):
            encoded |= {id(w): row for w, row in zip(batch, self._encode(batch), strict=True)}
        for name, part in pending:
            if isinstance(part, XlsrError):
                yield Failure(name, str(part))
                continue
            try:
                transcript = self._transcript(name, np.concatenate([encoded[id(w)] for w in part]), timestamps)
            except XlsrError as error:
                yield Failure(name, str(error))
            else:
                yield transcript

    def _transcript(self, name: str, log_probs: LogProbs, timestamps: Timestamps) -> Transcript:
        """Decode log-probabilities and put times on them."""
        if np.isnan(log_probs).any():
            raise CheckpointError(f"{self.description.name} gives no numbers (NaN) for {name}: its weights are damaged")
        hypotheses = self.decoder.decode(log_probs)
        words = words_of(hypotheses[0], self.tokenizer)
        if self.scorer is not None:
            words = self.scorer(words, hypotheses, log_probs, self.tokenizer)
        segments = split_segments(words, are_phones=self.tokenizer.is_phones)
        transcript = Transcript(
            text=" ".join(segment.text for segment in segments),
            language=self.language,
            segments=segments,
            duration=round(len(log_probs) * FRAME_SECONDS, 3),
            audio=name,
            model=self.description.name,
        )
        return with_timestamps(transcript, timestamps)


load_model = Recognizer.from_pretrained


def _openvino_engine(folder: Path, graph: Path, language: str | None, threads: int) -> tuple[Engine, Description]:
    from xlsr.engines.openvino import OpenVINOEngine

    description = read_description(folder)
    spoken = description.tokenizer_language
    if language is not None and language != spoken:
        raise CheckpointError(
            f"the graph of {folder} was exported for {spoken or 'one language'}, not for {language}: "
            "export it again with --language, or take --engine torch"
        )
    return OpenVINOEngine(graph, normalizes=description.normalizes, threads=threads), description


def _torch_engine(folder: Path, language: str | None, device: str, threads: int) -> tuple[Engine, Description]:
    torch = require("torch", "torch", f"running the weights of {folder} (it has no exported graph for this device)")
    from xlsr.checkpoint.load import load_checkpoint
    from xlsr.engines.torch import TorchEngine
    from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_checkpoint(folder, language=language)
    if not isinstance(loaded.network, Wav2Vec2ForCTC):
        raise CheckpointError(
            f"{folder} holds a {type(loaded.network).__name__}, an encoder without a CTC head: it has no vocabulary, "
            "so it cannot transcribe; fine-tune it first (xlsr finetune)"
        )
    try:
        engine = TorchEngine(loaded.network, normalizes=loaded.description.normalizes, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device} cannot be used: {str(error).partition(chr(10))[0]}") from error
    return engine, loaded.description


def _take(parts: Iterator[Window], count: int) -> Iterator[Window]:
    for _, window in zip(range(count), parts, strict=False):
        yield window


def _batches(ordered: Sequence[Window], batch_seconds: float) -> Iterator[list[Window]]:
    """Cut windows, sorted by length, into groups whose padded audio is at most `batch_seconds`."""
    batch: list[Window] = []
    for window in ordered:
        if batch and (len(batch) + 1) * len(window.waveform) > batch_seconds * 16_000:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch
