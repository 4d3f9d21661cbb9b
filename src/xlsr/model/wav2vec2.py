"""The whole network: waveforms -> frames in context, with heads for CTC and for classes of utterances.

(batch, samples) at 16 kHz -> (batch, frames, hidden_size) -> (batch, frames, vocab_size). One class serves the three
families: `config.model_type` chooses transformer or conformer layers, and whether the input is waveforms or log-mel
features. Parameter names are Hugging Face's, so the state dict is the exchange format; in every family the encoder of
a network with a head is called `wav2vec2`. The network draws no masks by itself and knows no tokenizer: what is
masked or left out, and what the classes mean, its callers decide.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError
from xlsr.model.adapters import Adapter
from xlsr.model.conformer import ConformerAttention, ConformerEncoder
from xlsr.model.dropout import Dropout
from xlsr.model.features import FeatureEncoder, FeatureProjection, GivenFeatures, valid_mask
from xlsr.model.quantizer import Quantizer
from xlsr.model.transformer import FeedForward, TransformerEncoder


@dataclass(frozen=True)
class Encoded:
    """Frames in context.

    Attributes:
        hidden: (batch, frames, hidden_size), the output of the encoder; with `add_adapter` fewer frames of
            output_hidden_size.
        lengths: (batch,) valid frames of `hidden`; None: all are valid.
        features: (batch, frames, feature_size), the normed input of the feature projection.
        states: the input of the first layer and the raw output of each, (batch, frames, hidden_size).
        conv: (batch, frames, feature_size), the output of the feature encoder, before any norm.
        conv_lengths: (batch,) valid frames of `conv`; None: all are valid.
    """

    hidden: Tensor
    lengths: Tensor | None
    features: Tensor
    states: tuple[Tensor, ...]
    conv: Tensor
    conv_lengths: Tensor | None


class Wav2Vec2Model(nn.Module):
    """The encoder: one network, 50 frames a second, from which everything grows."""

    masked_spec_embed: Tensor

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = GivenFeatures() if config.is_bert else FeatureEncoder(config)
        self.feature_projection = FeatureProjection(config)
        self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))
        self.encoder = ConformerEncoder(config) if config.is_conformer else TransformerEncoder(config)
        self.intermediate_ffn: FeedForward | None = None
        if config.use_intermediate_ffn_before_adapter:
            self.intermediate_ffn = FeedForward(config, activation="relu")
        self.adapter = Adapter(config) if config.add_adapter else None

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        *,
        time_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
        skip: Collection[int] = (),
        feature_grad_mult: float = 1.0,
    ) -> Encoded:
        """Encode waveforms.

        Args:
            waveforms: (batch, samples) float, normalised as the checkpoint wants, zero beyond each length;
                wav2vec2-bert: (batch, frames, feature_size) log-mel features as `xlsr.features` makes them.
            lengths: (batch,) valid samples, or frames of features; None: all are valid.
            time_mask: (batch, frames) bool; these frames are replaced by the mask embedding.
            channel_mask: (batch, hidden_size) bool; these channels are set to zero, after the time mask.
            skip: layers that are left out (LayerDrop).
            feature_grad_mult: scales the gradient that enters the feature encoder.
        """
        conv, lengths = self.feature_extractor(waveforms, lengths)
        conv_lengths = lengths
        if feature_grad_mult != 1 and conv.requires_grad:
            conv.register_hook(lambda gradient: gradient * feature_grad_mult)
        x, features = self.feature_projection(conv)
        if time_mask is not None:
            x = torch.where(time_mask.unsqueeze(-1), self.masked_spec_embed.to(x.dtype), x)
        if channel_mask is not None:
            x = x.masked_fill(channel_mask.unsqueeze(1), 0.0)
        hidden, states = self.encoder(x, lengths, skip=skip)
        if self.intermediate_ffn is not None:
            hidden = hidden + 0.5 * self.intermediate_ffn(hidden)
        if self.adapter is not None:
            hidden, lengths = self.adapter(hidden, lengths)
        return Encoded(hidden, lengths, features, states, conv, conv_lengths)


class Wav2Vec2ForCTC(nn.Module):
    """The encoder with one linear layer over the vocabulary, class `config.pad_token_id` being the CTC blank."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise ConfigError("vocab_size is null: a CTC head needs the size of its vocabulary")
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout = Dropout(config.final_dropout)
        self.lm_head = nn.Linear(config.output_size, config.vocab_size)
        initialize(self, config)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        *,
        time_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
        skip: Collection[int] = (),
        head_only: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `Wav2Vec2Model.forward`, to logits (batch, frames, vocab_size) and (batch,) valid frames.

        With `head_only` no gradient flows into the encoder.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not head_only):
            encoded = self.wav2vec2(waveforms, lengths, time_mask=time_mask, channel_mask=channel_mask, skip=skip)
        return self.lm_head(self.dropout(encoded.hidden)), encoded.lengths

    def log_probs(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """As `forward`, to fp32 log-probabilities."""
        logits, frames = self(waveforms, lengths)
        return F.log_softmax(logits.float(), dim=-1), frames


class Wav2Vec2ForSequenceClassification(nn.Module):
    """The encoder with one class an utterance, such as its language; the classes are `config.labels`.

    Frames of the last layer, or a learnt mixture of all layers (`use_weighted_layer_sum`), are projected, averaged
    over the valid ones and classified.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        if config.add_adapter:
            raise ConfigError("sequence classification has no place for add_adapter, in transformers neither")
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.layer_weights: nn.Parameter | None = None
        if config.use_weighted_layer_sum:
            layers = config.num_hidden_layers + 1
            self.layer_weights = nn.Parameter(torch.full((layers,), 1 / layers))
        self.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, len(config.labels))
        initialize(self, config)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As `Wav2Vec2Model.forward`, to logits (batch, classes)."""
        encoded = self.wav2vec2(waveforms, lengths)
        hidden = encoded.hidden
        if self.layer_weights is not None:
            # (layers, batch, frames, hidden) weighted over the layers
            hidden = torch.einsum("l,lbth->bth", self.layer_weights.softmax(dim=-1), torch.stack(encoded.states))
        projected = self.projector(hidden)
        if encoded.lengths is None:
            pooled = projected.mean(dim=1)
        else:
            valid = valid_mask(encoded.lengths, projected.shape[1]).unsqueeze(-1)
            pooled = torch.where(valid, projected, 0.0).sum(dim=1) / encoded.lengths.clamp(min=1).unsqueeze(-1)
        logits: Tensor = self.classifier(pooled)
        return logits


# Linear layers that keep torch's own draw: uniform within 1 / sqrt(inputs).
_PLAIN = ("feature_projection.projection", "project_hid", "project_q")


def initialize(model: nn.Module, config: Wav2Vec2Config) -> None:
    """Draw fresh weights as the papers' code does (fairseq `init_bert_params`, Kaiming for convolutions)."""
    if next(model.parameters()).is_meta:
        return  # weights come from a file; torch would load a second of code to draw nothing
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not name.endswith(_PLAIN):
            nn.init.normal_(module.weight, std=1.0 if name.endswith("weight_proj") else config.initializer_range)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=config.initializer_range)
        elif isinstance(module, ConformerAttention) and module.positions == "relative":
            nn.init.xavier_uniform_(module.pos_bias_u)
            nn.init.xavier_uniform_(module.pos_bias_v)
        elif isinstance(module, Quantizer):
            nn.init.uniform_(module.codevectors)
