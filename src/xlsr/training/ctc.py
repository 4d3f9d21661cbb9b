"""Fine-tuning with connectionist temporal classification: text or phones become labels, frames become symbols.

A task for the trainer. Reads manifests, drops what cannot train and says how much for which reason, masks, computes
the loss, and measures word and character errors of greedy decoding on the development set.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xlsr.audio import SAMPLE_RATE
from xlsr.checkpoint.folder import Description, read_description
from xlsr.checkpoint.hf import build_ctc, read_weights
from xlsr.config import Json, JsonObject, Wav2Vec2Config
from xlsr.data.batching import plan_batches
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.engines.inputs import batch_inputs
from xlsr.errors import TrainingError
from xlsr.metrics import Scored, Tokens, char_errors, word_errors
from xlsr.model.lora import restore_lora
from xlsr.model.losses import ctc_losses
from xlsr.model.masking import span_mask
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.normalize import normalize_target
from xlsr.tokenizer import Tokenizer
from xlsr.training.adapters import adapt, save_adapted
from xlsr.training.distributed import Ranks
from xlsr.training.recipe import FinetuneRecipe
from xlsr.training.tasks import Draw, Evaluation, ParameterGroup, StepOutput, decay_groups

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
    """

    inputs: Tensor
    lengths: Tensor
    frames: tuple[int, ...]
    seconds: float
    labels: tuple[list[int], ...]
    names: tuple[str, ...]

    def to(self, device: str) -> LabelledBatch:
        """The same batch on a device."""
        return replace(self, inputs=self.inputs.to(device), lengths=self.lengths.to(device))


class CTCTask:
    """Learn to spell: the labels of an utterance from its frames."""

    def __init__(self, recipe: FinetuneRecipe) -> None:
        self.recipe = recipe
        train, dev = read_manifest(recipe.data.train), read_manifest(recipe.data.dev)
        self.adapted = adapt(recipe, *_start(recipe, train))
        self.description, self.network = self.adapted.description, self.adapted.network
        assert self.description.tokenizer is not None
        self.tokenizer = self.description.tokenizer
        self.train, self.dropped = self._usable(train)
        self.dev, self.dropped_dev = self._usable(dev)
        if not self.train or not self.dev:
            raise TrainingError(
                f"no usable utterance is left; dropped: {self.dropped or self.dropped_dev}. Texts and vocabulary must "
                f"agree in case: data.lowercase is {str(recipe.data.lowercase).lower()}, the vocabulary has "
                f"{' '.join(list(self.tokenizer.vocab)[:12])} ..."
            )
        self.decoder = GreedyDecoder(self.tokenizer.blank_id)
        self.network.wav2vec2.encoder.checkpointing = recipe.model.gradient_checkpointing
        if recipe.model.freeze_feature_encoder:
            self.network.wav2vec2.feature_extractor.requires_grad_(False)

    @property
    def model(self) -> nn.Module:
        """The network that learns."""
        return self.network

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
        return plan_batches([u.duration for u in self.train], max_seconds=self.recipe.data.batch_seconds, rng=rng)

    def load(self, epoch: int, indices: Sequence[int]) -> LabelledBatch:
        """Read the utterances of a batch."""
        return self._collate([self.train[index] for index in indices])

    def step(self, network: nn.Module, batch: LabelledBatch, draw: Draw) -> StepOutput:
        """CTC loss of a batch; the weight is the number of its utterances whose labels fit into their frames."""
        time_mask, channel_mask = self._masks(batch, draw.own)
        skipped = draw.shared.random(len(self.layers)) < self.network.config.layerdrop
        logits, frames = network(
            batch.inputs, batch.lengths, time_mask=time_mask, channel_mask=channel_mask,
            skip=tuple(np.flatnonzero(skipped).tolist()),
            head_only=draw.update < self.recipe.model.freeze_encoder_updates,
        )  # fmt: skip
        fits = [frames_needed(row) <= count for row, count in zip(batch.labels, batch.frames, strict=True)]
        kept = torch.tensor(fits, device=logits.device)
        labels = [row for row, fit in zip(batch.labels, fits, strict=True) if fit]
        losses = ctc_losses(
            logits[kept], frames[kept], torch.tensor(list(itertools.chain(*labels))),
            torch.tensor([len(row) for row in labels], dtype=torch.long), blank=self.tokenizer.blank_id,
        )  # fmt: skip
        notes = [
            f"{name} is left out: its labels need {frames_needed(row)} frames, it has {count}"
            for name, row, count, fit in zip(batch.names, batch.labels, batch.frames, fits, strict=True)
            if not fit
        ]
        # A batch without a usable utterance still takes part in the exchange of gradients.
        loss = losses.sum() if labels else logits.sum() * 0
        return StepOutput(loss, len(labels), {}, tuple(notes))

    def evaluate(self, ranks: Ranks) -> Evaluation:
        """Error rates of greedy decoding on the development set."""
        scored = self.transcribe(ranks)
        words, chars = word_errors("", ""), char_errors("", "")
        for one in scored:
            words += word_errors(one.reference, one.hypothesis)
            chars += char_errors(one.reference, one.hypothesis)
        shown = np.random.default_rng(self.recipe.run.seed).permutation(len(scored))[:_SAMPLES]
        samples = tuple((scored[i].reference, scored[i].hypothesis) for i in shown.tolist())
        return Evaluation({"wer": words.rate, "cer": chars.rate}, samples)

    @torch.no_grad()
    def transcribe(self, ranks: Ranks) -> list[Scored]:
        """Decode the development set greedily, all ranks together; its utterances in their order."""
        plan = plan_batches(
            [u.duration for u in self.dev], max_seconds=self.recipe.data.batch_seconds, rng=np.random.default_rng(0)
        )
        heard: dict[int, str] = {}
        for step in range(-(-len(plan) // ranks.world)):
            # Ranks without a batch repeat one, as all have to call a network that is spread over them.
            indices = plan[(step * ranks.world + ranks.rank) % len(plan)]
            batch = self._collate([self.dev[i] for i in indices]).to(ranks.device)
            log_probs, frames = self.network.log_probs(batch.inputs, batch.lengths)
            assert frames is not None
            for index, row, count in zip(indices, log_probs.float().cpu().numpy(), frames.tolist(), strict=True):
                best = self.decoder.decode(row[:count])[0]
                heard[index] = self.tokenizer.decode(best.ids, group=False)
        heard = {index: text for part in ranks.gather(heard) for index, text in part.items()}
        return [
            Scored(u.audio.name, self._target(u), heard[index], u.duration, u.speaker, u.language, u.split)
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

    def _masks(self, batch: LabelledBatch, rng: np.random.Generator) -> tuple[Tensor | None, Tensor | None]:
        config = self.network.config
        if not config.apply_spec_augment:
            return None, None
        rows, width, hidden = len(batch.frames), max(batch.frames), config.hidden_size
        drawn: list[NDArray[np.bool_]] = [
            span_mask(batch.frames, width, prob=config.mask_time_prob, span=config.mask_time_length,
                      min_spans=config.mask_time_min_masks, rng=rng),
            span_mask([hidden] * rows, hidden, prob=config.mask_feature_prob, span=config.mask_feature_length,
                      min_spans=config.mask_feature_min_masks, rng=rng),
        ]  # fmt: skip
        time, channels = (torch.from_numpy(mask).to(batch.inputs.device) for mask in drawn)
        return time, channels

    def _target(self, utterance: Utterance) -> str:
        return normalize_target(utterance.text or "", lowercase=self.recipe.data.lowercase)

    def _labels(self, utterance: Utterance) -> list[int]:
        """The ids of a transcript; the word delimiter stands between words whatever the symbols are.

        Symbols of several characters, such as whole words, would swallow a space beside them as transformers has it.
        """
        delimiter = self.tokenizer.word_delimiter
        text = self._target(utterance)
        return self.tokenizer.encode(text.replace(" ", delimiter) if delimiter is not None else text)

    def _usable(self, utterances: list[Utterance]) -> tuple[list[Utterance], dict[str, int]]:
        """Utterances that can train, and how many were dropped for which reason."""
        data, kept = self.recipe.data, []
        dropped: dict[str, int] = {}
        for utterance in utterances:
            reason = None
            labels = self._labels(utterance) if utterance.text else []
            if not utterance.text:
                reason = "no text"
            elif not data.min_seconds <= utterance.duration <= data.max_seconds:
                reason = f"not between {data.min_seconds} and {data.max_seconds} s"
            elif self.network.config.num_frames(int(utterance.duration * SAMPLE_RATE)) < frames_needed(labels):
                reason = "more labels than frames"
            elif self.tokenizer.unk_id in labels:
                reason = "symbols outside the vocabulary"
            if reason is None:
                kept.append(utterance)
            else:
                dropped[reason] = dropped.get(reason, 0) + 1
        return kept, dropped

    def _collate(self, utterances: Sequence[Utterance]) -> LabelledBatch:
        config = self.network.config
        waveforms = [load_utterance(u) for u in utterances]
        batch = batch_inputs(waveforms, config, normalizes=self.description.normalizes)
        return LabelledBatch(
            torch.from_numpy(batch.values),
            torch.from_numpy(batch.lengths),
            tuple(config.num_encoder_frames(len(w)) for w in waveforms),
            sum(map(len, waveforms)) / SAMPLE_RATE,
            tuple(self._labels(u) for u in utterances),
            tuple(u.audio.name for u in utterances),
        )


def frames_needed(labels: Sequence[int]) -> int:
    """Frames that CTC needs for labels: one each, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


def _start(recipe: FinetuneRecipe, train: list[Utterance]) -> tuple[Description, Wav2Vec2ForCTC]:
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
    settled = config.to_dict()
    for key, value in changes.items():
        if not _REGULARISATION.fullmatch(key) and settled.get(key) != value:
            raise TrainingError(f"model.start settles the architecture; model.architecture.{key} cannot change it")
    return Wav2Vec2Config.from_dict(settled | changes, name="model.architecture")
