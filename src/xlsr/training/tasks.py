"""What is learnt: a task turns utterances into batches, batches into losses, and a model into development figures.

The trainer knows no task by name; it asks for batches, steps, an evaluation and a folder. CTC fine-tuning is here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xlsr.audio import SAMPLE_RATE
from xlsr.checkpoint.folder import Description, read_description
from xlsr.checkpoint.hf import build_ctc, read_weights, save_ctc
from xlsr.config import Json, JsonObject, Wav2Vec2Config
from xlsr.data.batching import plan_batches
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.engines.inputs import batch_inputs
from xlsr.errors import TrainingError
from xlsr.metrics import char_errors, word_errors
from xlsr.model.losses import ctc_losses
from xlsr.model.masking import span_mask
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.normalize import normalize_target
from xlsr.tokenizer import Tokenizer
from xlsr.training.recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """Utterances of similar length, padded with zeros.

    Attributes:
        inputs: (batch, samples) float32 normalised waveforms, or (batch, frames, 160) features of a wav2vec2-bert.
        lengths: (batch,) valid samples or feature frames.
        frames: of the encoder, one an utterance.
        seconds: of audio, without padding.
        labels: (sum of label lengths,) class ids, one utterance after the other.
        label_lengths: (batch,).
        names: one an utterance, for messages.
    """

    inputs: Tensor
    lengths: Tensor
    frames: tuple[int, ...]
    seconds: float
    labels: Tensor
    label_lengths: Tensor
    names: tuple[str, ...]

    def to(self, device: str) -> Batch:
        """The same batch on a device."""
        return replace(
            self, inputs=self.inputs.to(device), lengths=self.lengths.to(device), labels=self.labels.to(device)
        )


@dataclass(frozen=True)
class StepOutput:
    """One batch's loss, summed, and the weight that it is to be divided by."""

    loss: Tensor
    weight: int
    metrics: dict[str, float]


class Task(Protocol):
    """What the trainer needs to know."""

    @property
    def model(self) -> nn.Module:
        """The network that learns."""

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of indices for an epoch; the same epoch always gives the same plan."""

    def load(self, indices: Sequence[int]) -> Batch:
        """Read the utterances of a batch."""

    def step(self, batch: Batch, update: int) -> StepOutput:
        """Loss of a batch; its randomness depends on the update alone."""

    def evaluate(self) -> dict[str, float]:
        """Figures on the development set, the one to be lowest first."""

    def save(self, folder: Path, figures: dict[str, Json]) -> None:
        """Write the model with its figures."""

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Trainable parameters with their peak learning rates."""


class CTCTask:
    """Fine-tuning with connectionist temporal classification: text becomes labels, frames become letters."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        train, dev = read_manifest(recipe.data.train), read_manifest(recipe.data.dev)
        self.description, self.network = _start(recipe, train)
        assert self.description.tokenizer is not None
        self.tokenizer = self.description.tokenizer
        self.train, self.dropped = self._usable(train)
        self.dev, _ = self._usable(dev)
        if not self.train or not self.dev:
            raise TrainingError(
                f"no usable utterance is left; dropped: {self.dropped or 'all of the development set'}. Texts "
                f"and vocabulary must agree in case: data.lowercase is {str(recipe.data.lowercase).lower()}, the "
                f"vocabulary has {' '.join(list(self.tokenizer.vocab)[:12])} ..."
            )
        self.decoder = GreedyDecoder(self.tokenizer.blank_id)

    @property
    def model(self) -> nn.Module:
        """The network that learns."""
        return self.network

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of indices for an epoch; the same epoch always gives the same plan."""
        rng = np.random.default_rng([self.recipe.run.seed, epoch])
        return plan_batches([u.duration for u in self.train], max_seconds=self.recipe.data.batch_seconds, rng=rng)

    def load(self, indices: Sequence[int]) -> Batch:
        """Read the utterances of a batch."""
        return self._collate([self.train[index] for index in indices])

    def step(self, batch: Batch, update: int) -> StepOutput:
        """CTC loss of a batch, masked for the given update; the weight is the number of utterances."""
        time_mask, channel_mask = self._masks(batch, update)
        frozen = update < self.recipe.model.freeze_encoder_updates
        with torch.set_grad_enabled(not frozen):
            encoded = self.network.wav2vec2(batch.inputs, batch.lengths, time_mask=time_mask, channel_mask=channel_mask)
        logits = self.network.lm_head(self.network.dropout(encoded.hidden))
        losses = ctc_losses(logits, encoded.lengths, batch.labels, batch.label_lengths, blank=self.tokenizer.blank_id)
        finite = torch.isfinite(losses)
        if not finite.all():
            names = [name for name, ok in zip(batch.names, finite.tolist(), strict=True) if not ok]
            raise TrainingError(f"the loss is not finite for {', '.join(names)} at update {update}")
        return StepOutput(losses.sum(), len(losses), {})

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Word and character error rates of greedy decoding on the development set."""
        self.network.eval()
        plan = plan_batches(
            [u.duration for u in self.dev], max_seconds=self.recipe.data.batch_seconds, rng=np.random.default_rng(0)
        )
        words, chars = word_errors("", ""), char_errors("", "")
        for indices in plan:
            batch = self._collate([self.dev[i] for i in indices]).to(self.recipe.run.device)
            log_probs, frames = self.network.log_probs(batch.inputs, batch.lengths)
            assert frames is not None
            for index, row, count in zip(indices, log_probs.float().cpu().numpy(), frames.tolist(), strict=True):
                text = self.tokenizer.decode(self.decoder.decode(row[:count])[0].ids, group=False)
                reference = self._text(self.dev[index])
                words, chars = words + word_errors(reference, text), chars + char_errors(reference, text)
        self.network.train()
        return {"wer": words.rate, "cer": chars.rate}

    def save(self, folder: Path, figures: dict[str, Json]) -> None:
        """Write the model as a folder, with its figures in xlsr.json."""
        extras = self.description.extras | {"figures": figures}
        save_ctc(replace(self.description, extras=extras), self.network, folder)

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Trainable parameters with their peak learning rates: the encoder's, then the head's."""
        optim, model = self.recipe.optim, self.network
        if self.recipe.model.freeze_feature_encoder:
            model.wav2vec2.feature_extractor.requires_grad_(False)
        head = list(model.lm_head.parameters())
        body = [p for p in model.wav2vec2.parameters() if p.requires_grad]
        return [(body, optim.lr), (head, optim.head_lr if optim.head_lr is not None else optim.lr)]

    def _masks(self, batch: Batch, update: int) -> tuple[Tensor | None, Tensor | None]:
        config = self.network.config
        if not config.apply_spec_augment:
            return None, None
        rng = np.random.default_rng([self.recipe.run.seed, update, batch.inputs.shape[1]])
        rows, width, hidden = len(batch.frames), max(batch.frames), config.hidden_size
        drawn: list[NDArray[np.bool_]] = [
            span_mask(batch.frames, width, prob=config.mask_time_prob, span=config.mask_time_length,
                      min_spans=config.mask_time_min_masks, rng=rng),
            span_mask([hidden] * rows, hidden, prob=config.mask_feature_prob, span=config.mask_feature_length,
                      min_spans=config.mask_feature_min_masks, rng=rng),
        ]  # fmt: skip
        time, channels = (torch.from_numpy(mask).to(batch.inputs.device) for mask in drawn)
        return time, channels

    def _text(self, utterance: Utterance) -> str:
        return normalize_target(utterance.text or "", lowercase=self.recipe.data.lowercase)

    def _labels(self, utterance: Utterance) -> list[int]:
        """The ids of a transcript; the word delimiter stands between words whatever the symbols are.

        Symbols of several characters, such as whole words, would swallow a space beside them as transformers has it.
        """
        delimiter = self.tokenizer.word_delimiter
        text = self._text(utterance)
        return self.tokenizer.encode(text.replace(" ", delimiter) if delimiter is not None else text)

    def _usable(self, utterances: list[Utterance]) -> tuple[list[Utterance], dict[str, int]]:
        """Utterances that can train, and how many were dropped for which reason."""
        data, kept = self.recipe.data, []
        dropped: dict[str, int] = {}
        for utterance in utterances:
            reason = None
            labels = self._labels(utterance) if utterance.text else []
            # A repeated label needs a blank between: one more frame.
            needed = len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
            if not utterance.text:
                reason = "no text"
            elif not data.min_seconds <= utterance.duration <= data.max_seconds:
                reason = f"not between {data.min_seconds} and {data.max_seconds} s"
            elif self.network.config.num_frames(int(utterance.duration * SAMPLE_RATE)) < needed:
                reason = "more labels than frames"
            elif self.tokenizer.unk_id in labels:
                reason = "symbols outside the vocabulary"
            if reason is None:
                kept.append(utterance)
            else:
                dropped[reason] = dropped.get(reason, 0) + 1
        return kept, dropped

    def _collate(self, utterances: Sequence[Utterance]) -> Batch:
        config = self.network.config
        waveforms = [load_utterance(u) for u in utterances]
        batch = batch_inputs(waveforms, config, normalizes=self.description.normalizes)
        labels = [self._labels(u) for u in utterances]
        return Batch(
            torch.from_numpy(batch.values),
            torch.from_numpy(batch.lengths),
            tuple(config.num_encoder_frames(len(w)) for w in waveforms),
            sum(map(len, waveforms)) / SAMPLE_RATE,
            torch.tensor([label for row in labels for label in row], dtype=torch.long),
            torch.tensor([len(row) for row in labels]),
            tuple(u.audio.name for u in utterances),
        )


def _start(recipe: Recipe, train: list[Utterance]) -> tuple[Description, Wav2Vec2ForCTC]:
    """The model to train, from a folder or from random weights drawn with the run's seed."""
    torch.manual_seed(recipe.run.seed)
    if recipe.model.start is not None:
        if recipe.data.vocabulary is not None:
            raise TrainingError("model.start has a vocabulary of its own; leave data.vocabulary out")
        description = read_description(recipe.model.start)
        if description.tokenizer is None:
            raise TrainingError(f"{recipe.model.start} has no vocabulary; a fine-tuned model is wanted")
        config = _regularised(description.config, recipe.model.architecture)
        model = build_ctc(config, read_weights(recipe.model.start), source=str(recipe.model.start))
        return replace(description, config=config), model
    if recipe.data.vocabulary is not None:
        tokenizer = Tokenizer.from_folder(recipe.data.vocabulary)
    else:
        tokenizer = Tokenizer.from_texts(
            normalize_target(u.text, lowercase=recipe.data.lowercase) for u in train if u.text
        )
    settled: dict[str, Json] = {
        "vocab_size": tokenizer.size,
        "pad_token_id": tokenizer.blank_id,
        "architectures": ["Wav2Vec2ForCTC"],
    }
    config = Wav2Vec2Config.from_dict(recipe.model.architecture | settled, name="model.architecture")
    return Description(config, tokenizer), Wav2Vec2ForCTC(config)


# Keys that change training but not the function that the weights compute.
_REGULARISATION = re.compile(r"(mask_.*|.*_dropout|layerdrop|apply_spec_augment)")


def _regularised(config: Wav2Vec2Config, changes: JsonObject) -> Wav2Vec2Config:
    """The architecture of a model to start from, with other dropouts or masks."""
    for key in changes:
        if not _REGULARISATION.fullmatch(key):
            raise TrainingError(f"model.start settles the architecture; model.architecture.{key} cannot change it")
    return Wav2Vec2Config.from_dict(config.to_dict() | changes, name="model.architecture")
