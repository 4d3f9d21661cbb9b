"""Live speech: how long words take to be committed, and what that costs in accuracy.

    python benchmarks/streaming.py MANIFEST [--model default] [--minutes 15] [--step 0.32] [--window 10] [--rate wer]
        [--mixed] [--plot OUT.svg]

The recordings of the manifest are joined to one, with pauses of 0.3 to 1.5 s, one speaker after the other (--mixed: in the
manifest's order), and fed in chunks of 100 ms under every delay and agreement. Latency is the audio heard between the end
of a word and its commit. The rivals are the same model on each recording by itself, and on the whole in windows of 30 s.
`--plot` wants the extra `report`.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import xlsr
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.engines.engine import Engine
from xlsr.normalize import normalize_text
from xlsr.streaming import StreamingRecognizer

Samples = NDArray[np.float32]
DELAYS = (0.0, 0.3, 0.6, 0.9, 1.2)
AGREEMENTS = (1, 2, 3)
CHUNK_SECONDS = 0.1


class Remembering:
    """An engine that computes the same waveform once."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, engine.name
        self.found: dict[bytes, Samples] = {}

    def log_probs(self, waveforms: Sequence[Samples]) -> list[Samples]:
        """As the engine."""
        return [self._row(waveform) for waveform in waveforms]

    def _row(self, waveform: Samples) -> Samples:
        key = hashlib.sha1(waveform.tobytes()).digest()
        if key not in self.found:
            self.found[key] = self.engine.log_probs([waveform])[0]
        return self.found[key]


class Result(NamedTuple):
    """What one setting gives."""

    agreement: int
    delay: float
    latency: float
    late: float
    rate: float


def recordings(manifest: Path, minutes: float, *, mixed: bool) -> tuple[list[Samples], list[str]]:
    """Recordings that make so many minutes together, with their texts."""
    waveforms: list[Samples] = []
    texts: list[str] = []
    rows = list(read_manifest(manifest))
    for utterance in rows if mixed else sorted(rows, key=lambda row: row.speaker or ""):
        waveforms.append(load_utterance(utterance))
        texts.append(clean(utterance.text or ""))
        if sum(map(len, waveforms)) > minutes * 60 * 16_000:
            break
    return waveforms, texts


def join(waveforms: Sequence[Samples]) -> Samples:
    """One recording of all, with pauses between, and three seconds of silence at the end."""
    rng = np.random.default_rng(0)
    parts: list[Samples] = []
    for index, waveform in enumerate(waveforms, 1):
        pause = rng.uniform(0.3, 1.5) if index < len(waveforms) else 3.0
        parts += [waveform, rng.normal(0, 1e-3, round(pause * 16_000)).astype(np.float32)]
    return np.concatenate(parts)


def listen(stream: StreamingRecognizer, waveform: Samples) -> tuple[str, list[float]]:
    """The text of all utterances, and the latency of each word in seconds."""
    texts: list[str] = []
    latencies: list[float] = []
    known = 0
    size = round(CHUNK_SECONDS * 16_000)
    for start in range(0, len(waveform), size):
        update = stream.feed(waveform[start : start + size])
        now = min(start + size, len(waveform)) / 16_000
        for segment in update.finished:
            latencies += [now - word.end for word in segment.words[known:]]
            texts.append(segment.text)
            known = 0
        latencies += [now - word.end for word in stream._committed[known:]]
        known = len(stream._committed)
    return " ".join([*texts, *(segment.text for segment in stream.finish().finished)]), latencies


def clean(text: str) -> str:
    return normalize_text(text, lowercase=True, drop_punctuation=True)


def plot(results: Sequence[Result], alone: float, whole: float, rate: str, out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((6.4, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="mean latency of a word, seconds", ylabel=f"{rate.upper()}, %")
    for agreement in AGREEMENTS:
        rows = [result for result in results if result.agreement == agreement]
        name = "delay alone" if agreement == 1 else f"{agreement} readings agree"
        axes.plot([row.latency for row in rows], [100 * row.rate for row in rows], "o-", markersize=3, label=name)
    axes.axhline(100 * alone, color="black", linewidth=1, label="each recording by itself")
    axes.axhline(100 * whole, color="black", linewidth=1, linestyle=":", label="the whole in windows of 30 s")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--step", type=float, default=0.32)
    parser.add_argument("--window", type=float, default=10.0)
    parser.add_argument("--rate", choices=("wer", "cer"), default="wer")
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    model = xlsr.load_model(arguments.model, threads=1)
    model.engine = Remembering(model.engine)
    rate = getattr(xlsr, arguments.rate)
    parts, texts = recordings(arguments.manifest, arguments.minutes, mixed=arguments.mixed)
    waveform, reference = join(parts), " ".join(texts)
    alone = rate(texts, [clean(model.transcribe(part, timestamps="none").text) for part in parts])
    whole = rate(reference, clean(model.transcribe(waveform, timestamps="none").text))
    print(f"{model.description.name}, {len(parts)} recordings, {len(waveform) / 16_000:.0f} s, {len(reference.split())} words; "
          f"{arguments.rate.upper()} {alone:.2%} each by itself, {whole:.2%} the whole in windows of 30 s; "
          f"live in steps of {arguments.step} s, window {arguments.window} s:")  # fmt: skip
    print(
        f"{'agreement':>9} {'delay':>6} {'latency':>8} {'95 %':>6} {arguments.rate.upper():>7} {'to each':>8} {'to whole':>9}"
    )
    results = []
    for agreement, delay in product(AGREEMENTS, DELAYS):
        stream = StreamingRecognizer(model, step_seconds=arguments.step, window_seconds=arguments.window,
                                     delay_seconds=delay, agreement=agreement)  # fmt: skip
        text, latencies = listen(stream, waveform)
        found = rate(reference, clean(text))
        results.append(Result(agreement, delay, float(np.mean(latencies)), float(np.quantile(latencies, 0.95)), found))
        print(f"{agreement:9d} {delay:6.2f} {results[-1].latency:8.2f} {results[-1].late:6.2f} {found:7.2%} "
              f"{found / alone - 1:8.1%} {found / whole - 1:9.1%}", flush=True)  # fmt: skip
    if arguments.plot:
        plot(results, alone, whole, arguments.rate, arguments.plot)


if __name__ == "__main__":
    main()
