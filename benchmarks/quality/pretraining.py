"""What pre-training gives, in miniature: encoders of five million parameters, hours of speech, one machine.

    python benchmarks/quality/pretraining.py DATA OUT [--experiments a b c d] [--seeds 0] [--pretrain_updates 3000]
                                             [--finetune_updates 2500] [--threads 2]

DATA has a folder a corpus with `manifest.jsonl` (splits train, dev, test): the public sets named below. Runs go to OUT;
what is finished there is not done again, what was stopped goes on. Prints a line of JSON for each figure.

a  many languages against one: encoders pre-trained on all languages and on Persian alone, with equal updates, then
   fine-tuned on an hour of Persian; beside them random weights.
b  pre-trained against random weights, with ten minutes of Persian labels and with all of the hour.
c  telephones: labels are clean, the test is of telephone band. Pre-trained without and with unlabelled telephone speech of
   52 languages, and, as what could be reached, fine-tuned on the same labels over the telephone. The share of the gap that
   is closed.
d  which languages share codebook entries, against their families.

Encoders are chosen by nothing: the last update is taken. Fine-tuning chooses by the dev split; the test split is scored
once. Rates are scored in lower case without punctuation, intervals are over speakers.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

import xlsr
from xlsr.audio import SAMPLE_RATE
from xlsr.data.manifest import Utterance, load_utterance, read_manifest, write_manifest
from xlsr.data.telephone import telephone
from xlsr.training.recipe import SHIPPED

PERSIAN, READERS, SAMPLE = "common_voice_persian", "librispeech_train_clean_5", "common_voice_sample"
CORPORA = (
    SAMPLE, PERSIAN, "common_voice_twi", READERS, "speechocean762", "arctic_kathleen", "ljspeech_part",
    "librivox_fra_poems", "vctk_rainbow",
)  # fmt: skip
# The network of the recipe `mini`, with codebooks for its size; without masks and dropouts of its own.
ARCHITECTURE = tomllib.loads((SHIPPED / "mini.toml").read_text("utf-8"))["model"]["architecture"] | {
    "hidden_dropout": 0.05, "attention_dropout": 0.0, "final_dropout": 0.0, "mask_time_prob": 0.0,
    "codevector_dim": 256, "proj_codevector_dim": 128, "num_codevectors_per_group": 160, "initializer_range": 0.03,
    "diversity_loss_weight": 0.5,  # of batches as small as these; with 0.1 all codes become one within 300 updates
}  # fmt: skip


@dataclass(frozen=True)
class Lab:
    """Where data lie and runs go, and how long they are."""

    data: Path
    out: Path
    pretrain_updates: int
    finetune_updates: int

    def corpus(self, name: str) -> Path:
        """The manifest of a corpus."""
        return self.data / name / "manifest.jsonl"

    def pretrained(self, name: str, manifests: list[Path], seed: int) -> Path:
        """An encoder, pre-trained on the train splits of some manifests."""
        out = self.out / f"pretrain-{name}-{seed}"
        if not _finished(out, self.pretrain_updates):
            xlsr.pretrain(
                "pretrain-mini", out, resume=(out / "recipe.json").exists(),
                overrides={
                    "data.train": [str(path) for path in manifests], "data.train_split": "train",
                    "data.dev": [str(self.corpus(PERSIAN)), str(self.corpus(READERS))], "data.dev_split": "dev",
                    "data.batch_seconds": 32.0, "data.max_seconds": 8.0, "data.min_seconds": 2.0, "model.feature_grad_mult": 0.1,
                    **{f"model.architecture.{key}": value for key, value in ARCHITECTURE.items()},
                    "model.temperature_decay": 0.25 ** (1.5 / self.pretrain_updates),
                    "optim.updates": self.pretrain_updates, "optim.accumulate": 1, "optim.lr": 5e-4,
                    "run.seed": seed, "run.eval_every": self.pretrain_updates // 4, "run.device": "cpu",
                },
            )  # fmt: skip
        return out / "last"

    def finetuned(self, name: str, start: Path | None, train: Path, dev: Path, seed: int) -> Path:
        """A recogniser of letters, from an encoder or from random weights."""
        out = self.out / f"finetune-{name}-{seed}"
        if not _finished(out, self.finetune_updates):
            overrides = {
                "data.train": str(train), "data.dev": str(dev), "data.drop_punctuation": True, "data.min_count": 20,
                "data.batch_seconds": 16.0, "augment.speed_prob": 0.5, "optim.updates": self.finetune_updates,
                "optim.lr": 1e-3, "optim.head_lr": 1e-2, "optim.warmup": 0.05,
                "optim.hold": 0.45, "run.seed": seed, "run.eval_every": self.finetune_updates // 5, "run.device": "cpu",
                "model.architecture.hidden_dropout": 0.05, "model.architecture.attention_dropout": 0.0,
                "model.architecture.final_dropout": 0.05, "model.architecture.mask_time_prob": 0.05,
            }  # fmt: skip
            if start is not None:
                overrides |= {"model.start": str(start), "model.architecture.initializer_range": 0.03}
            xlsr.finetune("mini", out, resume=(out / "recipe.json").exists(), overrides=overrides)
        return out / "best"


def _finished(out: Path, updates: int) -> bool:
    progress = out / "progress.json"
    return progress.exists() and json.loads(progress.read_text())["update"] >= updates


def part(lab: Lab, corpus: str, split: str, seconds: float | None = None, seed: int = 0) -> Path:
    """A manifest of some seconds of a split, drawn over all its speakers."""
    path = lab.out / "lists" / f"{corpus}-{split}-{seconds or 'all'}-{seed}.jsonl"
    if not path.exists():
        utterances = read_manifest(lab.corpus(corpus), split=split)
        if seconds is not None:
            order = np.random.default_rng(seed).permutation(len(utterances))
            ends = np.cumsum([utterances[i].duration for i in order])
            utterances = [utterances[i] for i in order[: int(np.searchsorted(ends, seconds))]]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(utterances, path)
    return path


def over_the_telephone(lab: Lab, manifest: Path) -> Path:
    """The recordings of a manifest, in G.711 or G.726 at random."""
    folder = lab.out / "telephone" / manifest.stem
    path = folder / "manifest.jsonl"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for number, utterance in enumerate(read_manifest(manifest)):
        codec, bit_rate = (("mulaw", 64_000), ("alaw", 64_000), ("g726", 32_000))[rng.integers(3)]
        waveform = telephone(load_utterance(utterance), codec, bit_rate)
        soundfile.write(folder / f"{number}.flac", waveform, SAMPLE_RATE)
        rows.append(
            Utterance(
                audio=folder / f"{number}.flac", duration=len(waveform) / SAMPLE_RATE, text=utterance.text,
                language=utterance.language, speaker=utterance.speaker, split="train",
            )
        )  # fmt: skip
    write_manifest(rows, path)
    return path


def scored(model: Path, manifest: Path, against: Path | None = None) -> dict[str, object]:
    """Rates with intervals; with a second model also the difference to it."""
    report = xlsr.evaluate(model, manifest, drop_punctuation=True, compare=against)
    found: dict[str, object] = {rate.name: str(rate) for rate in report.summary.total.rates}
    for name, difference in report.differences.items():
        low, high = difference.interval.low, difference.interval.high
        found[f"{name} of the other"] = round(difference.second, 4)
        found[f"{name} difference"] = f"{difference.second - difference.first:+.1%} [{low:+.1%}, {high:+.1%}]"
        found[f"{name} p"] = round(difference.p_bootstrap, 4)
    return found


def many(lab: Lab, seed: int) -> Path:
    return lab.pretrained("many", [lab.corpus(name) for name in CORPORA], seed)


def persian(lab: Lab, name: str, start: Path | None, seed: int, seconds: float | None = None) -> Path:
    """A recogniser of Persian letters, from the labels of the training split or of some seconds of it."""
    return lab.finetuned(
        f"persian-{name}", start, part(lab, PERSIAN, "train", seconds), part(lab, PERSIAN, "dev"), seed
    )


def experiment_a(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    models = {
        "random": persian(lab, "random", None, seed),
        "one": persian(lab, "one", lab.pretrained("one", [lab.corpus(PERSIAN)], seed), seed),
        "many": persian(lab, "many", many(lab, seed), seed),
    }
    for name in ("one", "random"):
        yield {"many against": name} | scored(models["many"], part(lab, PERSIAN, "test"), models[name])


def experiment_b(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    for minutes, seconds, suffix in ((60, None, ""), (10, 600.0, "-10")):
        first = persian(lab, f"many{suffix}", many(lab, seed), seed, seconds)
        second = persian(lab, f"random{suffix}", None, seed, seconds)
        yield {"minutes": minutes, "many against": "random"} | scored(first, part(lab, PERSIAN, "test"), second)


def experiment_c(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    train, dev, test = (over_the_telephone(lab, part(lab, PERSIAN, split)) for split in ("train", "dev", "test"))
    unlabelled = over_the_telephone(lab, part(lab, SAMPLE, "train"))
    mixed = lab.pretrained("mixed", [*(lab.corpus(name) for name in CORPORA), unlabelled], seed)
    models = {
        "clean": persian(lab, "many", many(lab, seed), seed),
        "mixed": persian(lab, "mixed", mixed, seed),
        "labels of the domain": lab.finetuned("persian-narrow", many(lab, seed), train, dev, seed),
    }
    rates = {}
    for name, model in models.items():
        report = xlsr.evaluate(model, test, drop_punctuation=True)
        rates[name] = {rate.name: rate.value for rate in report.summary.total.rates}
        found = {rate.name: str(rate) for rate in report.summary.total.rates}
        yield {"telephone, pre-trained and fine-tuned on": name} | found
    yield {"mixed against": "clean"} | scored(models["mixed"], test, models["clean"])
    for name, clean in rates["clean"].items():
        gap, closed = clean - rates["labels of the domain"][name], clean - rates["mixed"][name]
        yield {"rate": name, "gap": round(gap, 4), "closed": round(closed / gap, 3) if gap else None}


def experiment_d(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    report = xlsr.codes(many(lab, seed), lab.corpus(SAMPLE), split="train", max_seconds=180.0)
    (lab.out / f"codes-{seed}.json").write_text(report.to_json(), "utf-8")
    yield {"languages": len(report.names), "text": report.to_text()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--experiments", nargs="+", choices=list("abcd"), default=list("abcd"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pretrain_updates", type=int, default=3000)
    parser.add_argument("--finetune_updates", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lab = Lab(arguments.data, arguments.out, arguments.pretrain_updates, arguments.finetune_updates)
    experiments = {"a": experiment_a, "b": experiment_b, "c": experiment_c, "d": experiment_d}
    for seed in arguments.seeds:
        for name in arguments.experiments:
            for found in experiments[name](lab, seed):
                print(json.dumps({"experiment": name, "seed": seed} | found, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
