"""The whole network: waveforms -> frames in context, with a head for CTC.

(batch, samples) at 16 kHz -> (batch, frames, hidden_size) -> (batch, frames, vocab_size). Parameter names are
Hugging Face's, so the state dict is the exchange format. The network draws no masks by itself and knows no
tokenizer: what is masked, and what the classes mean, its callers decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.model.features import FeatureEncoder, FeatureProjection
from xlsr.model.transformer import TransformerEncoder


@dataclass(frozen=True)
class Encoded:
    """Frames in context.

    Attributes:
        hidden: (batch, frames, hidden_size), the output of the encoder.
        lengths: (batch,) valid frames; None: all are valid.
        features: (batch, frames, conv_dim[-1]), the normed output of the feature encoder.
        states: the input of the first layer and the raw output of each, (batch, frames, hidden_size).
    """

    hidden: Tensor
    lengths: Tensor | None
    features: Tensor
    states: tuple[Tensor, ...]


class Wav2Vec2Model(nn.Module):
    """The encoder: one network, 50 frames a second, from which everything grows."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = FeatureEncoder(config)
        self.feature_projection = FeatureProjection(config)
        self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))
        self.encoder = TransformerEncoder(config)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        *,
        time_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
    ) -> Encoded:
        """Encode waveforms.

        Args:
            waveforms: (batch, samples) float, normalised as the checkpoint wants, zero beyond each length.
            lengths: (batch,) valid samples; None: all are valid.
            time_mask: (batch, frames) bool; these frames are replaced by the mask embedding.
            channel_mask: (batch, hidden_size) bool; these channels are set to zero, after the time mask.
        """
        conv, lengths = self.feature_extractor(waveforms, lengths)
        x, features = self.feature_projection(conv)
        if time_mask is not None:
            x = torch.where(time_mask.unsqueeze(-1), self.masked_spec_embed.to(x.dtype), x)
        if channel_mask is not None:
            x = x.masked_fill(channel_mask.unsqueeze(1), 0.0)
        hidden, states = self.encoder(x, lengths)
        return Encoded(hidden, lengths, features, states)


class Wav2Vec2ForCTC(nn.Module):
    """The encoder with one linear layer over the vocabulary, class `config.pad_token_id` being the CTC blank."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout = nn.Dropout(config.final_dropout)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        initialize(self, config)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        *,
        time_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """As `Wav2Vec2Model.forward`, to logits (batch, frames, vocab_size) and (batch,) valid frames."""
        encoded = self.wav2vec2(waveforms, lengths, time_mask=time_mask, channel_mask=channel_mask)
        return self.lm_head(self.dropout(encoded.hidden)), encoded.lengths

    def log_probs(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """As `forward`, to fp32 log-probabilities."""
        logits, frames = self(waveforms, lengths)
        return F.log_softmax(logits.float(), dim=-1), frames


def initialize(model: nn.Module, config: Wav2Vec2Config) -> None:
    """Draw fresh weights as the papers' code does (fairseq `init_bert_params`, Kaiming for convolutions)."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not name.endswith("feature_projection.projection"):
            nn.init.normal_(module.weight, std=config.initializer_range)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)
