"""What telephones, wrong headers, clipping and the like cost a model: word error rates beside the clean recordings'.

    python benchmarks/conditions.py MANIFEST [--model default] [--split test] [--limit 100] [--join 7]

Every recording is made clean (mono, 16 kHz, 16 bits, resampled properly), and then into a file of each condition, which is
transcribed as a user would: the file alone, and for two recordings in one stereo file `channel="split"`. The table has the
word error rate, its ratio to the clean one's, and how much the texts differ from those of the clean recordings, which
tells something even of a model that knows other words. `--join` joins so many recordings of a speaker, for corpora of
single words. Also printed: the share of recordings whose band and sample rate were found, and what finding them cost.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import soxr

import xlsr
from xlsr.audio import open_audio
from xlsr.audio.conditions import Heard
from xlsr.audio.speed import judge_speed
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.metrics import word_errors
from xlsr.normalize import normalize_text

RATE = 16_000


def wav(samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype=subtype)
    return content.getvalue()


def narrow(clean: np.ndarray) -> np.ndarray:
    return soxr.resample(clean, RATE, 8_000, quality="VHQ")


def hum(clean: np.ndarray) -> np.ndarray:
    """As loud as the voice: 50 Hz."""
    tone = np.sin(2 * np.pi * 50 * np.arange(len(clean)) / RATE)
    return clean + np.sqrt(2) * clean.std() * tone.astype(np.float32)


def fit(clean: np.ndarray, gain: float = 1.0) -> np.ndarray:
    return np.clip(gain * clean, -1, 1)


CONDITIONS = {
    "clean, 16 kHz": lambda clean: wav(clean, RATE),
    "8 kHz": lambda clean: wav(narrow(clean), 8_000),
    "µ-law, 8 kHz": lambda clean: wav(narrow(clean), 8_000, "ULAW"),
    "A-law, 8 kHz": lambda clean: wav(narrow(clean), 8_000, "ALAW"),
    "8 kHz in a 16 kHz file": lambda clean: wav(soxr.resample(narrow(clean), 8_000, RATE), RATE),
    "44.1 kHz": lambda clean: wav(soxr.resample(clean, RATE, 44_100), 44_100),
    "header 16 kHz, is 8": lambda clean: wav(narrow(clean), RATE),
    "header 8 kHz, is 16": lambda clean: wav(clean, 8_000),
    "header 44.1 kHz, is 16": lambda clean: wav(clean, 44_100),
    "mean 0.1": lambda clean: wav(fit(clean + 0.1), RATE),
    "mean 0.1, 8 kHz, header 16": lambda clean: wav(fit(narrow(clean) + 0.1), RATE),
    "40 dB quieter": lambda clean: wav(clean / 100, RATE, "PCM_24"),
    "clipped at half of the peak": lambda clean: wav(fit(clean / max(np.abs(clean).max(), 1e-9), 2.0) / 2, RATE),
    "clipped at a tenth of the peak": lambda clean: wav(fit(clean / max(np.abs(clean).max(), 1e-9), 10.0) / 2, RATE),
    "50 Hz hum, 0 dB": lambda clean: wav(fit(hum(clean)), RATE),
    "one side of a stereo file": lambda clean: wav(np.stack([clean, np.zeros_like(clean)], 1), RATE),
}  # fmt: skip


def gather(arguments: argparse.Namespace) -> list[tuple[np.ndarray, str]]:
    """Clean recordings with their texts."""
    utterances = [u for u in read_manifest(arguments.manifest, split=arguments.split or None) if u.text]
    draw = random.Random(0)
    draw.shuffle(utterances)
    if arguments.join == 1:
        return [(load_utterance(u), normalize_text(u.text or "")) for u in utterances[: arguments.limit]]
    speakers: defaultdict[str | None, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        speakers[utterance.speaker].append(utterance)
    found = []
    for spoken in speakers.values():
        for first in range(0, len(spoken) - arguments.join + 1, arguments.join):
            parts = spoken[first : first + arguments.join]
            pauses = [np.zeros(round(draw.uniform(0.02, 0.2) * RATE), np.float32) for _ in parts]
            samples = np.concatenate(
                [x for part, pause in zip(parts, pauses, strict=True) for x in (load_utterance(part), pause)]
            )
            found.append((samples, " ".join(normalize_text(part.text or "") for part in parts)))
    draw.shuffle(found)
    return found[: arguments.limit]


def errors(references: list[str], texts: list[str]) -> float:
    counted = [word_errors(a, b) for a, b in zip(references, texts, strict=True)]
    return sum(counted[1:], counted[0]).rate


def transcribe(model: xlsr.Recognizer, contents: list[bytes], **options) -> list[xlsr.Transcript]:
    results = list(model.transcribe_many(contents, **options))
    assert all(isinstance(result, xlsr.Transcript) for result in results), results
    return results


def two_sides(model: xlsr.Recognizer, clean: list[np.ndarray]) -> list[str]:
    """The texts of recordings of which two at a time are the channels of one file, transcribed apart."""
    texts = []
    for left, right in zip(clean[::2], [*clean[1::2], *[clean[0]] * (len(clean) % 2)], strict=True):
        both = np.zeros((max(len(left), len(right)), 2), np.float32)
        both[: len(left), 0], both[: len(right), 1] = left, right
        (found,) = transcribe(model, [wav(both, RATE)], channel="split")
        texts += [" ".join(s.text for s in found.segments if s.channel == number) for number in (1, 2)]
    return [normalize_text(text) for text in texts[: len(clean)]]


def measure_cost(model: xlsr.Recognizer, waveform: np.ndarray) -> None:
    """Time of reading alone, with measuring, with judging the speed; beside recognition, of one recording."""

    def seconds(run) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            run()
            times.append(time.process_time() - started)
        return min(times)

    model.log_probs(waveform)
    read = seconds(lambda: list(open_audio(waveform).blocks()))
    measured = seconds(lambda: list(Heard(open_audio(waveform))))
    judged = seconds(lambda: judge_speed(waveform))
    recognised = seconds(lambda: model.log_probs(waveform))
    length = len(waveform) / RATE
    print(f"\n{length:.0f} s of audio: recognition {recognised * 1000:.1f} ms of CPU, conditions {(measured - read) * 1000:.1f} ms "
          f"({(measured - read) / recognised:.1%}), speed {judged * 1000:.1f} ms ({judged / recognised:.1%})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--join", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    model = xlsr.load_model(arguments.model, threads=arguments.threads)
    recordings = gather(arguments)
    references = [text for _, text in recordings]
    clean = [samples for samples, _ in recordings]
    print(f"{model.description.name} on {len(clean)} recordings, {sum(map(len, clean)) / RATE:.0f} s\n")
    print(
        "| condition | WER | of clean | differs from clean | read at (Hz) | band, median (Hz) |\n|---|---|---|---|---|---|"
    )
    first: list[str] = []
    for name, make in CONDITIONS.items():
        found = transcribe(model, [make(samples) for samples in clean])
        texts = [normalize_text(one.text) for one in found]
        first = first or texts
        rates = sorted({one.audio.sample_rate for one in found})
        counts = ", ".join(f"{rate}: {sum(one.audio.sample_rate == rate for one in found)}" for rate in rates)
        bands = [one.audio.bandwidth_hertz for one in found if one.audio.bandwidth_hertz]
        print(row(name, references, texts, first) + f" {counts} | {np.median(bands):.0f} |", flush=True)
    print(row("two recordings as one call, split", references, two_sides(model, clean), first) + " | |")
    measure_cost(model, max(clean, key=len)[: 30 * RATE])


def row(name: str, references: list[str], texts: list[str], first: list[str]) -> str:
    rate, base = errors(references, texts), errors(references, first)
    return f"| {name} | {rate:.2%} | {rate / max(base, 1e-9):.2f} | {errors(first, texts):.2%} |"


if __name__ == "__main__":
    main()
