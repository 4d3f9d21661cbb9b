"""Pre-training as wav2vec 2.0 does it: find the right quantized frame behind each mask, among distractors.

A task for the trainer. Reads manifests of several languages and corpora, cuts each batch to its shortest utterance so
that nothing is padded, masks, and computes the contrastive and the diversity loss and the penalty on the
convolutions. Measures the contrastive loss on the development set with masks that never change.

Source: wav2vec 2.0, arXiv 2006.11477, section 3; XLSR-53, arXiv 2006.13979.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xlsr.audio import SAMPLE_RATE, normalize_waveform
from xlsr.checkpoint.hf import save
from xlsr.config import Json
from xlsr.data.loading import load_readable, load_utterance
from xlsr.data.utterance import Utterance
from xlsr.model.losses import feature_penalty, positions
from xlsr.model.masking import draw_negatives, span_mask
from xlsr.model.pretraining import Pretrained
from xlsr.training.distributed import Ranks
from xlsr.training.health import Guard, Limits, revive
from xlsr.training.pretrain_recipe import PretrainRecipe
from xlsr.training.pretrain_start import start_pretraining
from xlsr.training.speech import Speech, language_of
from xlsr.training.tasks import Draw, Evaluation, ParameterGroup, StepOutput, Verdict, decay_groups, fingerprint_of

_STRETCH = 1.25  # of the longest to the shortest of a batch: what is cut off is a fifth at most


@dataclass(frozen=True)
class SpeechBatch:
    """Parts of utterances, all of one length.

    Attributes:
        inputs: (batch, samples) float32 waveforms, normalised.
        seconds: of audio.
        languages: one an utterance.
        names: one an utterance, for messages.
        notes: utterances that belong to the batch and could not be read.
    """

    inputs: Tensor
    seconds: float
    languages: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to(self, device: str) -> SpeechBatch:
        """The same batch on a device."""
        return replace(self, inputs=self.inputs.to(device, non_blocking=True))


class PretrainTask:
    """Learn to listen: the masked frames of an utterance from the frames around them."""

    def __init__(self, recipe: PretrainRecipe) -> None:
        self.recipe = recipe
        self.speech = Speech(recipe.data, recipe.run.seed, stretch=_STRETCH)
        self.train, self.dev = self.speech.train, self.speech.dev
        self.description, self.network, self.fresh = start_pretraining(recipe)
        self.network.wav2vec2.encoder.checkpointing = recipe.model.gradient_checkpointing
        self.guard = self._new_guard()

    @property
    def model(self) -> nn.Module:
        """The network that learns."""
        return self.network

    @cached_property
    def fingerprint(self) -> str:
        """Of the recordings."""
        return fingerprint_of((u.audio.name, u.offset, u.duration) for u in self.train)

    @property
    def layers(self) -> Sequence[nn.Module]:
        """The encoder's layers."""
        return list(self.network.wav2vec2.encoder.layers)

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of indices for an epoch; the same epoch always gives the same plan."""
        return self.speech.plan(epoch)

    def load(self, epoch: int, indices: Sequence[int]) -> SpeechBatch:
        """Read the utterances of a batch, and cut a random part out of each."""
        rng = np.random.default_rng([self.recipe.run.seed, epoch, *indices])
        return self._collate([self.train[index] for index in indices], rng)

    def step(self, network: nn.Module, batch: SpeechBatch, draw: Draw) -> StepOutput:
        """Loss of a batch; the weight is the number of its masked frames."""
        model, config = self.recipe.model, self.network.config
        mask, negatives = self._draw(batch.inputs, draw.own)
        skipped = draw.shared.random(len(self.layers)) < config.layerdrop
        temperature = self.temperature(draw.update)
        seen: Pretrained = network(
            batch.inputs, time_mask=mask, negatives=negatives, skip=tuple(np.flatnonzero(skipped).tolist()),
            temperature=temperature, feature_grad_mult=model.feature_grad_mult,
        )  # fmt: skip
        assert seen.loss is not None
        assert seen.contrastive is not None
        assert seen.logits is not None
        count, penalty = len(negatives), feature_penalty(seen.encoded.conv, None)
        means = {
            "code_perplexity": seen.quantized.code_perplexity, "prob_perplexity": seen.quantized.perplexity,
            "temperature": torch.tensor(temperature), "features_pen": penalty,
            "masked": mask.float().mean(), "input_std": batch.inputs.float().std(dim=1).mean(),
        }  # fmt: skip
        metrics = {
            "loss_bits": seen.contrastive / math.log(2), "accuracy": found(seen.logits).sum(),
            # Of a frame's distractors, those that have its own codebook entries.
            "alike": torch.isinf(seen.logits[:, 1:]).float().mean(dim=1).sum(),
            **{name: value * count for name, value in means.items()},
        }  # fmt: skip
        return StepOutput(seen.loss + model.features_pen * penalty * count, count, metrics, batch.notes)

    def temperature(self, update: int) -> float:
        """Temperature of the quantizer's noise at an update."""
        first, least = self.recipe.model.temperature
        return max(first * self.recipe.model.temperature_decay**update, least)

    @torch.no_grad()
    def evaluate(self, ranks: Ranks) -> Evaluation:
        """Contrastive loss and accuracy on the development set, with masks and distractors that never change."""
        languages = sorted({language_of(u) for u in self.dev})
        plan = self.speech.dev_plan()
        sums: Tensor | None = None
        for number, counts in ranks.turns(len(plan)):
            rng = np.random.default_rng([1, number])
            batch = self._collate([self.dev[index] for index in plan[number]], rng).to(ranks.device)
            mask, negatives = self._draw(batch.inputs, rng)
            seen = self.network(batch.inputs, time_mask=mask, negatives=negatives)
            mine = _sums(seen, mask, [languages.index(name) for name in batch.languages], len(languages))
            mine *= counts
            sums = mine if sums is None else sums + mine
        assert sums is not None
        totals = ranks.add(sums)
        figures = self._figures(totals.sum(dim=0))
        each = {name: self._figures(row) for name, row in zip(languages, totals, strict=True)} if languages[1:] else {}
        return Evaluation(
            figures, details={f"{key}_{name}": v for name, values in each.items() for key, v in values.items()}
        )

    def watch(self, update: int, figures: Mapping[str, float]) -> Verdict | None:
        """Whether the run is failing, by the means of an update."""
        return self.guard.watch(update, figures)

    def repair(self, ranks: Ranks, count: int) -> str:
        """Give the codebook entries that are not in use frames of the first batch."""
        self.guard = self._new_guard()
        batch = self.load(0, self.plan(0)[0]).to(ranks.device)
        self.network.eval()
        with torch.no_grad():
            _, features = self.network.wav2vec2.feature_projection(
                self.network.wav2vec2.feature_extractor(batch.inputs)[0]
            )
        rng = np.random.default_rng([self.recipe.run.seed, 3, count])
        entries = revive(self.network.quantizer, features.flatten(0, 1).float(), rng)
        self.network.train()
        return f"{entries} codebook entries begin anew"

    def save(self, folder: Path, weights: Mapping[str, Tensor], figures: Mapping[str, Json]) -> None:
        """Write the model with its figures."""
        extras = self.description.extras | {"figures": dict(figures)}
        save(replace(self.description, extras=extras), self.network, folder, weights=weights)

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters."""
        optim = self.recipe.optim
        return decay_groups(list(self.network.named_parameters()), optim.lr, optim.weight_decay)

    def _new_guard(self) -> Guard:
        """A guard that wants the loss off chance a fiftieth of the run, at least 100 updates, after the warm-up."""
        optim, config = self.recipe.optim, self.network.config
        patience = int(optim.warmup * optim.updates) + max(100, optim.updates // 50)
        return Guard(Limits(config.num_negatives, config.num_codevector_groups, patience))

    def _draw(self, inputs: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Masked frames and their distractors."""
        model, config = self.recipe.model, self.network.config
        rows, frames = len(inputs), config.num_encoder_frames(inputs.shape[1])
        mask = span_mask(
            [frames] * rows, frames, prob=model.mask_prob, span=model.mask_length, min_spans=model.mask_min_spans,
            rng=rng,
        )  # fmt: skip
        mask[mask.sum(axis=1) == 1] = False  # a frame alone has nothing to be told apart from
        negatives = draw_negatives(mask, config.num_negatives, rng=rng)
        return torch.from_numpy(mask).to(inputs.device), torch.from_numpy(negatives).to(inputs.device)

    def _collate(self, utterances: Sequence[Utterance], rng: np.random.Generator) -> SpeechBatch:
        """Read utterances, normalise them whole, and cut a random part of the shortest one's length out of each."""
        loaded = load_readable(utterances, load_utterance)
        utterances, waveforms = [utterances[place] for place in loaded.places], list(loaded.found)
        if self.description.normalizes:
            waveforms = [normalize_waveform(waveform) for waveform in waveforms]
        size = min(round(self.recipe.data.max_seconds * SAMPLE_RATE), *(len(waveform) for waveform in waveforms))
        inputs = np.stack([_part(waveform, size, rng) for waveform in waveforms])
        return SpeechBatch(
            torch.from_numpy(inputs), inputs.size / SAMPLE_RATE, tuple(map(language_of, utterances)),
            tuple(u.name for u in utterances), loaded.notes,
        )  # fmt: skip

    def _figures(self, sums: Tensor) -> dict[str, float]:
        """One row of `_sums` as means and perplexities, the loss first."""
        weight, bits, right = sums[:3].tolist()
        config = self.network.config
        # (2 * groups * entries,) -> (2, groups, entries): probabilities, and entries taken
        usage = sums[3:].view(2, config.num_codevector_groups, -1) / max(weight, 1.0)
        probs, codes = torch.exp(-torch.xlogy(usage, usage).sum(dim=-1)).sum(dim=-1).tolist()
        return {
            "loss_bits": bits / max(weight, 1.0), "accuracy": right / max(weight, 1.0), "code_perplexity": codes,
            "prob_perplexity": probs,
        }  # fmt: skip


def found(logits: Tensor) -> Tensor:
    """(frames, 1 + distractors), the true one first -> (frames,) bool, where it is the likeliest.

    Where all are equal none is, as in fairseq.
    """
    return (logits.argmax(dim=-1) == 0) & (logits.argmin(dim=-1) != 0)


def _sums(seen: Pretrained, mask: Tensor, languages: Sequence[int], count: int) -> Tensor:
    """(languages, 3 + 2 * groups * entries) fp64: frames, bits, frames found, probabilities and entries summed.

    A frame all of whose distractors have its own entries counts as chance: a codebook that has collapsed has nothing
    to tell apart, and would otherwise have the lowest loss.
    """
    assert seen.logits is not None
    logits = seen.logits.double()
    _, row = positions(mask.sum(dim=1), len(logits))
    chance = math.log2(logits.shape[1])
    lone = torch.isinf(logits[:, 1:]).all(dim=1)
    bits = torch.where(lone, chance, (logits.logsumexp(dim=-1) - logits[:, 0]) / math.log(2))
    scores = seen.quantized.logits
    taken = nn.functional.one_hot(scores.argmax(dim=-1), scores.shape[-1])
    values = torch.cat(
        (torch.ones_like(bits)[:, None], bits[:, None], (found(logits) & ~lone).double()[:, None],
         scores.softmax(dim=-1).double().flatten(1), taken.double().flatten(1)), dim=1,
    )  # fmt: skip
    sums = torch.zeros(count, values.shape[1], dtype=torch.float64, device=values.device)
    return sums.index_add_(0, torch.tensor(languages, device=values.device)[row], values)


def _part(waveform: NDArray[np.float32], size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    start = int(rng.integers(0, len(waveform) - size + 1))
    return waveform[start : start + size]
