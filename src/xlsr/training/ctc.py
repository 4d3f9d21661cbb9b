"""Fine-tuning with connectionist temporal classification: text or phones become labels, frames become symbols.

A task for the trainer. Reads manifests, drops what cannot train and says how much for which reason, masks, computes
the loss, and measures the errors of greedy decoding on the development set: of words and characters, or of phones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xlsr.audio import SAMPLE_RATE
from xlsr.checkpoint.hf import build_ctc, read_weights
from xlsr.config import Json
from xlsr.data.augment import Augmenter, AugmentRecipe
from xlsr.data.batching import plan_batches
from xlsr.data.loading import CachedLoader, load_readable
from xlsr.data.manifest import Utterance, read_manifest
from xlsr.data.vocabulary import Spelling, Survey, spell, target_of
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.engines.inputs import batch_inputs
from xlsr.errors import TrainingError
from xlsr.metrics import Scored, Tokens, char_errors, word_errors
from xlsr.model.lora import restore_lora
from xlsr.model.losses import ctc_losses
from xlsr.training.adapters import adapt, save_adapted
from xlsr.training.distributed import Ranks
from xlsr.training.recipe import FinetuneRecipe
from xlsr.training.start import begin
from xlsr.training.tasks import (
    Draw,
    Evaluation,
    ParameterGroup,
    StepOutput,
    decay_groups,
    fingerprint_of,
    spec_masks,
)

_SAMPLES = 8  # references and hypotheses shown at an evaluation


@dataclass(frozen=True)
class LabelledBatch:
    """Utterances of similar length, padded with zeros.

    Attributes:
        inputs: (batch, samples) float32 normalised waveforms, or (batch, frames, 160) features of a wav2vec2-bert.
        lengths: (batch,) valid samples or feature frames.
        frames: of the encoder, one an utterance.
        seconds: of audio, without padding.
        labels: class ids, one list an utterance.
        names: one an utterance, for messages.
        notes: utterances that belong to the batch and could not be read.
    """

    inputs: Tensor
    lengths: Tensor
    frames: tuple[int, ...]
    seconds: float
    labels: tuple[list[int], ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to(self, device: str) -> LabelledBatch:
        """The same batch on a device."""
        return replace(self, inputs=self.inputs.to(device), lengths=self.lengths.to(device))


class CTCTask:
    """Learn to spell: the labels of an utterance from its frames."""

    def __init__(self, recipe: FinetuneRecipe) -> None:
        self.recipe = recipe
        train, dev = read_manifest(recipe.data.train), read_manifest(recipe.data.dev)
        self.start = begin(recipe, train)
        self.adapted = adapt(recipe, self.start.description, self.start.network)
        self.description, self.network = self.adapted.description, self.adapted.network
        assert self.description.tokenizer is not None
        self.tokenizer = self.description.tokenizer
        self.survey, self.survey_dev = Survey(self.tokenizer), Survey(self.tokenizer)
        self.train, self.dropped = self._usable(train, self.survey, recipe.augment)
        self.dev, self.dropped_dev = self._usable(dev, self.survey_dev, AugmentRecipe())
        if not self.train or not self.dev:
            survey, dropped = (self.survey_dev, self.dropped_dev) if self.train else (self.survey, self.dropped)
            raise TrainingError(f"no usable utterance is left; dropped: {dropped}\n{survey.report()}")
        # Processes that read live for an epoch: what they kept would be lost.
        self.read = CachedLoader(0 if recipe.run.workers else recipe.data.cache_mib << 20)
        self.augment = Augmenter(recipe.augment)
        self.decoder = GreedyDecoder(self.tokenizer.blank_id)
        self.network.wav2vec2.encoder.checkpointing = recipe.model.gradient_checkpointing
        if recipe.model.freeze_feature_encoder:
            self.network.wav2vec2.feature_extractor.requires_grad_(False)

    @property
    def model(self) -> nn.Module:
        """The network that learns."""
        return self.network

    @cached_property
    def fingerprint(self) -> str:
        """Of the symbols, and of what each utterance is to be spelt as."""
        spoken = ((u.audio.name, u.offset, u.duration, self._target(u)) for u in self.train)
        return fingerprint_of(itertools.chain(self.tokenizer.vocab.items(), spoken))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was kept, left aside, drawn afresh and added, in sentences."""
        return (*self.start.notes, *self.adapted.notes)

    @property
    def tokens(self) -> Tokens:
        """What errors are counted in."""
        return "phones" if self.tokenizer.is_phones else "words"

    @property
    def layers(self) -> Sequence[nn.Module]:
        """The encoder's layers."""
        return list(self.network.wav2vec2.encoder.layers)

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of indices for an epoch; the same epoch always gives the same plan."""
        rng = np.random.default_rng([self.recipe.run.seed, epoch])
        durations = [self.recipe.augment.longest_seconds(u.duration) for u in self.train]
        return plan_batches(durations, max_seconds=self.recipe.data.batch_seconds, rng=rng)

    def load(self, epoch: int, indices: Sequence[int]) -> LabelledBatch:
        """Read the utterances of a batch, and vary them; those that cannot be read are left out by name."""
        loaded = load_readable([self.train[index] for index in indices], self.read)
        kept = [indices[place] for place in loaded.places]
        waveforms = [
            self.augment(waveform, np.random.default_rng([self.recipe.run.seed, 3, epoch, index]))
            for index, waveform in zip(kept, loaded.found, strict=True)
        ]
        return replace(self._collate([self.train[index] for index in kept], waveforms), notes=loaded.notes)

    def step(self, network: nn.Module, batch: LabelledBatch, draw: Draw) -> StepOutput:
        """CTC loss of a batch; the weight is the number of its utterances whose labels fit into their frames."""
        time_mask, channel_mask = spec_masks(self.network.config, batch.frames, draw.own, batch.inputs.device)
        skipped = draw.shared.random(len(self.layers)) < self.network.config.layerdrop
        logits, frames = network(
            batch.inputs, batch.lengths, time_mask=time_mask, channel_mask=channel_mask,
            skip=tuple(np.flatnonzero(skipped).tolist()),
            head_only=draw.update < self.recipe.model.freeze_encoder_updates,
        )  # fmt: skip
        counts = frames.tolist()
        fits = [frames_needed(row) <= count for row, count in zip(batch.labels, counts, strict=True)]
        kept = torch.tensor(fits, device=logits.device)
        labels = [row for row, fit in zip(batch.labels, fits, strict=True) if fit]
        # A batch without a usable utterance still takes part in the exchange of gradients.
        loss = logits.sum() * 0
        if labels:
            flat, sizes = torch.tensor(list(itertools.chain(*labels))), torch.tensor([len(row) for row in labels])
            loss = ctc_losses(logits[kept], frames[kept], flat, sizes, blank=self.tokenizer.blank_id).sum()
        notes = [
            f"{name} is left out: its labels need {frames_needed(row)} frames, it has {count}"
            for name, row, count, fit in zip(batch.names, batch.labels, counts, fits, strict=True)
            if not fit
        ]
        return StepOutput(loss, len(labels), {}, (*batch.notes, *notes))

    def evaluate(self, ranks: Ranks) -> Evaluation:
        """Word and character error rates of greedy decoding on the development set; of phones their error rate."""
        scored = self.transcribe(ranks)
        words, chars = word_errors("", ""), char_errors("", "")
        for one in scored:
            words += word_errors(one.reference, one.hypothesis)
            chars += char_errors(one.reference, one.hypothesis)
        shown = np.random.default_rng(self.recipe.run.seed).permutation(len(scored))[:_SAMPLES]
        samples = tuple((scored[i].reference, scored[i].hypothesis) for i in shown.tolist())
        # Phones are separated by spaces, as words are.
        figures = {"per": words.rate} if self.tokenizer.is_phones else {"wer": words.rate, "cer": chars.rate}
        return Evaluation(figures, samples)

    @torch.no_grad()
    def transcribe(self, ranks: Ranks) -> list[Scored]:
        """Decode the development set greedily, all ranks together; its utterances in their order."""
        plan = plan_batches(
            [u.duration for u in self.dev], max_seconds=self.recipe.data.batch_seconds, rng=np.random.default_rng(0)
        )
        heard: dict[int, str] = {}
        for number, _ in ranks.turns(len(plan)):  # a batch that is heard twice gives the same text
            indices = plan[number]
            utterances = [self.dev[i] for i in indices]
            batch = self._collate(utterances, [self.read(u) for u in utterances]).to(ranks.device)
            log_probs, frames = self.network.log_probs(batch.inputs, batch.lengths)
            assert frames is not None
            for index, row, count in zip(indices, log_probs.float().cpu().numpy(), frames.tolist(), strict=True):
                best = self.decoder.decode(row[:count])[0]
                heard[index] = self.tokenizer.decode(best.ids, group=False)
        heard = {index: text for part in ranks.gather(heard) for index, text in part.items()}
        said = [self.tokenizer.decode(self._labels(utterance), group=False) for utterance in self.dev]
        return [
            Scored(u.name, said[index], heard[index], u.duration, u.speaker, u.language, u.split)
            for index, u in enumerate(self.dev)
        ]

    def drop_notes(self) -> list[str]:
        """What was left out of the manifests, and why."""
        return [
            f"{count} {split} utterances dropped: {reason}"
            for split, dropped in (("training", self.dropped), ("development", self.dropped_dev))
            for reason, count in dropped.items()
        ]

    def read_weights(self, folder: Path) -> Mapping[str, Tensor]:
        """The weights of a folder that `save` wrote, by the names of the network."""
        merged = build_ctc(self.network.config, read_weights(folder), source=str(folder)).state_dict()
        return restore_lora(self.network, merged)

    def save(self, folder: Path, weights: Mapping[str, Tensor], figures: Mapping[str, Json]) -> None:
        """Write the model with its figures."""
        extras = self.description.extras | {"figures": dict(figures)}
        save_adapted(self.recipe, replace(self.description, extras=extras), self.network, folder, weights)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Trainable parameters; the head may learn at another pace."""
        optim = self.recipe.optim
        named = list(self.network.named_parameters())
        head = [(name, p) for name, p in named if name.startswith("lm_head.")]
        body = [(name, p) for name, p in named if not name.startswith("lm_head.")]
        return [
            *decay_groups(body, optim.lr, optim.weight_decay),
            *decay_groups(head, optim.head_lr or optim.lr, optim.weight_decay),
        ]

    def _target(self, utterance: Utterance) -> str:
        data = self.recipe.data
        return target_of(utterance, data.targets, self.start.case, drop_punctuation=data.drop_punctuation)

    def _labels(self, utterance: Utterance) -> list[int]:
        return spell(self.tokenizer, self._target(utterance)).ids

    def _usable(
        self, utterances: list[Utterance], survey: Survey, augment: AugmentRecipe
    ) -> tuple[list[Utterance], dict[str, int]]:
        """Utterances that can train, and how many were dropped for which reason."""
        data, kept = self.recipe.data, []
        dropped: dict[str, int] = {}
        for utterance in utterances:
            reason = None
            target = self._target(utterance)
            spelling = survey.add(target) if target else Spelling([])
            if not target:
                reason = f"no {data.targets}"
            elif not data.min_seconds <= utterance.duration <= data.max_seconds:
                reason = f"not between {data.min_seconds} and {data.max_seconds} s"
            elif spelling.outside:
                reason = "symbols outside the vocabulary"
            elif spelling.changed:
                reason = "labels that do not spell the text"
            elif self._shortest(utterance, augment) < frames_needed(spelling.ids):
                reason = "more labels than frames"
            if reason is None:
                kept.append(utterance)
            else:
                dropped[reason] = dropped.get(reason, 0) + 1
        return kept, dropped

    def _shortest(self, utterance: Utterance, augment: AugmentRecipe) -> int:
        """Frames of an utterance at the highest speed that it may get."""
        return self.network.config.num_frames(int(augment.shortest_seconds(utterance.duration) * SAMPLE_RATE))

    def _collate(self, utterances: Sequence[Utterance], waveforms: Sequence[NDArray[np.float32]]) -> LabelledBatch:
        config = self.network.config
        batch = batch_inputs(waveforms, config, normalizes=self.description.normalizes)
        return LabelledBatch(
            torch.from_numpy(batch.values),
            torch.from_numpy(batch.lengths),
            tuple(config.num_encoder_frames(len(w)) for w in waveforms),
            sum(map(len, waveforms)) / SAMPLE_RATE,
            tuple(self._labels(u) for u in utterances),
            tuple(u.name for u in utterances),
        )


def frames_needed(labels: Sequence[int]) -> int:
    """Frames that CTC needs for labels: one each, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
