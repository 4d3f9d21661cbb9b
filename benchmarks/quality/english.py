"""The shipped model from lists and features to letters: distil an encoder, fine-tune it, and what the first is worth.

    python benchmarks/quality/english_data.py DATA LISTS --synthetic SPEECH ...
    python benchmarks/quality/whisper_features.py LISTS/train.jsonl TAUGHT/train --whisper WHISPER
    python benchmarks/quality/whisper_features.py LISTS/dev.jsonl TAUGHT/dev --whisper WHISPER
    python benchmarks/quality/english.py LISTS TAUGHT OUT --noise DATA/noise_rir/manifest.jsonl [--stages distil letters compare]

Runs go to OUT; what is finished is not done again, what was stopped goes on. `compare` fine-tunes the distilled encoder
and random weights with equal updates on ten minutes, an hour and all labels, and prints the difference on the readers of
the development set.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import xlsr
from xlsr.config import Json
from xlsr.data.manifest import read_manifest, write_manifest

# `mini` with two layers more: 6.8 M parameters.
ARCHITECTURE: dict[str, Json] = {"model.architecture.num_hidden_layers": 8}
HARDER: dict[str, Json] = {
    "augment.rir_prob": 0.2, "augment.noise_prob": 0.4, "augment.snr_db": [3.0, 25.0], "augment.gain_prob": 0.3,
    "augment.telephone_prob": 0.2, "augment.clip_prob": 0.05,
}  # fmt: skip
READERS = "librispeech_train_clean_5"


def finished(out: Path, updates: int) -> bool:
    """Whether a run has made its updates."""
    progress = out / "progress.json"
    return progress.exists() and json.loads(progress.read_text("utf-8"))["update"] >= updates


def noises(noise: Path | None) -> dict[str, Json]:
    """What makes recordings harder; nothing without a list of noises."""
    return {} if noise is None else HARDER | {"augment.noise": str(noise), "augment.rir": str(noise)}


def distilled(options: argparse.Namespace) -> Path:
    """The encoder that says what the teacher says."""
    out = options.out / "distilled"
    if not finished(out, options.distil_updates):
        xlsr.distill(
            "distill-mini", out, resume=(out / "recipe.json").exists(),
            overrides=ARCHITECTURE | noises(options.noise) | {
                "data.train": [str(options.taught / "train" / "manifest.jsonl")],
                "data.dev": [str(options.taught / "dev" / "manifest.jsonl")],
                "data.batch_seconds": 40.0, "data.cache_mib": 2048, "optim.updates": options.distil_updates,
                "model.architecture.hidden_dropout": 0.0, "model.architecture.attention_dropout": 0.0,
                "model.architecture.mask_time_prob": 0.05,
                "run.eval_every": 500, "run.save_every": 250, "run.device": "cpu",
            },
        )  # fmt: skip
    return out / "best"


def letters(options: argparse.Namespace, name: str, start: Path | None, train: Path, dev: Path, updates: int) -> Path:
    """A recogniser of letters, from an encoder or from random weights."""
    out = options.out / name
    if not finished(out, updates):
        began: dict[str, Json] = {} if start is None else {"model.start": str(start)}
        xlsr.finetune(
            "mini", out, resume=(out / "recipe.json").exists(),
            overrides=ARCHITECTURE | noises(options.noise) | began | {
                "data.train": str(train), "data.dev": str(dev), "data.batch_seconds": 40.0, "data.cache_mib": 2048,
                "augment.speed_prob": 0.5, "optim.updates": updates,
                "optim.lr": 1e-3 if start is None else 4e-4, "optim.head_lr": 5e-3,
                "optim.warmup": 0.05, "optim.hold": 0.45, "optim.schedule": "tri_stage",
                "model.architecture.hidden_dropout": 0.05, "model.architecture.attention_dropout": 0.05,
                "model.architecture.final_dropout": 0.05, "model.architecture.mask_time_prob": 0.1,
                "run.eval_every": min(500, updates // 4), "run.save_every": 250, "run.average_last": 3,
                "run.device": "cpu",
            },
        )  # fmt: skip
    return out / "best"


def compare(options: argparse.Namespace) -> None:
    """Print what the distilled encoder is worth, by hours of labels."""
    dev = options.out / "readers.jsonl"
    write_manifest((u for u in read_manifest(options.lists / "dev.jsonl") if READERS in str(u.audio)), dev)
    for labels in ("minutes-10", "minutes-60", "train"):
        train = options.lists / f"{labels}.jsonl"
        models = [
            letters(options, f"{labels}-{name}", start, train, dev, options.compare_updates)
            for name, start in (("distilled", distilled(options)), ("random", None))
        ]
        report = xlsr.evaluate(models[0], dev, drop_punctuation=True, compare=models[1])
        for name, found in report.differences.items():
            low, high = found.interval.low, found.interval.high
            print(
                f"{labels}, {name}: distilled {found.first:.1%}, random {found.second:.1%}, difference "
                f"{found.second - found.first:+.1%} [{low:+.1%}, {high:+.1%}], p {found.p_bootstrap:.4f} by the bootstrap",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path)
    parser.add_argument("taught", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--stages", nargs="+", choices=["distil", "letters", "compare"], default=["distil", "letters"])
    parser.add_argument("--distil_updates", type=int, default=8000)
    parser.add_argument("--letters_updates", type=int, default=12000)
    parser.add_argument("--compare_updates", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if "distil" in options.stages:
        distilled(options)
    if "letters" in options.stages:
        train, dev = options.lists / "train.jsonl", options.lists / "dev.jsonl"
        letters(options, "letters", distilled(options), train, dev, options.letters_updates)
    if "compare" in options.stages:
        compare(options)


if __name__ == "__main__":
    main()
