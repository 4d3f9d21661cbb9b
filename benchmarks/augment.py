"""How fast training waveforms are made harder: every step by itself, on one core.

    python benchmarks/augment.py [--seconds 10] [--rounds 20] [--clips manifest.jsonl]

Prints microseconds of processor time for each second of audio and times real time, median of the rounds, each with another
draw. It runs beside training, so other work on the machine is not counted. Noises and rooms are read before the clock runs; without `--clips` they are synthetic: 60 s of noise, a room of 0.8 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from xlsr.data.augment import Augmenter, AugmentRecipe
from xlsr.data.telephone import CODECS, missing_codecs

RATE = 16_000


def synthetic_clips(folder: Path) -> Path:
    """A manifest of one noise and one room."""
    rng = np.random.default_rng(0)
    room = rng.standard_normal(int(0.8 * RATE)) * 10 ** (-3 * np.arange(int(0.8 * RATE)) / (0.8 * RATE))
    rows = []
    for kind, samples in (("noise", 0.1 * rng.standard_normal(60 * RATE)), ("rir", 0.2 * room)):
        soundfile.write(folder / f"{kind}.wav", samples, RATE)
        rows.append({"audio": f"{kind}.wav", "kind": kind, "duration": len(samples) / RATE})
    (folder / "clips.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "clips.jsonl"


def recipes(clips: Path) -> dict[str, AugmentRecipe]:
    """Each step alone, then all that are no FFmpeg codec together."""
    steps = {
        "speed": AugmentRecipe(speed_prob=1),
        "room": AugmentRecipe(rir_prob=1, rir=clips),
        "noise": AugmentRecipe(noise_prob=1, noise=clips),
        "gain": AugmentRecipe(gain_prob=1),
        "clipping": AugmentRecipe(clip_prob=1),
    }
    for codec in sorted(CODECS.keys() - missing_codecs(list(CODECS)), key=list(CODECS).index):
        steps[f"telephone, {codec}"] = AugmentRecipe(telephone_prob=1, codecs=codec)
    steps["all, telephone G.711"] = AugmentRecipe(
        speed_prob=1, rir_prob=1, rir=clips, noise_prob=1, noise=clips, gain_prob=1, clip_prob=1, telephone_prob=1
    )
    return steps


def microseconds(recipe: AugmentRecipe, seconds: float, rounds: int) -> float:
    """Median processor time for one second of audio."""
    augment = Augmenter(recipe)
    waveform = (0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE))).astype(np.float32)
    for warm in range(100):  # enough draws to have every clip in memory
        augment(waveform[:RATE], np.random.default_rng(warm))
    found = []
    for number in range(rounds):
        rng = np.random.default_rng(number)
        started = time.process_time()
        augment(waveform, rng)
        found.append(time.process_time() - started)
    return statistics.median(found) / seconds * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the waveform")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clips", type=Path, help="manifest of noises and room responses")
    arguments = parser.parse_args()
    print(f"one waveform of {arguments.seconds:g} s; numpy {np.__version__}, soxr {soxr.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        clips = arguments.clips or synthetic_clips(Path(folder))
        for name, recipe in recipes(clips).items():
            cost = microseconds(recipe, arguments.seconds, arguments.rounds)
            print(f"{name:<21} {cost:8.0f} µs for a second {1e6 / cost:8.0f} x real time")


if __name__ == "__main__":
    main()
