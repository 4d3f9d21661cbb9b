"""Can this data and these settings learn at all? Sixteen utterances, learnt by heart, within five minutes.

A network that is large enough spells a few utterances without fail when all is well. When it does not, more data will
not help, and the verdict names what to look at first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xlsr.config import Json
from xlsr.training.ctc import CTCTask
from xlsr.training.distributed import Ranks, autocast, settle_precision, start_ranks
from xlsr.training.recipe import FinetuneRecipe, read_recipe
from xlsr.training.tasks import Draw

UTTERANCES = 16
LEARNT = 0.1  # error rate of letters or phones
_WARMUP = 30  # updates
_EVALUATE_EVERY = 25  # updates
# Everything that makes learning by heart harder.
_DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "final_dropout",
             "conformer_conv_dropout")  # fmt: skip
_PLAIN: dict[str, Json] = {
    **{f"model.architecture.{name}": 0.0 for name in (*_DROPOUTS, "layerdrop")},
    "model.architecture.apply_spec_augment": False,
    "model.freeze_encoder_updates": 0,
    **{f"augment.{name}_prob": 0.0 for name in ("speed", "rir", "noise", "gain", "clip", "telephone")},
    "adapter.dropout": 0.0,
}


@dataclass(frozen=True)
class ProbeResult:
    """What a probe came to.

    Attributes:
        learns: whether the utterances were learnt by heart.
        updates: how many it took, or were tried.
        error_rate: of letters or phones, at the end.
        losses: one an update.
        samples: references and hypotheses at the end.
        advice: what to do now.
    """

    learns: bool
    updates: int
    error_rate: float
    losses: tuple[float, ...]
    samples: tuple[tuple[str, str], ...]
    advice: str


def probe(recipe: Path | str, *, overrides: Mapping[str, Json] | None = None, seconds: float = 300.0) -> ProbeResult:
    """Learn sixteen utterances of a recipe's training set by heart, with every regularisation off.

    Args:
        recipe: as for `finetune`.
        overrides: as for `finetune`.
        seconds: after which it gives up.
    """
    read = read_recipe(recipe, FinetuneRecipe, dict(overrides or {}) | _PLAIN)
    if read.run.threads:
        torch.set_num_threads(read.run.threads)
    torch.set_flush_denormal(True)
    with start_ranks(read.run.device) as ranks:
        task = CTCTask(settle_precision(read, ranks.device))
        # Utterances of ordinary length: the middle of the corpus.
        order = np.argsort([u.duration for u in task.train], kind="stable")
        first = max(len(order) // 2 - UTTERANCES // 2, 0)
        task.train = task.dev = [task.train[i] for i in order[first : first + UTTERANCES]]
        return _learn(task, ranks, seconds)


def _learn(task: CTCTask, ranks: Ranks, seconds: float) -> ProbeResult:
    model, groups = task.model.to(ranks.device).train(), task.parameter_groups()
    optim = task.recipe.optim
    optimizer = torch.optim.AdamW(
        [{"params": g.parameters, "peak": g.lr, "weight_decay": g.weight_decay} for g in groups],
        betas=optim.betas, eps=optim.eps, fused=True,
    )  # fmt: skip
    losses: list[float] = []
    started = time.monotonic()
    while True:
        for indices in task.plan(len(losses)):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * min(1.0, (len(losses) + 1) / _WARMUP)
            draw = Draw(len(losses), np.random.default_rng(0), np.random.default_rng(0))
            with autocast(task.recipe, ranks):
                output = task.step(model, task.load(0, indices).to(ranks.device), draw)
            (output.loss / max(output.weight, 1)).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(float(output.loss.detach()) / max(output.weight, 1))
        ended = time.monotonic() - started > seconds or not math.isfinite(losses[-1])
        if not ended and len(losses) % _EVALUATE_EVERY:
            continue
        model.eval()
        with autocast(task.recipe, ranks):
            evaluation = task.evaluate(ranks)
        model.train()
        rate = evaluation.figures.get("per", evaluation.figures.get("cer", 1.0))
        if ended or rate < LEARNT:
            advice = _advice(rate, losses)
            return ProbeResult(rate < LEARNT, len(losses), rate, tuple(losses), evaluation.samples, advice)


def _advice(rate: float, losses: list[float]) -> str:
    if not math.isfinite(losses[-1]):
        return "the loss is not finite: optim.lr is far too large, or the audio holds NaN (xlsr doctor finds it)"
    if rate < LEARNT:
        return "data and settings can learn: start the run"
    if losses[-1] > 0.5 * losses[0]:
        return (
            "the loss hardly fell: optim.lr may be too small or too large by a factor of 10, or the texts are not of "
            "these recordings (listen to three of them; xlsr doctor names implausible ones)"
        )
    return (
        "the loss falls, but too slowly to tell: give it more time, a larger optim.lr, or a model that was "
        "pre-trained; a network from random weights says nothing but blanks for its first hundreds of updates"
    )
