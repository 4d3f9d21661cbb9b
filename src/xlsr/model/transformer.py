"""The context network: positional convolution and transformer layers, post-norm (base) or pre-norm (large).

(batch, frames, hidden_size) -> the same shape. One layer class; `pre_norm` is one `if` in it. Attention is torch's
scaled-dot-product kernel. Padded frames are zeroed before the positional convolution and hidden from attention.

Source: wav2vec 2.0, arXiv 2006.11477; names as in transformers.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from xlsr.config import Wav2Vec2Config
from xlsr.model.dropout import Dropout, attend
from xlsr.model.features import ACTIVATIONS, attention_mask, valid_mask


class WeightNormConv1d(nn.Module):
    """Same-length grouped convolution whose kernel is g * v / |v|, one norm for each tap (dim 2).

    The parameters are `weight_g` (1, 1, kernel), `weight_v` (channels, channels / groups, kernel) and `bias`; the
    folded kernel is computed from them at every use, so that it is never stale.
    """

    def __init__(self, channels: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        weight = torch.empty(channels, channels // groups, kernel)
        if not weight.is_meta:
            weight.normal_(std=math.sqrt(4 / (kernel * channels)))
        norms = torch.empty(1, 1, kernel) if weight.is_meta else weight.norm(dim=(0, 1), keepdim=True)
        self.weight_g = nn.Parameter(norms)
        self.weight_v = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def weight(self) -> Tensor:
        """The folded kernel, (channels, channels / groups, kernel)."""
        norms: Tensor = self.weight_v.norm(dim=(0, 1), keepdim=True)
        return self.weight_v * (self.weight_g / norms)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> the same shape; an even kernel's surplus frame is cut at the end."""
        frames = x.shape[-1]
        x = F.conv1d(x, self.weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        return x[..., :frames]


class PositionalConvEmbedding(nn.Module):
    """Relative positions from a wide convolution over the frames."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.conv = WeightNormConv1d(
            config.hidden_size, config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
        )
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, hidden_size) -> the same shape, to be added to the input."""
        return self.activation(self.conv(x.transpose(1, 2))).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention over the frames of one utterance."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.dropout = config.attention_dropout
        self.k_proj = nn.Linear(size, size)
        self.v_proj = nn.Linear(size, size)
        self.q_proj = nn.Linear(size, size)
        self.out_proj = nn.Linear(size, size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, frames, hidden_size), (batch, 1, 1, frames) bool, True where keys are valid -> as the input."""
        # (batch, frames, hidden) -> (batch, heads, frames, hidden / heads)
        q, k, v = (
            p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = attend(q, k, v, mask, dropout_p=self.dropout if self.training else 0.0)
        projected: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return projected


class FeedForward(nn.Module):
    """Linear, activation, linear."""

    def __init__(self, config: Wav2Vec2Config, *, size: int | None = None, activation: str | None = None) -> None:
        super().__init__()
        size = size or config.hidden_size
        self.intermediate_dense = nn.Linear(size, config.intermediate_size)
        self.intermediate_dropout = Dropout(config.activation_dropout)
        self.output_dense = nn.Linear(config.intermediate_size, size)
        self.output_dropout = Dropout(config.hidden_dropout)
        self.activation = ACTIVATIONS[activation or config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, size) -> the same shape."""
        x = self.intermediate_dropout(self.activation(self.intermediate_dense(x)))
        out: Tensor = self.output_dropout(self.output_dense(x))
        return out


class AttentionAdapter(nn.Module):
    """A narrow bottleneck after a layer, one set of weights a language.

    Source: MMS, arXiv 2305.13516, section 5.1; names as in transformers.
    """

    def __init__(self, config: Wav2Vec2Config, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        self.linear_1 = nn.Linear(config.hidden_size, width)
        self.linear_2 = nn.Linear(width, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, hidden_size) -> the same shape, to be added to the input."""
        out: Tensor = self.linear_2(F.relu(self.linear_1(self.norm(x))))
        return out


class EncoderLayer(nn.Module):
    """Attention and feed-forward with residuals; the norms stand before them (large) or after the sums (base).

    Only pre-norm layers have an adapter, as in transformers.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.pre_norm = config.do_stable_layer_norm
        self.attention = Attention(config)
        self.dropout = Dropout(config.hidden_dropout)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.adapter_layer: AttentionAdapter | None = None
        if self.pre_norm and config.adapter_attn_dim is not None:
            self.adapter_layer = AttentionAdapter(config, config.adapter_attn_dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, frames, hidden_size), mask as in `Attention` -> the same shape."""
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.layer_norm(x), mask))
            x = x + self.feed_forward(self.final_layer_norm(x))
            if self.adapter_layer is not None:
                x = x + self.adapter_layer(x)
        else:
            x = self.layer_norm(x + self.dropout(self.attention(x, mask)))
            x = self.final_layer_norm(x + self.feed_forward(x))
        return x


def run_layer(layer: nn.Module, x: Tensor, *context: Tensor | None, checkpointing: bool) -> Tensor:
    """Apply a layer; with `checkpointing` its activations are computed again in the backward pass, not kept."""
    out: Tensor = checkpoint(layer, x, *context, use_reentrant=False) if checkpointing else layer(x, *context)
    return out


class TransformerEncoder(nn.Module):
    """Positional convolution, then the layers; `layer_norm` stands before them (base) or after them (large).

    `checkpointing` trades time for memory in training. Which layers LayerDrop leaves out, the caller draws.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.pre_norm = config.do_stable_layer_norm
        self.checkpointing = False
        self.pos_conv_embed = PositionalConvEmbedding(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, *, skip: Collection[int] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Encode frames in context.

        Args:
            x: (batch, frames, hidden_size).
            lengths: (batch,) valid frames; None: all are valid.
            skip: layers that are left out (LayerDrop).

        Returns:
            The output, (batch, frames, hidden_size), and the input of the first layer followed by the raw output
            of each (transformers' `hidden_states`).
        """
        mask = None
        if lengths is not None:
            valid = valid_mask(lengths, x.shape[1])
            x = torch.where(valid.unsqueeze(-1), x, 0.0)
            mask = attention_mask(valid)
        x = x + self.pos_conv_embed(x)
        x = self.dropout(x if self.pre_norm else self.layer_norm(x))
        states = [x]
        for index, layer in enumerate(self.layers):
            if index not in skip:
                x = run_layer(layer, x, mask, checkpointing=self.checkpointing and self.training)
            states.append(x)
        return (self.layer_norm(x) if self.pre_norm else x), tuple(states)
