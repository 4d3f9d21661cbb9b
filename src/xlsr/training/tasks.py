"""What the trainer needs to know of anything that can be learnt.

A task turns utterances into batches, batches into losses, and a network into development figures. The trainer knows
no task by name. All randomness of a step comes from its `Draw`, so that neither the number of ranks nor a stop and a
resume changes a run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from xlsr.config import Json, Wav2Vec2Config
from xlsr.model.masking import span_mask
from xlsr.training.distributed import Ranks


class Batch(Protocol):
    """What one step takes."""

    @property
    def seconds(self) -> float:
        """Audio in the batch, without padding."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its utterances, for messages."""

    def to(self, device: str) -> Self:
        """The same batch on a device."""


@dataclass(frozen=True)
class Draw:
    """Where a step's randomness comes from: functions of the seed and of what is computed, not of who computes it.

    Attributes:
        update: number of the update, from 0.
        own: for this batch alone (masks, distractors).
        shared: the same for every batch of the update, on every rank (LayerDrop).
    """

    update: int
    own: np.random.Generator
    shared: np.random.Generator


@dataclass(frozen=True)
class StepOutput:
    """One batch's loss.

    Attributes:
        loss: summed over what it is counted in.
        weight: how many these are (utterances, masked frames); gradients are divided by their sum over all batches
            and ranks of the update.
        metrics: other sums, to be divided by the same weight for the log.
        notes: what a reader of the log should know of this batch, such as utterances left out, by name.
    """

    loss: Tensor
    weight: int
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Figures on the development set.

    Attributes:
        figures: the one to be lowest first; a name that ends in its unit, such as loss_bits, is no rate.
        samples: (reference, hypothesis).
        details: more figures, for the log alone.
    """

    figures: dict[str, float]
    samples: tuple[tuple[str, str], ...] = ()
    details: Mapping[str, float] = field(default_factory=dict)


def standing(figures: Mapping[str, float]) -> tuple[float, ...]:
    """Return what models are chosen by, lowest first: the figures in their order.

    While nine of ten words are wrong their number is chance; then letters decide.
    """
    return tuple(min(value, 0.9) if name == "wer" else value for name, value in figures.items())


@dataclass(frozen=True)
class ParameterGroup:
    """Trainable parameters with their peak learning rate and weight decay."""

    parameters: list[nn.Parameter]
    lr: float
    weight_decay: float


AnyBatch = TypeVar("AnyBatch", bound=Batch)


class Task(Protocol[AnyBatch]):
    """What is learnt."""

    @property
    def model(self) -> nn.Module:
        """The network that learns."""

    @property
    def fingerprint(self) -> str:
        """Of what is learnt: utterances and symbols; a run goes on only with the same."""

    @property
    def layers(self) -> Sequence[nn.Module]:
        """Its repeated parts, which are compiled and sharded one by one."""

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of indices for an epoch; the same epoch always gives the same plan."""

    def load(self, epoch: int, indices: Sequence[int]) -> AnyBatch:
        """Read the utterances of a batch; the same arguments always give the same batch."""

    def step(self, network: nn.Module, batch: AnyBatch, draw: Draw) -> StepOutput:
        """Loss of a batch; `network` is the model, or what distributes it."""

    def evaluate(self, ranks: Ranks) -> Evaluation:
        """Measure on the development set, all ranks together."""

    def save(self, folder: Path, weights: Mapping[str, Tensor], figures: Mapping[str, Json]) -> None:
        """Write a model folder with these weights and figures."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """What the optimiser moves."""


@dataclass(frozen=True)
class Verdict:
    """How a run is failing: a few words for what it is, and a message with the numbers and what may help."""

    kind: str
    message: str


@runtime_checkable
class Watchful(Protocol):
    """A task that can tell a failing run."""

    def watch(self, update: int, figures: Mapping[str, float]) -> Verdict | None:
        """Judge the means of an update, which are the same on every rank."""

    def repair(self, ranks: Ranks, count: int) -> str:
        """Mend the network after its weights were restored, for the count-th time; returns what was done."""


def fingerprint_of(parts: Iterable[object]) -> str:
    """A digest of values that their `repr` tells apart."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode() + b"\n")
    return digest.hexdigest()


def decay_groups(named: Sequence[tuple[str, nn.Parameter]], lr: float, weight_decay: float) -> list[ParameterGroup]:
    """Groups of one learning rate: matrices and kernels decay; biases, norms and embeddings of one vector do not."""
    learning = [(p, p.ndim > 1 and not name.endswith("weight_g")) for name, p in named if p.requires_grad]
    parts = ([p for p, decays in learning if decays], weight_decay), ([p for p, decays in learning if not decays], 0.0)
    return [ParameterGroup(parameters, lr, decay) for parameters, decay in parts if parameters]


def spec_masks(
    config: Wav2Vec2Config, frames: Sequence[int], rng: np.random.Generator, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Draw which frames and channels of a batch are hidden, as the architecture says; None where it hides none.

    Returns:
        (batch, frames) and (batch, hidden_size) bool.
    """
    if not config.apply_spec_augment:
        return None, None
    hidden = config.hidden_size
    drawn = [
        span_mask(frames, max(frames), prob=config.mask_time_prob, span=config.mask_time_length,
                  min_spans=config.mask_time_min_masks, rng=rng),
        span_mask([hidden] * len(frames), hidden, prob=config.mask_feature_prob, span=config.mask_feature_length,
                  min_spans=config.mask_feature_min_masks, rng=rng),
    ]  # fmt: skip
    time, channels = (torch.from_numpy(mask).to(device) for mask in drawn)
    return time, channels
