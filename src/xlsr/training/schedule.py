"""Learning rates over a run.

Sources: fairseq's tri-stage schedule, as used to fine-tune wav2vec 2.0 (exponential decay), and its linear
`polynomial_decay`, as used to pre-train.
"""

from __future__ import annotations

import math

from xlsr.training.recipe import OptimRecipe


def lr_scale(update: int, optim: OptimRecipe) -> float:
    """Return the share of the peak learning rate at an update of a run."""
    if optim.schedule == "tri_stage":
        return tri_stage(update, optim.updates, warmup=optim.warmup, hold=optim.hold, final_scale=optim.final_lr_scale)
    warmup_updates = int(optim.warmup * optim.updates)
    if update < warmup_updates:
        return (update + 1) / warmup_updates
    if optim.schedule == "constant":
        return 1.0
    return max(optim.updates - update, 0) / max(optim.updates - warmup_updates, 1)


def tri_stage(
    update: int,
    updates: int,
    *,
    warmup: float = 0.1,
    hold: float = 0.4,
    initial_scale: float = 0.01,
    final_scale: float = 0.05,
) -> float:
    """Return the share of the peak learning rate at an update.

    Linear from `initial_scale` to 1 over the share `warmup` of all updates, 1 over `hold`, then exponentially down
    to `final_scale` at the end.
    """
    warmup_updates, hold_updates = int(warmup * updates), int(hold * updates)
    if update < warmup_updates:
        return initial_scale + (1 - initial_scale) * update / warmup_updates
    decay_updates = int((1 - warmup - hold) * updates)
    into_decay = update - warmup_updates - hold_updates
    if into_decay < 0 or decay_updates <= 0:
        return 1.0
    return math.exp(math.log(final_scale) * min(into_decay / decay_updates, 1.0))
