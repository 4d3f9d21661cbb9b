"""Updates of pre-training a second: ours against a step as transformers' example script takes it, in turn.

    python benchmarks/pretraining.py [--size mini|base|large] [--utterances 4] [--seconds 8] [--rounds 5] [--threads 2]
                                     [--device cpu] [--precision fp32|bf16]

The same architecture, batch, precision and number of threads; random weights, as time does not depend on them. Ours is
the trainer's own step: masks, distractors, loss, metrics, gradient, AdamW. The rival draws masks and distractors by
transformers' functions, as the collator of `run_wav2vec2_pretraining_no_trainer.py` does, with AdamW as set there.
Both take crops of one length; what a rival pads is not counted. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
import transformers
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from xlsr.training.distributed import Ranks
from xlsr.training.pretrain_recipe import PretrainRecipe
from xlsr.training.pretraining import PretrainTask, SpeechBatch
from xlsr.training.recipe import read_recipe
from xlsr.training.trainer import Trainer

RECIPES = {"mini": "pretrain-mini", "base": "pretrain-base", "large": "pretrain-large"}
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def our_step(folder: Path, arguments: argparse.Namespace) -> tuple[PretrainTask, SpeechBatch, Callable[[], None]]:
    """The trainer's step on one batch of noise, which lies in files as a corpus does."""
    rng, rows = np.random.default_rng(0), []
    for index in range(arguments.utterances):
        wave = 0.1 * rng.standard_normal(round(arguments.seconds * 16_000)).astype(np.float32)
        soundfile.write(folder / f"{index}.wav", wave, 16_000)
        rows.append(json.dumps({"audio": f"{index}.wav", "duration": arguments.seconds}))
    (folder / "all.jsonl").write_text("\n".join(rows))
    overrides = {
        "data.train": str(folder / "all.jsonl"), "data.dev": str(folder / "all.jsonl"), "data.min_seconds": 0.1,
        "data.batch_seconds": arguments.seconds * arguments.utterances * 1.01, "optim.accumulate": 1,
        "model.architecture.layerdrop": 0.0, "run.device": arguments.device, "run.precision": arguments.precision,
        "run.threads": arguments.threads, "run.on_alarm": "go_on", "run.log_every": 10**6,
    }  # fmt: skip
    task = PretrainTask(read_recipe(RECIPES[arguments.size], PretrainRecipe, overrides))
    trainer = Trainer(task, task.recipe, folder / "run", Ranks(device=arguments.device))
    task.watch = lambda update, figures: None  # noise teaches nothing
    batch = task.load(0, task.plan(0)[0]).to(arguments.device)

    def step() -> None:
        torch.set_flush_denormal(True)
        trainer._step([batch])
        trainer.update += 1

    return task, batch, step


def their_step(task: PretrainTask, batch: SpeechBatch, arguments: argparse.Namespace) -> Callable[[], None]:
    """The step of the example script: collator, forward, backward, gradients divided by the masked frames, AdamW."""
    keys = {k: v for k, v in task.network.config.to_dict().items() if k not in ("architectures", "model_type")}
    model = transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**keys)).to(arguments.device).train()
    optim, kind = task.recipe.optim, arguments.device.partition(":")[0]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=optim.lr, betas=optim.betas, eps=optim.eps, weight_decay=optim.weight_decay
    )
    inputs, precision, count = batch.inputs, PRECISIONS[arguments.precision], 0

    def step() -> None:
        nonlocal count
        torch.set_flush_denormal(False)
        shape = (len(inputs), int(model._get_feat_extract_output_lengths(inputs.shape[-1])))
        mask = _compute_mask_indices(shape, 0.65, 10, min_masks=2)
        negatives = _sample_negative_indices(shape, model.config.num_negatives, mask_time_indices=mask)
        time_mask, drawn = (torch.tensor(x, device=inputs.device) for x in (mask, negatives))
        with torch.autocast(kind, precision, enabled=precision is not None):
            outputs = model(inputs, mask_time_indices=time_mask.bool(), sampled_negative_indices=drawn)
        outputs.loss.backward()
        total = time_mask.sum()
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(total)
        optimizer.step()
        optimizer.zero_grad()
        count += 1
        model.set_gumbel_temperature(max(2.0 * 0.999995**count, 0.5))
        for value in (outputs.loss, outputs.contrastive_loss, outputs.diversity_loss):
            value.item()  # what it logs

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=RECIPES, default="mini")
    parser.add_argument("--utterances", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        task, batch, ours = our_step(Path(folder), arguments)
        steps = {"transformers": their_step(task, batch, arguments), "xlsr": ours}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(arguments.rounds + 1):
            for name, step in steps.items():
                started = time.perf_counter()
                step()
                if arguments.device != "cpu":
                    torch.cuda.synchronize()
                if number:  # the first warms up
                    times[name].append(time.perf_counter() - started)
    hardware = (
        torch.cuda.get_device_name()
        if arguments.device != "cpu"
        else f"{platform.machine()}, {arguments.threads} threads"
    )
    print(f"{arguments.size}, {arguments.utterances} x {arguments.seconds:g} s, {arguments.precision}, {hardware}; "
          f"torch {torch.__version__}, transformers {transformers.__version__}")  # fmt: skip
    rival = statistics.median(times["transformers"])
    print(f"{'system':<13} {'updates/s':>9} {'median s':>9} {'min':>7} {'max':>7} {'ratio':>6}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:<13} {1 / median:9.3f} {median:9.3f} {min(taken):7.3f} {max(taken):7.3f} {rival / median:6.2f}")


if __name__ == "__main__":
    main()
