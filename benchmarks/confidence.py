"""Whether calibrated scores are probabilities on other voices, on a telephone and in noise.

    python benchmarks/confidence.py MANIFEST... --noise NOISES --out FOLDER [--model default] [--fit clean|all]

Half of the speakers (every second in the alphabet) fit a calibration, clean or in all conditions; the others are measured
clean, through G.711 and with noise 0 to 20 dB below the speech. Prints what scores are worth as the model has them and
calibrated. NOISES is a manifest of noises (`kind`: "noise"), of which those of the split `test` are taken.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

import xlsr
from xlsr.data.augment import add_noise, cut
from xlsr.data.manifest import Utterance, load_utterance, read_manifest, write_manifest
from xlsr.data.telephone import telephone
from xlsr.metrics import Confidence
from xlsr.tables import Table

CONDITIONS = ("clean", "telephone", "noisy")


def vary(waveform: np.ndarray, condition: str, noises: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    if condition == "telephone":
        return telephone(waveform, "mulaw", 64_000)
    if condition == "noisy":
        noise = cut(noises[rng.integers(len(noises))], len(waveform), rng)
        return add_noise(waveform, noise, rng.uniform(0, 20))
    return waveform


def write_set(utterances: list[Utterance], condition: str, noises: list[np.ndarray], folder: Path) -> list[Utterance]:
    """The recordings under a condition, as FLAC files."""
    folder.mkdir(parents=True, exist_ok=True)
    written, rng = [], np.random.default_rng(0)
    for number, utterance in enumerate(utterances):
        path = folder / f"{number:05d}.flac"
        waveform = vary(load_utterance(utterance), condition, noises, rng)
        soundfile.write(path, np.clip(waveform, -1, 1), 16_000)
        written.append(replace(utterance, audio=path, offset=0.0, channel=None, domain=condition))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--noise", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--fit", choices=("clean", "all"), default="clean")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    noises = [load_utterance(row) for row in read_manifest(options.noise, split="test") if row.kind == "noise"]
    spoken = [row for manifest in options.manifests for row in read_manifest(manifest) if row.text]
    fitting = set(sorted({row.speaker or row.name for row in spoken})[::2])
    sets = {}
    for condition in CONDITIONS:
        rows = write_set(spoken, condition, noises, options.out / condition)
        for half in ("fit", "test"):
            chosen = [row for row in rows if ((row.speaker or row.name) in fitting) == (half == "fit")]
            sets[half, condition] = chosen
            write_manifest(chosen, options.out / f"{half}-{condition}.jsonl")
    wanted = CONDITIONS if options.fit == "all" else ("clean",)
    write_manifest([row for condition in wanted for row in sets["fit", condition]], options.out / "fit.jsonl")

    plain = xlsr.load_model(options.model, threads=options.threads)
    plain = plain.with_scorer(None)
    folder = options.out / "calibrated"
    rules = {"drop_punctuation": True, "by": ()}
    xlsr.evaluate(plain, options.out / "fit.jsonl", calibrate=True, output=folder, **rules)
    models = {"as they are": plain, "calibrated": xlsr.load_model(folder, threads=options.threads)}
    rows = []
    for condition in CONDITIONS:
        for name, model in models.items():
            found = xlsr.evaluate(model, options.out / f"test-{condition}.jsonl", **rules)
            rows.append((f"{condition}, {name}", str(found.summary.rate("WER")), *found.confidence.row()))
    print(Table(("scores", "WER", *Confidence.COLUMNS), tuple(rows)).to_text())


if __name__ == "__main__":
    main()
