"""Live speech: how long words take to be committed, and what that costs in accuracy.

    python benchmarks/streaming.py MANIFEST [--model default] [--minutes 4] [--step 0.32] [--window 10] [--plot OUT.svg]

The recordings of the manifest are joined to one, with pauses of 0.3 to 1.5 s, and fed in chunks of 100 ms under every
delay and agreement. Latency is the audio heard between the end of a word and its commit. The rival is the same model on the
whole recording at once, in windows of 30 s. `--plot` wants the extra `report`.
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
from xlsr.normalize import normalize_text
from xlsr.streaming import StreamingRecognizer

Samples = NDArray[np.float32]
DELAYS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)
AGREEMENTS = (1, 2, 3)
CHUNK_SECONDS = 0.1


class Remembering:
    """An engine that computes the same waveform once."""

    def __init__(self, engine) -> None:
        self.engine, self.name, self.found = engine, engine.name, {}

    def log_probs(self, waveforms: Sequence[Samples]) -> list[Samples]:
        keys = [hashlib.sha1(waveform.tobytes()).digest() for waveform in waveforms]
        for key, waveform in zip(keys, waveforms, strict=True):
            if key not in self.found:
                self.found[key] = self.engine.log_probs([waveform])[0]
        return [self.found[key] for key in keys]


class Result(NamedTuple):
    """What one setting gives."""

    delay: float
    agreement: int
    latency: float
    late: float
    wer: float
    changed: float


def join(manifest: Path, minutes: float) -> tuple[Samples, str]:
    """One recording of so many minutes, and what is said in it."""
    rng = np.random.default_rng(0)
    parts: list[Samples] = []
    words: list[str] = []
    samples = 0
    for utterance in read_manifest(manifest):
        pause = rng.normal(0, 1e-3, round(rng.uniform(0.3, 1.5) * 16_000)).astype(np.float32)
        parts += [load_utterance(utterance), pause]
        samples += len(parts[-2]) + len(pause)
        words.append(utterance.text or "")
        if samples > minutes * 60 * 16_000:
            break
    parts.append(np.zeros(48_000, np.float32) + rng.normal(0, 1e-3, 48_000).astype(np.float32))
    return np.concatenate(parts), " ".join(words)


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


def measure(model: xlsr.Recognizer, waveform: Samples, reference: str, arguments: argparse.Namespace) -> list[Result]:
    offline = model.transcribe(waveform, timestamps="none").text
    found = []
    for agreement, delay in product(AGREEMENTS, DELAYS):
        stream = StreamingRecognizer(model, step_seconds=arguments.step, window_seconds=arguments.window,
                                     delay_seconds=delay, agreement=agreement)  # fmt: skip
        text, latencies = listen(stream, waveform)
        found.append(Result(delay, agreement, float(np.mean(latencies)), float(np.quantile(latencies, 0.95)),
                            xlsr.wer(reference, clean(text)), xlsr.wer(clean(offline), clean(text))))  # fmt: skip
    return found


def clean(text: str) -> str:
    return normalize_text(text, lowercase=True, drop_punctuation=True)


def plot(results: Sequence[Result], offline: float, out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((6.4, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="mean latency of a word, seconds", ylabel="word error rate, %")
    for agreement in AGREEMENTS:
        rows = [result for result in results if result.agreement == agreement]
        name = "delay alone" if agreement == 1 else f"{agreement} readings agree"
        axes.plot([row.latency for row in rows], [100 * row.wer for row in rows], "o-", markersize=3, label=name)
    axes.axhline(100 * offline, color="black", linewidth=1, label="the whole at once")
    axes.axhline(110 * offline, color="black", linewidth=0.5, linestyle=":", label="10 % relative above")
    axes.legend(frameon=False)
    figure.savefig(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--step", type=float, default=0.32)
    parser.add_argument("--window", type=float, default=10.0)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    model = xlsr.load_model(arguments.model, threads=1)
    model.engine = Remembering(model.engine)
    waveform, text = join(arguments.manifest, arguments.minutes)
    reference = clean(text)
    offline = xlsr.wer(reference, clean(model.transcribe(waveform, timestamps="none").text))
    print(f"{model.description.name}, {len(waveform) / 16_000:.0f} s, {len(reference.split())} words; "
          f"the whole at once: WER {offline:.2%}; steps of {arguments.step} s, window {arguments.window} s")  # fmt: skip
    results = measure(model, waveform, reference, arguments)
    print(f"{'agreement':>9} {'delay':>6} {'latency':>8} {'95 %':>6} {'WER':>7} {'relative':>9} {'differs':>8}")
    for row in results:
        print(f"{row.agreement:9d} {row.delay:6.2f} {row.latency:8.2f} {row.late:6.2f} {row.wer:7.2%} "
              f"{row.wer / offline - 1:9.1%} {row.changed:8.2%}")  # fmt: skip
    if arguments.plot:
        plot(results, offline, arguments.plot)


if __name__ == "__main__":
    main()
