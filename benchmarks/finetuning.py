"""Train one small network (the architecture of the recipe `mini`) with xlsr and with transformers' Trainer: updates a second, and the dev WER at the end.

    python benchmarks/finetuning.py speed CORPUS [--updates 20 --rounds 3]
    python benchmarks/finetuning.py wer CORPUS [--updates 5000 --shortest --batch 1]

CORPUS is a folder with manifest.jsonl (splits train and dev). Both systems start from the same random weights, see the
same utterances, as many a batch, for as many updates, at the same peak learning rate (our head learns at its own, as our
recipes can say); the rival in fp32, its default, ours in fp32 or as told. The rival is set up as
its own example script (run_speech_recognition_ctc.py) is: utterances grouped by length, dynamic padding, linear
schedule with warm-up, SpecAugment from the same config. `speed` runs the two in turn, several times, and compares
medians; audio is read beforehand for both. Needs: pip install transformers accelerate jiwer
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import tomllib
from pathlib import Path

import jiwer
import numpy as np
import torch
from transformers import Trainer as RivalTrainer
from transformers import (
    TrainingArguments,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    logging,
)

import xlsr
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import save
from xlsr.config import Wav2Vec2Config
from xlsr.data.batching import plan_batches
from xlsr.data.manifest import load_utterance, read_manifest, write_manifest
from xlsr.data.vocabulary import build_vocabulary
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC as OurNetwork
from xlsr.normalize import normalize_text
from xlsr.training.recipe import SHIPPED

ARCHITECTURE = tomllib.loads((SHIPPED / "mini.toml").read_text("utf-8"))["model"]["architecture"] | {
    "ctc_loss_reduction": "mean",
    "ctc_zero_infinity": True,
}
PEAK_LR, HEAD_LR, WARMUP = 1e-3, 1e-2, 0.1


def fixed_hour(corpus: Path, folder: Path, hours: float, *, shortest: bool) -> tuple[Path, Path]:
    """Manifests of a fixed part of the training split, drawn or its shortest utterances, and of the whole dev split."""
    for split in ("train", "dev"):
        utterances = read_manifest(corpus / "manifest.jsonl", split=split)
        if split == "train":
            order = np.random.default_rng(0).permutation(len(utterances))
            if shortest:
                order = np.argsort([u.duration for u in utterances], kind="stable")
            ends = np.cumsum([utterances[i].duration for i in order])
            utterances = [utterances[i] for i in order[: int(np.searchsorted(ends, hours * 3600))]]
        write_manifest(utterances, folder / f"{split}.jsonl")
    return folder / "train.jsonl", folder / "dev.jsonl"


def start_model(train: Path, folder: Path) -> Path:
    """A folder with random weights, which both systems start from."""
    tokenizer = build_vocabulary(normalize_text(u.text or "", lowercase=True) for u in read_manifest(train))
    config = Wav2Vec2Config.from_dict(
        ARCHITECTURE
        | {"vocab_size": tokenizer.size, "pad_token_id": tokenizer.blank_id, "architectures": ["Wav2Vec2ForCTC"]}
    )
    torch.manual_seed(0)
    save(Description(config, tokenizer), OurNetwork(config), folder)
    return folder


def equal_batches(train: Path, batch: int) -> float:
    """The padded seconds at which our batches hold as much audio on average as the rival's."""
    durations = [u.duration for u in read_manifest(train)]

    def miss(seconds: float) -> float:
        plan = plan_batches(durations, max_seconds=seconds, rng=np.random.default_rng(0))
        return abs(sum(durations) / len(plan) - batch * float(np.mean(durations)))

    return float(min(np.arange(1.0, 2.0, 0.02) * batch * np.mean(durations), key=miss))


def ours(train: Path, dev: Path, start: Path, out: Path, updates: int, batch: int, precision: str) -> dict[str, float]:
    """Train with xlsr."""
    overrides = {
        "data.train": str(train), "data.dev": str(dev), "data.batch_seconds": equal_batches(train, batch), "model.start": str(start),
        "optim.lr": PEAK_LR, "optim.head_lr": HEAD_LR, "optim.updates": updates, "optim.warmup": WARMUP, "optim.weight_decay": 0.0,
        "run.eval_every": updates, "run.log_every": max(updates // 20, 1), "run.device": "cpu",
        "run.precision": precision,
    }  # fmt: skip
    recipe = out.with_suffix(".toml")
    recipe.write_text("")
    result = xlsr.finetune(recipe, out, overrides=overrides)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    speeds = [row["updates_per_second"] for row in rows if "updates_per_second" in row]
    audio = [row["audio_seconds_per_second"] for row in rows if "audio_seconds_per_second" in row]
    return {"updates_per_second": statistics.median(speeds), "x_real_time": statistics.median(audio),
            "wer": result.figures["wer"], "cer": result.figures["cer"]}  # fmt: skip


class _Utterances(torch.utils.data.Dataset):
    """Rows as the example script's map makes them: normalised inputs, labels, lengths."""

    def __init__(self, manifest: Path, processor: Wav2Vec2Processor) -> None:
        self.rows = []
        for utterance in read_manifest(manifest):
            values = processor.feature_extractor(load_utterance(utterance), sampling_rate=16_000).input_values[0]
            text = normalize_text(utterance.text or "", lowercase=True)
            self.rows.append(
                {"input_values": values, "labels": processor.tokenizer(text).input_ids, "length": len(values)}
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, object]:
        return self.rows[index]


class _Clock(RivalTrainer):
    """The Trainer, with the moments at which its steps ended."""

    def training_step(self, *args: object, **kwargs: object) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self.moments = [*getattr(self, "moments", []), time.perf_counter()]
        return loss


def rival(
    train: Path, dev: Path, start: Path, out: Path, updates: int, batch: int, *, score: bool = True
) -> dict[str, float]:
    """Train with transformers' Trainer as its example script does."""
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(start)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(start)
    processor = Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
    model = Wav2Vec2ForCTC.from_pretrained(start)
    rows = _Utterances(train, processor)

    def collate(batch: list[dict[str, object]]) -> dict[str, torch.Tensor]:
        padded = processor.pad(
            [{"input_values": row["input_values"]} for row in batch], padding=True, return_tensors="pt"
        )
        labels = processor.pad(
            labels=[{"input_ids": row["labels"]} for row in batch], padding=True, return_tensors="pt"
        )
        padded["labels"] = labels["input_ids"].masked_fill(labels["attention_mask"].ne(1), -100)
        return padded

    arguments = TrainingArguments(
        output_dir=str(out), max_steps=updates, per_device_train_batch_size=batch, learning_rate=PEAK_LR,
        warmup_steps=int(WARMUP * updates), lr_scheduler_type="linear", train_sampling_strategy="group_by_length",
        length_column_name="length", save_strategy="no", report_to=[], use_cpu=True, logging_steps=max(updates // 20, 1),
        disable_tqdm=True, seed=0, remove_unused_columns=False,
    )  # fmt: skip
    trainer = _Clock(model=model, args=arguments, train_dataset=rows, data_collator=collate, processing_class=extractor)
    trainer.train()
    steps = np.diff(trainer.moments)
    seconds = batch * float(np.mean([row["length"] for row in rows.rows])) / 16_000
    figures = {"updates_per_second": 1 / float(np.mean(steps)), "x_real_time": seconds / float(np.mean(steps))}
    return figures | (_score(model, processor, dev) if score else {})


@torch.no_grad()
def _score(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, dev: Path) -> dict[str, float]:
    model.eval()
    references, hypotheses = [], []
    for utterance in read_manifest(dev):
        inputs = processor(load_utterance(utterance), sampling_rate=16_000, return_tensors="pt")
        ids = model(inputs.input_values).logits.argmax(-1)
        hypotheses += processor.batch_decode(ids)
        references.append(normalize_text(utterance.text or "", lowercase=True))
    return {"wer": jiwer.wer(references, hypotheses), "cer": jiwer.cer(references, hypotheses)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["speed", "wer"])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--shortest", action="store_true", help="the shortest utterances, not drawn ones")
    parser.add_argument("--batch", type=int, default=2, help="utterances of the rival's; ours hold as much audio")
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="fp32", help="of ours; the rival has fp32, its default")
    parser.add_argument("--out", type=Path, default=Path(tempfile.mkdtemp()))
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    arguments.out.mkdir(parents=True, exist_ok=True)
    train, dev = fixed_hour(arguments.corpus, arguments.out, arguments.hours, shortest=arguments.shortest)
    start = start_model(train, arguments.out / "start")
    if arguments.question == "wer":
        mine = ours(train, dev, start, arguments.out / "xlsr", arguments.updates, arguments.batch, arguments.precision)
        print(json.dumps(mine), flush=True)
        theirs = rival(train, dev, start, arguments.out / "transformers", arguments.updates, arguments.batch)
        found = {"xlsr": mine, "transformers": theirs}
        print(json.dumps(found, indent=2))
        return
    rounds = []
    short = read_manifest(dev)[:2]
    write_manifest(short, arguments.out / "short.jsonl")
    for number in range(arguments.rounds):
        mine = ours(
            train,
            arguments.out / "short.jsonl",
            start,
            arguments.out / f"xlsr{number}",
            arguments.updates,
            arguments.batch,
            arguments.precision,
        )
        theirs = rival(
            train, dev, start, arguments.out / f"transformers{number}", arguments.updates, arguments.batch, score=False
        )
        rounds.append((mine, theirs))
        print(json.dumps({"xlsr": mine, "transformers": theirs}), flush=True)
    for key in ("updates_per_second", "x_real_time"):
        a, b = (statistics.median(pair[side][key] for pair in rounds) for side in (0, 1))
        print(f"{key}: xlsr {a:.3f}, transformers {b:.3f}, ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
