"""The network of pre-training: find the right quantized frame at masked positions among distractors.

(batch, samples), a mask and distractors -> the contrastive and the diversity loss. Draws neither masks nor
distractors: the caller owns the randomness.

Source: wav2vec 2.0, arXiv 2006.11477, section 3.2, equations 2 to 4; names as in transformers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError
from xlsr.model.dropout import Dropout
from xlsr.model.losses import contrastive_logits, contrastive_loss, positions
from xlsr.model.quantizer import Quantized, Quantizer
from xlsr.model.wav2vec2 import Encoded, Wav2Vec2Model, initialize


@dataclass(frozen=True)
class Pretrained:
    """One batch seen through the pre-training network.

    With a mask, `quantized`, `states` and `targets` are of the masked frames alone, utterance after utterance:
    (masked frames, dim). Without one they are of all frames: (batch, frames, dim).

    Attributes:
        encoded: the encoder's output.
        quantized: the targets before projection, and their perplexities.
        states: (..., proj_codevector_dim), the context, projected.
        targets: (..., proj_codevector_dim), the quantized frames, projected.
        logits: (masked frames, 1 + distractors), the true target first; None without distractors.
        contrastive: the cross-entropy of `logits`, in nats, summed over masked frames; None without distractors.
        diversity: the share of codebook entries not in use, times the masked frames; None without distractors.
        loss: contrastive + diversity_loss_weight * diversity; None without distractors.
    """

    encoded: Encoded
    quantized: Quantized
    states: Tensor
    targets: Tensor
    logits: Tensor | None = None
    contrastive: Tensor | None = None
    diversity: Tensor | None = None
    loss: Tensor | None = None


class Wav2Vec2ForPreTraining(nn.Module):
    """The encoder with a quantizer and two projections in which frames and targets are compared."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        if config.is_bert or config.add_adapter:
            what = "wav2vec2-bert" if config.is_bert else "an encoder with add_adapter"
            raise ConfigError(f"{what} has no contrastive pre-training: its frames have no quantized targets")
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout_features = Dropout(config.feat_quantizer_dropout)
        self.quantizer = Quantizer(config)
        self.project_hid = nn.Linear(config.hidden_size, config.proj_codevector_dim)
        self.project_q = nn.Linear(config.codevector_dim, config.proj_codevector_dim)
        initialize(self, config)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        *,
        time_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
        skip: Collection[int] = (),
        negatives: Tensor | None = None,
        temperature: float = 2.0,
        feature_grad_mult: float = 1.0,
    ) -> Pretrained:
        """Encode, quantize and compare.

        Args:
            waveforms, lengths, time_mask, channel_mask, skip, feature_grad_mult: as for `Wav2Vec2Model.forward`.
            negatives: (masked frames, distractors) int64, positions among the masked frames of the same utterance, as
                `draw_negatives` gives them. None: no losses.
            temperature: of the Gumbel-softmax, in training only.

        Raises:
            ValueError: distractors without a mask.
        """
        encoded = self.wav2vec2(
            waveforms, lengths, time_mask=time_mask, channel_mask=channel_mask, skip=skip,
            feature_grad_mult=feature_grad_mult,
        )  # fmt: skip
        hidden, features = encoded.hidden, encoded.features
        if time_mask is not None:
            masked = time_mask.flatten().nonzero().squeeze(1)
            hidden, features = (x.flatten(0, 1).index_select(0, masked) for x in (hidden, features))
        quantized = self.quantizer(self.dropout_features(features), temperature=temperature)
        states = self.project_hid(hidden)
        targets = self.project_q(quantized.vectors.to(self.project_q.weight.dtype))
        if negatives is None:
            return Pretrained(encoded, quantized, states, targets)
        if time_mask is None:
            raise ValueError("negatives are given without time_mask; the loss is taken at masked frames")
        config, counts = self.config, time_mask.sum(dim=1)
        logits = contrastive_logits(
            states, targets, counts, negatives, _alike(quantized.codes, counts, negatives),
            temperature=config.contrastive_logits_temperature,
        )  # fmt: skip
        contrastive = contrastive_loss(logits)
        entries = config.num_codevectors_per_group * config.num_codevector_groups
        diversity = (entries - quantized.perplexity) / entries * len(states)
        loss = contrastive + config.diversity_loss_weight * diversity
        return Pretrained(encoded, quantized, states, targets, logits, contrastive, diversity, loss)


def _alike(codes: Tensor, counts: Tensor, negatives: Tensor) -> Tensor:
    """(frames, groups), frames an utterance, distractors -> (frames, distractors) bool, those of the target's entries.

    Frames of the same entries have the same target; comparing entries finds them whatever the rounding of targets.
    """
    position, _ = positions(counts, len(codes))
    first = torch.arange(len(codes), device=codes.device) - position
    drawn = codes[negatives + first.unsqueeze(1)]
    return (drawn == codes.unsqueeze(1)).all(dim=-1)
