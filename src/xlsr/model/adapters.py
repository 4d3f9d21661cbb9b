"""Strided convolutions after the encoder, which thin out its frames (`add_adapter`).

(batch, frames, hidden_size), lengths -> (batch, fewer frames, output_hidden_size), lengths. One kind for wav2vec2 and
wav2vec2-conformer, another, with attention of its own, for wav2vec2-bert. Frames beyond each length are zeroed before
every convolution, so that a padded batch gives the frames of single utterances; transformers does not do that, and
equals this network where nothing is padded.

Not to be confused with the attention adapters inside the layers of MMS models (`transformer.AttentionAdapter`).
Names as in transformers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.model.conformer import ConformerAttention
from xlsr.model.dropout import Dropout
from xlsr.model.features import attention_mask, valid_mask
from xlsr.model.transformer import FeedForward


class StridedConv(nn.Conv1d):
    """A gated convolution that makes one frame of `adapter_stride`."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        size = config.output_size
        super().__init__(
            size, 2 * size, config.adapter_kernel_size, config.adapter_stride, padding=config.adapter_padding
        )

    def thin(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, frames, size), (batch,) -> (batch, fewer frames, size)."""
        if lengths is not None:
            x = torch.where(valid_mask(lengths, x.shape[1]).unsqueeze(-1), x, 0.0)
        return F.glu(self(x.transpose(1, 2)), dim=1).transpose(1, 2)

    def num_frames(self, lengths: Tensor | None) -> Tensor | None:
        """(batch,) frames before -> after."""
        if lengths is None:
            return None
        reach = 2 * int(self.padding[0]) - self.kernel_size[0]
        return torch.where(lengths > 0, (lengths + reach) // self.stride[0] + 1, 0)


class AdapterLayer(nn.Module):
    """wav2vec2 and wav2vec2-conformer: the convolution alone."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.conv = StridedConv(config)

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, size), (batch,) -> the same, thinned."""
        return self.conv.thin(x, lengths), self.conv.num_frames(lengths)


class BertAdapterLayer(nn.Module):
    """wav2vec2-bert: a thinned residual beside thinned attention, then feed-forward."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        size, eps = config.output_size, config.layer_norm_eps
        self.residual_layer_norm = nn.LayerNorm(size, eps=eps)
        self.residual_conv = StridedConv(config)
        self.self_attn_layer_norm = nn.LayerNorm(size, eps=eps)
        self.self_attn_conv = StridedConv(config)
        self.self_attn = ConformerAttention(config, size=size, positions=None)
        self.self_attn_dropout = Dropout(config.conformer_conv_dropout)
        self.ffn_layer_norm = nn.LayerNorm(size, eps=eps)
        self.ffn = FeedForward(config, size=size, activation=config.adapter_act)

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, size), (batch,) -> the same, thinned."""
        residual = self.residual_conv.thin(self.residual_layer_norm(x), lengths)
        x = self.self_attn_conv.thin(self.self_attn_layer_norm(x), lengths)
        lengths = self.self_attn_conv.num_frames(lengths)
        mask = None if lengths is None else attention_mask(valid_mask(lengths, x.shape[1]))
        x = residual + self.self_attn_dropout(self.self_attn(x, mask))
        return x + self.ffn(self.ffn_layer_norm(x)), lengths


class Adapter(nn.Module):
    """The stack of layers, after a projection where the width changes."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.proj: nn.Linear | None = None
        self.proj_layer_norm: nn.LayerNorm | None = None
        if config.output_size != config.hidden_size:
            self.proj = nn.Linear(config.hidden_size, config.output_size)
            eps = config.layer_norm_eps if config.is_bert else 1e-5
            self.proj_layer_norm = nn.LayerNorm(config.output_size, eps=eps)
        layer = BertAdapterLayer if config.is_bert else AdapterLayer
        self.layers = nn.ModuleList(layer(config) for _ in range(config.num_adapter_layers))

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, hidden_size), (batch,) -> (batch, fewer frames, output_hidden_size), (batch,).

        No layer is dropped in training: that would change the number of frames.
        """
        if self.proj is not None and self.proj_layer_norm is not None:
            x = self.proj_layer_norm(self.proj(x))
        for layer in self.layers:
            x, lengths = layer(x, lengths)
        return x, lengths
