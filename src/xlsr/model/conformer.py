"""The other context network: conformer layers, which put a convolution between attention and a second feed-forward.

(batch, frames, hidden_size) -> the same shape. Serves wav2vec2-conformer and wav2vec2-bert; the flag `is_bert` makes
the depthwise convolution causal, its norm a layer norm, and leaves out the final norm. Positions come into attention
in one of three ways: "relative" (Transformer-XL), "rotary", "relative_key" (a learnt table of distances).

Padded frames are zeroed before every convolution, so that a padded batch gives the frames of single utterances.
transformers does so for wav2vec2-bert only; without padding there is no difference. In training, batch norm takes its
statistics over padding too: prefer batches of similar length, or keep it in evaluation mode.

Source: Conformer, arXiv 2005.08100; Transformer-XL, arXiv 1901.02860, section 3.3; RoFormer, arXiv 2104.09864;
names as in transformers.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.model.dropout import Dropout, attend
from xlsr.model.features import ACTIVATIONS, attention_mask, valid_mask
from xlsr.model.transformer import FeedForward, PositionalConvEmbedding, run_layer


def inverse_frequencies(size: int, base: float) -> Tensor:
    """(size / 2,) angular frequencies of sinusoidal positions, from 1 down to about 1 / base."""
    return 1.0 / (base ** (torch.arange(0, size, 2, dtype=torch.float32) / size))


class RotaryPositions(nn.Module):
    """Angles by which pairs of channels of a head are turned.

    wav2vec2-conformer saves the frequencies with its weights; wav2vec2-bert computes them.
    """

    inv_freq: Tensor | None

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.size = config.hidden_size // config.num_attention_heads
        self.base = config.rotary_embedding_base
        self.register_buffer("inv_freq", None if config.is_bert else inverse_frequencies(self.size, self.base))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, hidden_size) -> (2, frames, 1, head size): cosines and sines."""
        found = self.inv_freq
        frequencies = inverse_frequencies(self.size, self.base).to(x.device) if found is None else found.float()
        angles = torch.arange(x.shape[1], device=x.device).float()[:, None] * frequencies
        angles = torch.cat((angles, angles), dim=-1).unsqueeze(1)
        return torch.stack((angles.cos(), angles.sin())).to(x.dtype)


class RelativePositions(nn.Module):
    """Sinusoids of the distance from key to query, from frames - 1 (far left) down to 1 - frames (far right)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.size = config.hidden_size

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, hidden_size) -> (2 frames - 1, hidden_size)."""
        last = x.shape[1] - 1
        distance = torch.arange(last, -last - 1, -1, device=x.device).float()
        steps = torch.arange(0, self.size, 2, device=x.device).float()
        angles = distance[:, None] * torch.exp(steps * -(math.log(10000.0) / self.size))
        # Even channels are sines, odd ones cosines.
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(x.dtype)


def positions_of(config: Wav2Vec2Config) -> nn.Module | None:
    """What computes the positions once for all layers; None where each layer has its own table, or none."""
    if config.position_embeddings_type == "rotary":
        return RotaryPositions(config)
    return RelativePositions(config) if config.position_embeddings_type == "relative" else None


class ConformerAttention(nn.Module):
    """Multi-head self-attention with positions of the given kind; None: without any."""

    def __init__(self, config: Wav2Vec2Config, *, size: int, positions: str | None) -> None:
        super().__init__()
        self.heads, self.positions = config.num_attention_heads, positions
        self.scale = (size // self.heads) ** -0.5
        self.dropout = config.attention_dropout
        self.linear_q = nn.Linear(size, size)
        self.linear_k = nn.Linear(size, size)
        self.linear_v = nn.Linear(size, size)
        self.linear_out = nn.Linear(size, size)
        if positions == "relative":
            self.linear_pos = nn.Linear(size, size, bias=False)
            self.pos_bias_u = nn.Parameter(torch.zeros(self.heads, size // self.heads))
            self.pos_bias_v = nn.Parameter(torch.zeros(self.heads, size // self.heads))
        if positions == "relative_key":
            self.left, self.right = config.left_max_position_embeddings, config.right_max_position_embeddings
            self.distance_embedding = nn.Embedding(self.left + self.right + 1, size // self.heads)

    def forward(self, x: Tensor, mask: Tensor | None, table: Tensor | None = None) -> Tensor:
        """Attend over the frames of one utterance.

        Args:
            x: (batch, frames, size).
            mask: (batch, 1, 1, frames) bool, True where keys are valid; None: all are.
            table: what `RotaryPositions` or `RelativePositions` gives.
        """
        turned = self._turn(x, table) if self.positions == "rotary" and table is not None else x
        q, k, v = self._split(self.linear_q(turned)), self._split(self.linear_k(turned)), self._split(self.linear_v(x))
        bias = None
        if self.positions == "relative" and table is not None:
            q, bias = q + self.pos_bias_u.unsqueeze(1), self._relative_bias(q + self.pos_bias_v.unsqueeze(1), table)
        elif self.positions == "relative_key":
            bias = self._distance_bias(q)
        if bias is not None:
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        out = attend(q, k, v, mask, dropout_p=self.dropout if self.training else 0.0)
        projected: Tensor = self.linear_out(out.transpose(1, 2).flatten(2))
        return projected

    def _split(self, x: Tensor) -> Tensor:
        """(batch, frames, size) -> (batch, heads, frames, size / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _turn(self, x: Tensor, table: Tensor) -> Tensor:
        """Turn the two halves of each head against each other by the position's angles."""
        heads = x.view(*x.shape[:2], self.heads, -1)
        begin, end = heads.chunk(2, dim=-1)
        turned = heads * table[0] + torch.cat((-end, begin), dim=-1) * table[1]
        return turned.flatten(2)

    def _relative_bias(self, q: Tensor, table: Tensor) -> Tensor:
        """(batch, heads, frames, head size), distances -> (batch, heads, frames, frames), scaled.

        Column c of row i of the product belongs to the distance frames - 1 - c; shifting row i by frames - 1 - i puts
        key j into column j.
        """
        positions = self.linear_pos(table).unflatten(-1, (self.heads, -1)).permute(1, 2, 0)
        scores = torch.matmul(q, positions)
        frames = scores.shape[2]
        # (.., frames, 2 frames - 1) -> one zero before each row -> (.., 2 frames, frames): rows shift by one each
        shifted = F.pad(scores, (1, 0)).reshape(*scores.shape[:2], 2 * frames, frames)
        bias: Tensor = shifted[:, :, 1:].reshape(scores.shape)[..., :frames] * self.scale
        return bias

    def _distance_bias(self, q: Tensor) -> Tensor:
        """(batch, heads, frames, head size) -> (batch, heads, frames, frames): each query with its keys' distances."""
        frame = torch.arange(q.shape[2], device=q.device)
        index = (frame[None, :] - frame[:, None]).clamp(-self.left, self.right) + self.left
        scores = torch.matmul(q, self.distance_embedding.weight.T.to(q.dtype))
        bias: Tensor = scores.gather(-1, index.expand(*q.shape[:2], -1, -1)) * self.scale
        return bias


class ConformerConvolution(nn.Module):
    """Gated pointwise convolution, depthwise convolution, norm, pointwise convolution."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        size, kernel = config.hidden_size, config.conv_depthwise_kernel_size
        self.is_causal = config.is_bert
        self.padding = (kernel - 1, 0) if self.is_causal else (kernel // 2, kernel // 2)
        self.layer_norm = nn.LayerNorm(size, eps=norm_eps(config))
        self.pointwise_conv1 = nn.Conv1d(size, 2 * size, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(size, size, kernel, groups=size, bias=False)
        if self.is_causal:
            self.depthwise_layer_norm = nn.LayerNorm(size, eps=norm_eps(config))
        else:
            self.batch_norm = nn.BatchNorm1d(size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.pointwise_conv2 = nn.Conv1d(size, size, 1, bias=False)
        self.dropout = Dropout(config.conformer_conv_dropout)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """(batch, frames, hidden_size), (batch, frames) bool -> as the input."""
        x = self.layer_norm(x)
        if valid is not None:
            x = x.masked_fill(~valid.unsqueeze(-1), 0.0)
        x = F.glu(self.pointwise_conv1(x.transpose(1, 2)), dim=1)
        x = self.depthwise_conv(F.pad(x, self.padding))
        x = self.depthwise_layer_norm(x.transpose(1, 2)).transpose(1, 2) if self.is_causal else self.batch_norm(x)
        out: Tensor = self.dropout(self.pointwise_conv2(self.activation(x))).transpose(1, 2)
        return out


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, the other half, a norm."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        size, eps = config.hidden_size, norm_eps(config)
        self.ffn1_layer_norm = nn.LayerNorm(size, eps=eps)
        self.ffn1 = FeedForward(config)
        self.self_attn_layer_norm = nn.LayerNorm(size, eps=eps)
        self.self_attn_dropout = Dropout(config.attention_dropout)
        self.self_attn = ConformerAttention(config, size=size, positions=config.position_embeddings_type)
        self.conv_module = ConformerConvolution(config)
        self.ffn2_layer_norm = nn.LayerNorm(size, eps=eps)
        self.ffn2 = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(size, eps=eps)

    def forward(self, x: Tensor, mask: Tensor | None, valid: Tensor | None, table: Tensor | None) -> Tensor:
        """As `ConformerAttention.forward`; valid: (batch, frames) bool, None where all are."""
        x = x + 0.5 * self.ffn1(self.ffn1_layer_norm(x))
        x = x + self.self_attn_dropout(self.self_attn(self.self_attn_layer_norm(x), mask, table))
        x = x + self.conv_module(x, valid)
        x = x + 0.5 * self.ffn2(self.ffn2_layer_norm(x))
        out: Tensor = self.final_layer_norm(x)
        return out


class ConformerEncoder(nn.Module):
    """The layers, after dropout; wav2vec2-conformer ends with one more norm.

    wav2vec2-conformer checkpoints hold a positional convolution that takes no part; it is kept for the round trip.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.checkpointing = False
        self.embed_positions = positions_of(config)
        self.pos_conv_embed = None if config.is_bert else PositionalConvEmbedding(config)
        self.layer_norm = None if config.is_bert else nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, *, skip: Collection[int] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `TransformerEncoder.forward`."""
        mask = valid = None
        if lengths is not None:
            valid = valid_mask(lengths, x.shape[1])
            x = torch.where(valid.unsqueeze(-1), x, 0.0)
            mask = attention_mask(valid)
        x = self.dropout(x)
        table = self.embed_positions(x) if self.embed_positions is not None else None
        states = [x]
        for index, layer in enumerate(self.layers):
            if index not in skip:
                x = run_layer(layer, x, mask, valid, table, checkpointing=self.checkpointing and self.training)
            states.append(x)
        return (x if self.layer_norm is None else self.layer_norm(x)), tuple(states)


def norm_eps(config: Wav2Vec2Config) -> float:
    """Of the norms inside a layer: `layer_norm_eps` counts for wav2vec2-bert only, as in transformers."""
    return config.layer_norm_eps if config.is_bert else 1e-5
