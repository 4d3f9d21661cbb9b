"""Whether a pre-training run is failing, in which way, and what brings a codebook back to life.

Looks at the figures of each update, which are the same on every rank. Decides nothing: the recipe says what follows.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xlsr.model.quantizer import Quantizer
from xlsr.training.tasks import Verdict

# Means over 25 updates: a small batch's figures jump, and a run that has failed stays so.
_WINDOW = 25
# -80 dB: the step of 16-bit audio is 3e-5, the quietest recordings of corpora have 1e-3, normalised ones 1.
_SILENT = 1e-4
_SILENT_SHARE = 0.3  # of the updates: a batch without any sound is rare, and soon looks like a collapse
# Half of the distractors are the target itself: two pairs of entries are left. Healthy runs had 0.02 to 0.08 from the
# first update on, whatever their size.
_ALIKE = 0.5
# Effective entries a group, of hundreds; 1 is a group with one entry left.
_ENTRIES = 1.5
# Bits above chance: the network prefers wrong frames. Fresh networks lie within 0.3 of chance.
_LOST = 1.0
# Of chance among the distractors that are not the target itself: nothing has been learnt. Healthy tiny runs had 0.93 or
# less a hundred updates after their warm-up.
_STUCK = 0.99


@dataclass(frozen=True)
class Limits:
    """What a run is measured by.

    Attributes:
        distractors: of a frame; a network that knows nothing has a loss of log2(1 + distractors) bits.
        groups: of the codebook.
        patience: updates after which the loss must have left chance.
    """

    distractors: int
    groups: int
    patience: int


class Guard:
    """Watches the figures of each update, and names each kind of failure once."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.recent: deque[Mapping[str, float]] = deque(maxlen=_WINDOW)
        self.first_bits: float | None = None
        self.named: set[str] = set()

    def watch(self, update: int, figures: Mapping[str, float]) -> Verdict | None:
        """Judge a run by the means of an update and of those before it."""
        self.recent.append(figures)
        if len(self.recent) < _WINDOW:
            return None
        means = {name: sum(row[name] for row in self.recent) / _WINDOW for name in figures}
        if self.first_bits is None:
            self.first_bits = means["loss_bits"]
        verdict = self._judge(update, means)
        if verdict is None or verdict.kind in self.named:
            return None
        self.named.add(verdict.kind)
        return verdict

    def _judge(self, update: int, means: Mapping[str, float]) -> Verdict | None:
        limits, bits, place = self.limits, means["loss_bits"], f"the {_WINDOW} updates up to {update}"
        assert self.first_bits is not None
        chance = math.log2(1 + limits.distractors)
        known = math.log2(1 + limits.distractors * (1 - means["alike"]))
        silent = sum(row["input_std"] < _SILENT for row in self.recent)
        if silent > _WINDOW * _SILENT_SHARE:
            return Verdict(
                "dead input",
                f"the audio of {silent} of {place} is silent: its standard deviation is below {_SILENT:g}. Listen to "
                "the recordings of the manifest",
            )
        entries = means["code_perplexity"] / limits.groups
        if means["alike"] > _ALIKE or entries < _ENTRIES:
            return Verdict(
                "codebook collapse",
                f"in {place} {means['alike']:.0%} of the distractors had the target's codebook entries, and "
                f"{entries:.1f} entries a group were in use: there is nothing to tell apart, and the accuracy of "
                f"{means['accuracy']:.0%} means nothing. A smaller optim.lr, more seconds an update, a longer warm-up, "
                "or a higher diversity_loss_weight may help",
            )
        if bits > max(chance, self.first_bits) + _LOST:
            return Verdict(
                "divergence",
                f"the contrastive loss of {place} is {bits:.2f} bits, above chance ({chance:.2f}): the "
                "network prefers wrong frames. A smaller optim.lr or a longer warm-up may help",
            )
        if update >= limits.patience and bits > _STUCK * known:
            return Verdict(
                "plateau",
                f"after {update} updates the contrastive loss is still at chance: {bits:.2f} of "
                f"{known:.2f} bits. A smaller optim.lr, more seconds an update, or a longer warm-up may "
                "help; for a post-norm network also feature_grad_mult 0.1 and features_pen 10",
            )
        return None


@torch.no_grad()
def revive(quantizer: Quantizer, features: Tensor, rng: np.random.Generator) -> int:
    """Give each codebook entry that no frame takes a frame of its own, in place.

    Its scores point to that frame from the mean of all frames, as long as a fresh entry's, and are the highest at a
    fair share of the frames, one by the number of entries; its vector is drawn as a fresh one.

    Args:
        quantizer: in evaluation mode.
        features: (frames, feature_size), normed.
        rng: chooses the frames.

    Returns:
        How many entries there were.
    """
    scores = quantizer(features).logits  # (frames, groups, entries)
    dead = torch.ones(scores.shape[1:], dtype=torch.bool, device=scores.device)
    dead.scatter_(1, scores.argmax(dim=-1).T, False)
    group, entry = dead.nonzero(as_tuple=True)
    chosen = torch.from_numpy(rng.integers(0, len(features), len(group))).to(features.device)
    away = features[chosen] - features.mean(dim=0)
    rows = torch.nn.functional.normalize(away, dim=1) * features.shape[1] ** 0.5
    place = group * quantizer.entries + entry
    # (frames, dead entries), what each lacks of the highest score at each frame
    lacks = scores.amax(dim=-1)[:, group] - features @ rows.T
    ranks = max(len(features) // quantizer.entries, 1)
    quantizer.weight_proj.weight[place] = rows
    quantizer.weight_proj.bias[place] = lacks.kthvalue(ranks, dim=0).values
    fresh = rng.random((len(place), quantizer.codevectors.shape[2]), dtype=np.float32)
    quantizer.codevectors[0, place] = torch.from_numpy(fresh).to(features.device)
    return len(place)
