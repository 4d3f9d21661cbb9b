"""Distillation: a small encoder regresses a teacher's frames, one by one.

A task for the trainer. Reads manifests of several languages and corpora, cuts what is too long at a frame, varies
what the student hears and leaves clean what the teacher hears, pads by lengths, and compares valid frames only.
Measures the same distance on the development set, without masks and variations.

Source: DistilHuBERT, arXiv 2110.01900.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xlsr.audio import HOP_SAMPLES, SAMPLE_RATE
from xlsr.checkpoint.hf import save
from xlsr.config import Json
from xlsr.data.augment import Augmenter
from xlsr.data.loading import CachedLoader, load_readable
from xlsr.data.stored_features import common_frames
from xlsr.data.utterance import Utterance
from xlsr.engines.inputs import batch_inputs
from xlsr.errors import AudioError
from xlsr.model.distillation import Distilled, RegressionHead
from xlsr.model.features import valid_mask
from xlsr.training.distill_recipe import DistillRecipe
from xlsr.training.distill_start import start_distilling
from xlsr.training.distributed import Ranks
from xlsr.training.speech import Speech
from xlsr.training.tasks import (
    Draw,
    Evaluation,
    ParameterGroup,
    StepOutput,
    decay_groups,
    fingerprint_of,
    spec_masks,
)
from xlsr.training.teacher import Lesson, find_teacher

_ENCODER, _HEADS = "wav2vec2.", "heads."
_MASK = "masked_spec_embed"
_LEAST = 1e-3  # of the mean deviation: a dimension that hardly moves is left as it is


@dataclass(frozen=True)
class LessonBatch:
    """Utterances of similar length, padded with zeros.

    Attributes:
        inputs: (batch, samples) float32 normalised waveforms, or (batch, frames, 160) features of a wav2vec2-bert.
        lengths: (batch,) valid samples or feature frames.
        frames: of the student's encoder, one an utterance.
        taught: what `Teacher.frames` takes, with its lengths.
        taught_lengths: (batch,).
        compared: (batch,) int64, frames that student and teacher share.
        seconds: of audio, without padding.
        names: one an utterance, for messages.
        notes: utterances that belong to the batch and could not be read.
    """

    inputs: Tensor
    lengths: Tensor
    frames: tuple[int, ...]
    taught: Tensor
    taught_lengths: Tensor
    compared: Tensor
    seconds: float
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to(self, device: str) -> LessonBatch:
        """The same batch on a device."""
        return replace(
            self, inputs=self.inputs.to(device), lengths=self.lengths.to(device), taught=self.taught.to(device),
            taught_lengths=self.taught_lengths.to(device), compared=self.compared.to(device),
        )  # fmt: skip


class DistillTask:
    """Learn what a teacher knows: its frames of an utterance from the utterance."""

    def __init__(self, recipe: DistillRecipe) -> None:
        self.recipe = recipe
        self.speech = Speech(recipe.data, recipe.run.seed)
        self.train, self.dev = self.speech.train, self.speech.dev
        self.teacher = find_teacher(recipe.teacher, [*self.train, *self.dev])
        student = start_distilling(recipe, self.teacher.sizes)
        self.description, self.network, self.notes = student.description, student.network, student.notes
        self.network.wav2vec2.encoder.checkpointing = recipe.model.gradient_checkpointing
        if recipe.teacher.normalize:
            for head in self._heads:
                head.deviation.zero_()  # not measured yet
        # Processes that read live for an epoch: what they kept would be lost.
        self.waveform = CachedLoader(0 if recipe.run.workers else recipe.data.cache_mib << 20)
        self.augment = Augmenter(recipe.augment)

    @property
    def model(self) -> nn.Module:
        """The network that learns."""
        return self.network

    @cached_property
    def fingerprint(self) -> str:
        """Of the recordings, and of the features that are stored of them."""
        return fingerprint_of((u.audio.name, u.offset, u.duration, u.features and u.features.name) for u in self.train)

    @property
    def layers(self) -> Sequence[nn.Module]:
        """The student's layers."""
        return list(self.network.wav2vec2.encoder.layers)

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of indices for an epoch; the same epoch always gives the same plan."""
        return self.speech.plan(epoch)

    def load(self, epoch: int, indices: Sequence[int]) -> LessonBatch:
        """Read the utterances of a batch, cut a random part out of the long ones, and vary what the student hears."""
        rng = np.random.default_rng([self.recipe.run.seed, epoch, *indices])
        return self._collate([self.train[index] for index in indices], rng, self.augment)

    def step(self, network: nn.Module, batch: LessonBatch, draw: Draw) -> StepOutput:
        """Distance of a batch from its teacher; the weight is the number of frames that are compared."""
        self._settle(batch.inputs.device)
        time_mask, channel_mask = spec_masks(self.network.config, batch.frames, draw.own, batch.inputs.device)
        skipped = draw.shared.random(len(self.layers)) < self.network.config.layerdrop
        seen: Distilled = network(
            batch.inputs, batch.lengths, taught=self.teacher.frames(batch.taught, batch.taught_lengths),
            frames=batch.compared, time_mask=time_mask, channel_mask=channel_mask,
            skip=tuple(np.flatnonzero(skipped).tolist()),
        )  # fmt: skip
        metrics = {"l1": seen.l1, "cosine": seen.cosine}
        return StepOutput(self._loss(seen), int(batch.compared.sum()), metrics, batch.notes)

    @torch.no_grad()
    def evaluate(self, ranks: Ranks) -> Evaluation:
        """Distance from the teacher on the development set, the same parts at every call."""
        self._settle(torch.device(ranks.device))
        plan = self.speech.dev_plan()
        sums = torch.zeros(4, dtype=torch.float64, device=ranks.device)
        for number, counts in ranks.turns(len(plan)):
            rng = np.random.default_rng([1, number])
            batch = self._collate([self.dev[index] for index in plan[number]], rng).to(ranks.device)
            seen = self.network(
                batch.inputs, batch.lengths, taught=self.teacher.frames(batch.taught, batch.taught_lengths),
                frames=batch.compared,
            )  # fmt: skip
            mine = torch.stack(
                [self._loss(seen).double(), seen.l1.double(), seen.cosine.double(), batch.compared.sum()]
            )
            sums += mine * counts
        loss, l1, cosine, count = ranks.add(sums).tolist()
        return Evaluation({"frame_loss": loss / count}, details={"l1": l1 / count, "cosine": cosine / count})

    def save(self, folder: Path, weights: Mapping[str, Tensor], figures: Mapping[str, Json]) -> None:
        """Write the encoder with its figures; heads are of the run alone."""
        config, encoder = self.network.config, self.network.wav2vec2
        kept = {name.removeprefix(_ENCODER): v for name, v in weights.items() if name.startswith(_ENCODER)}
        if not config.mask_time_prob and not config.mask_feature_prob:
            kept.pop(_MASK, None)  # never used, and transformers has no place for it then
        extras = self.description.extras | {"figures": dict(figures)}
        save(replace(self.description, extras=extras), encoder, folder, weights=kept)

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters; the heads may learn at another pace."""
        optim = self.recipe.optim
        named = list(self.network.named_parameters())
        return [
            *decay_groups([n for n in named if not n[0].startswith(_HEADS)], optim.lr, optim.weight_decay),
            *decay_groups([n for n in named if n[0].startswith(_HEADS)], optim.head_lr or optim.lr, optim.weight_decay),
        ]

    @property
    def _heads(self) -> list[RegressionHead]:
        return [head for head in self.network.heads if isinstance(head, RegressionHead)]

    def _loss(self, seen: Distilled) -> Tensor:
        return self.recipe.teacher.l1 * seen.l1 + self.recipe.teacher.cosine * seen.cosine

    @torch.no_grad()
    def _settle(self, device: torch.device) -> None:
        """Measure each dimension of the teacher on the first utterances, unless the state of a run has told it."""
        heads = self._heads
        if all(head.deviation.any() for head in heads):
            return
        first = self.train[: self.recipe.teacher.normalize]
        rng = np.random.default_rng([self.recipe.run.seed, 4])
        sums = [torch.zeros(3, size, dtype=torch.float64, device=device) for size in self.teacher.sizes]
        for indices in self.speech.batches(self.speech.seconds[: len(first)], rng):
            batch = self._collate([first[index] for index in indices], rng).to(str(device))
            taught = self.teacher.frames(batch.taught, batch.taught_lengths)
            for total, x in zip(sums, taught, strict=True):
                frames = x[valid_mask(batch.compared, x.shape[1])].double()
                total += torch.stack([torch.ones_like(frames), frames, frames.square()]).sum(dim=1)
        for head, (count, total, squares) in zip(heads, sums, strict=True):
            mean = total / count
            deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
            moves = deviation > _LEAST * deviation.mean()
            head.mean.copy_(mean)
            head.deviation.copy_(torch.where(moves, deviation, 1.0))

    def _collate(
        self, utterances: Sequence[Utterance], rng: np.random.Generator, augment: Augmenter | None = None
    ) -> LessonBatch:
        """Read utterances, cut them, and pad what student and teacher hear; only the student's is varied."""
        config = self.network.config
        loaded = load_readable(utterances, self._read)
        lessons = [self._cut(lesson, rng) for lesson in loaded.found]
        heard = [augment(lesson.waveform, rng) if augment else lesson.waveform for lesson in lessons]
        own = batch_inputs(heard, config, normalizes=self.description.normalizes)
        taught = self.teacher.inputs(lessons)
        frames = tuple(config.num_encoder_frames(len(lesson.waveform)) for lesson in lessons)
        compared = [min(n, self.teacher.num_frames(lesson)) for n, lesson in zip(frames, lessons, strict=True)]
        return LessonBatch(
            torch.from_numpy(own.values), torch.from_numpy(own.lengths), frames, torch.from_numpy(taught.values),
            torch.from_numpy(taught.lengths), torch.tensor(compared), sum(map(len, heard)) / SAMPLE_RATE,
            tuple(utterances[place].name for place in loaded.places), loaded.notes,
        )  # fmt: skip

    def _read(self, utterance: Utterance) -> Lesson:
        """An utterance with what is stored of it. Raises AudioError where they do not belong together."""
        lesson = Lesson(self.waveform(utterance), self.teacher.read(utterance))
        frames = self.network.config.num_encoder_frames(len(lesson.waveform))
        if not common_frames(utterance, frames, self.teacher.num_frames(lesson)):
            raise AudioError(f"{utterance.name} has {len(lesson.waveform)} samples, too few for a frame")
        return lesson

    def _cut(self, lesson: Lesson, rng: np.random.Generator) -> Lesson:
        """A random part of a lesson that is too long, from a frame on."""
        config = self.network.config
        most = max(config.num_encoder_frames(round(self.recipe.data.max_seconds * SAMPLE_RATE)), 1)
        frames = config.num_encoder_frames(len(lesson.waveform))
        if frames <= most:
            return lesson
        start = int(rng.integers(max(min(frames, self.teacher.num_frames(lesson)) - most, 0) + 1))
        first, samples = start * HOP_SAMPLES, (most - 1) * HOP_SAMPLES + config.field_samples
        features = None if lesson.features is None else lesson.features[start : start + most]
        return Lesson(lesson.waveform[first : first + samples], features)
