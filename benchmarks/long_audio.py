"""Long recordings: what windows change, and how much memory an hour takes.

    python benchmarks/long_audio.py RECORDING [--model default] [--minutes 60]

RECORDING is a file, or a manifest whose recordings are joined with half-second pauses; then word error rates are given.

1. The first five minutes at once against the same in windows: differences of probabilities, frames whose best symbol
   differs, and the text.
2. Peak memory of a fresh process for ten seconds and for the recording repeated to `--minutes`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import xlsr
from xlsr import recognizer as module
from xlsr.data.manifest import load_utterance, read_manifest

PEAK = (
    "import sys, time, xlsr\n"
    "model = xlsr.load_model(sys.argv[2]); started = time.perf_counter()\n"
    "text = model.transcribe(sys.argv[1]).text\n"
    # not ru_maxrss, which a child takes over from its parent
    "peak = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM')) / 1024\n"
    "print(f'{peak:.0f} {time.perf_counter() - started:.2f} {len(text.split())}')"
)


def compare_windows(model: xlsr.Recognizer, waveform: np.ndarray, reference: str) -> None:
    """Print how far windowed log-probabilities lie from those of the whole."""
    windowed, words = model.log_probs(waveform), model.transcribe(waveform).text
    kept, module.WINDOW_FRAMES = module.WINDOW_FRAMES, len(waveform)
    whole, whole_words = model.log_probs(waveform), model.transcribe(waveform).text
    module.WINDOW_FRAMES = kept
    assert windowed.shape == whole.shape
    difference = np.abs(np.exp(windowed) - np.exp(whole)).max(-1)
    flips = (windowed.argmax(-1) != whole.argmax(-1)).mean()
    print(f"{len(waveform) / 16_000:.0f} s in windows of {module.WINDOW_FRAMES / 50:g} s with {module.CONTEXT_FRAMES / 50:g} s "
          f"of context, against the whole: probabilities differ by {difference.mean():.2g} on average, "
          f"{np.quantile(difference, 0.99):.2g} at the 99th percentile, {difference.max():.2g} at most; "
          f"{flips:.2%} of frames change their best symbol; word differences "
          f"{xlsr.wer(whole_words, words):.2%} of {len(whole_words.split())} words")  # fmt: skip
    if reference:
        print(f"WER {xlsr.wer(reference, words):.1%} in windows, {xlsr.wer(reference, whole_words):.1%} at once")


def read(path: Path) -> tuple[np.ndarray, str]:
    """Samples of a recording, or of the first five minutes of a manifest's with what is said in them."""
    if path.suffix != ".jsonl":
        return xlsr.load_audio(path), ""
    parts: list[np.ndarray] = []
    words: list[str] = []
    samples = 0
    for utterance in read_manifest(path):
        pause = np.random.default_rng(samples).normal(0, 1e-3, 8_000).astype(np.float32)
        parts += [load_utterance(utterance), pause]
        samples += len(parts[-2]) + len(pause)
        words.append(utterance.text or "")
        if samples > 300 * 16_000:
            break
    return np.concatenate(parts), " ".join(words)


def peak(path: Path, model: str) -> tuple[float, float, int]:
    """Peak MiB, seconds and words of transcribing a file in a fresh process."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(path), model], capture_output=True, text=True, check=True)
    memory, seconds, words = done.stdout.split()
    return float(memory), float(seconds), int(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--minutes", type=float, default=60.0)
    arguments = parser.parse_args()
    waveform, reference = read(arguments.recording)
    five = np.resize(waveform, 300 * 16_000)
    compare_windows(xlsr.load_model(arguments.model), five, reference)
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.flac", Path(folder) / "long.flac"
        soundfile.write(short, five[: 10 * 16_000], 16_000)
        with soundfile.SoundFile(long, "w", 16_000, 1) as file:
            for _ in range(round(arguments.minutes / 5)):
                file.write(five)
        first, second = peak(short, arguments.model), peak(long, arguments.model)
    print(f"peak memory: {first[0]:.0f} MiB for 10 s, {second[0]:.0f} MiB for {arguments.minutes:g} min "
          f"(+{second[0] - first[0]:.0f}); {arguments.minutes * 60 / second[1]:.0f} x real time, {second[2]} words")  # fmt: skip


if __name__ == "__main__":
    main()
