"""What pre-training gives, in miniature: encoders of five million parameters, hours of speech, one machine.

    python benchmarks/quality/pretraining.py DATA OUT [--experiments a b c d] [--seeds 0] [--pretrain_updates 3000]
                                             [--finetune_updates 2500] [--labels speechocean762] [--threads 2]

DATA has a folder a corpus with `manifest.jsonl` (splits train, dev, test): the public sets named below. Runs go to OUT;
what is finished there is not done again, what was stopped goes on. Prints a line of JSON for each figure.

a  many languages against one: encoders pre-trained on all languages and on Persian alone, with equal updates, then
   fine-tuned on an hour of Persian; beside them random weights.
b  pre-trained against random weights, with ten minutes and an hour of labels of the corpus `--labels`.
c  telephones: an hour of labels is clean, the test is of telephone band. Pre-trained without and with unlabelled telephone
   speech, and, as what could be reached, fine-tuned on the same labels over the telephone. The share of the gap that is
   closed.
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

CORPORA = (
    "common_voice_sample", "common_voice_persian", "common_voice_twi", "librispeech_train_clean_5", "speechocean762",
    "arctic_kathleen", "ljspeech_part", "librivox_fra_poems", "vctk_rainbow",
)  # fmt: skip
PERSIAN, READERS = "common_voice_persian", "librispeech_train_clean_5"
# The network of the recipe `mini`, with codebooks for its size; without masks and dropouts of its own.
ARCHITECTURE = tomllib.loads((SHIPPED / "mini.toml").read_text("utf-8"))["model"]["architecture"] | {
    "hidden_dropout": 0.05, "attention_dropout": 0.0, "final_dropout": 0.0, "mask_time_prob": 0.0,
    "codevector_dim": 256, "proj_codevector_dim": 128, "num_codevectors_per_group": 160, "initializer_range": 0.03,
    "diversity_loss_weight": 0.5,  # of batches as small as these; with 0.1 all codes become one within 300 updates
}  # fmt: skip


@dataclass(frozen=True)
class Lab:
    """Where data lie and runs go, how long they are, and the corpus whose labels are learnt by little."""

    data: Path
    out: Path
    pretrain_updates: int
    finetune_updates: int
    labels: str

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


def over_the_telephone(lab: Lab, manifest: Path, leave: Path | None = None) -> Path:
    """The recordings of a manifest, without those of another, in G.711 or AMR at random."""
    folder = lab.out / "telephone" / manifest.stem
    path = folder / "manifest.jsonl"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    left = set() if leave is None else {u.audio for u in read_manifest(leave)}
    rng = np.random.default_rng(0)
    rows = []
    for number, utterance in enumerate(u for u in read_manifest(manifest) if u.audio not in left):
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


def experiment_a(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    train, dev, test = (part(lab, PERSIAN, split) for split in ("train", "dev", "test"))
    starts = {"random": None, "one": lab.pretrained("one", [lab.corpus(PERSIAN)], seed), "many": many(lab, seed)}
    models = {name: lab.finetuned(f"persian-{name}", start, train, dev, seed) for name, start in starts.items()}
    for name in ("one", "random"):
        yield {"many against": name} | scored(models["many"], test, models[name])


def experiment_b(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    dev, test = part(lab, lab.labels, "dev"), part(lab, lab.labels, "test")
    for minutes in (60, 10):
        train = part(lab, lab.labels, "train", minutes * 60.0)
        models = {
            name: lab.finetuned(f"{lab.labels}-{minutes}-{name}", start, train, dev, seed)
            for name, start in (("many", many(lab, seed)), ("random", None))
        }
        yield {"minutes": minutes, "many against": "random"} | scored(models["many"], test, models["random"])


def experiment_c(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    dev, labelled = part(lab, lab.labels, "dev"), part(lab, lab.labels, "train", 3600.0)
    unlabelled = over_the_telephone(lab, part(lab, lab.labels, "train"), leave=labelled)
    narrow, narrow_dev = over_the_telephone(lab, labelled), over_the_telephone(lab, dev)
    test = over_the_telephone(lab, part(lab, lab.labels, "test"))
    clean = many(lab, seed)
    mixed = lab.pretrained("many-telephone", [*(lab.corpus(name) for name in CORPORA), unlabelled], seed)
    models = {
        "clean": lab.finetuned(f"{lab.labels}-60-many", clean, labelled, dev, seed),
        "mixed": lab.finetuned(f"{lab.labels}-60-mixed", mixed, labelled, dev, seed),
        "labels of the domain": lab.finetuned(f"{lab.labels}-60-narrow", clean, narrow, narrow_dev, seed),
    }
    rates = {}
    for name, model in models.items():
        report = xlsr.evaluate(model, test, drop_punctuation=True)
        rates[name] = {rate.name: rate.value for rate in report.summary.total.rates}
        yield {"telephone, pre-trained and fine-tuned on": name} | {r.name: str(r) for r in report.summary.total.rates}
    for name in rates["clean"]:
        gap = rates["clean"][name] - rates["labels of the domain"][name]
        yield {
            "rate": name,
            "gap": round(gap, 4),
            "closed": round((rates["clean"][name] - rates["mixed"][name]) / gap, 3),
        }


def experiment_d(lab: Lab, seed: int) -> Iterator[dict[str, object]]:
    report = xlsr.codes(many(lab, seed), lab.corpus("common_voice_sample"), split="train", max_seconds=180.0)
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
    parser.add_argument("--labels", default="speechocean762", choices=(READERS, "speechocean762"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lab = Lab(arguments.data, arguments.out, arguments.pretrain_updates, arguments.finetune_updates, arguments.labels)
    experiments = {"a": experiment_a, "b": experiment_b, "c": experiment_c, "d": experiment_d}
    for seed in arguments.seeds:
        for name in arguments.experiments:
            for found in experiments[name](lab, seed):
                print(json.dumps({"experiment": name, "seed": seed} | found, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
