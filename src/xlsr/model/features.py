"""From the waveform to frames: the convolutional feature encoder and the projection into the transformer.

(batch, samples) at 16 kHz -> (batch, frames, hidden_size) at 50 Hz. Lengths travel along: a padded batch gives the
frames of single utterances. For layer-norm models that is so by construction; for group-norm models (base) the
statistics over time are taken over valid frames only, which no attention mask could repair afterwards.

Source: wav2vec 2.0, arXiv 2006.11477, section 2; shapes and names as in transformers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.model.convolution import convolve_frames
from xlsr.model.dropout import Dropout

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu, "swish": F.silu}


def valid_mask(lengths: Tensor, size: int) -> Tensor:
    """(batch,) lengths -> (batch, size) bool, True at valid positions."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)


def attention_mask(valid: Tensor) -> Tensor:
    """(batch, frames) bool -> (batch, 1, 1, frames) bool, True where keys may be seen.

    A row without any valid frame would be a softmax over nothing, NaN: it sees its padding.
    """
    return (valid | ~valid.any(dim=1, keepdim=True))[:, None, None, :]


class ValidGroupNorm(nn.GroupNorm):
    """Group norm with one channel a group whose statistics are taken over valid frames only."""

    def forward(self, input: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, channels, frames) -> the same shape; `lengths` None: every frame is valid."""
        if lengths is None:
            return super().forward(input)
        # Two passes in fp32: mean first, then the mean of squared differences, as group_norm itself does.
        valid = valid_mask(lengths, input.shape[-1]).unsqueeze(1)
        count = lengths.clamp(min=1).to(torch.float32).view(-1, 1, 1)
        x = input.float()
        mean = torch.where(valid, x, 0.0).sum(-1, keepdim=True) / count
        centred = torch.where(valid, x - mean, 0.0)
        variance = centred.square().sum(-1, keepdim=True) / count
        scaled = centred * torch.rsqrt(variance + self.eps)
        return (scaled * self.weight.view(1, -1, 1) + self.bias.view(1, -1, 1)).to(input.dtype)


class ConvLayer(nn.Module):
    """Convolution without padding, an optional norm, an activation.

    With a layer norm frames are (batch, time, channels) throughout, else (batch, channels, time).
    """

    def __init__(self, config: Wav2Vec2Config, index: int) -> None:
        super().__init__()
        inputs = config.conv_dim[index - 1] if index else 1
        outputs, self.kernel, self.stride = (
            config.conv_dim[index],
            config.conv_kernel[index],
            config.conv_stride[index],
        )
        self.conv = nn.Conv1d(inputs, outputs, self.kernel, self.stride, bias=config.conv_bias)
        self.layer_norm: nn.Module | None = None
        if config.feat_extract_norm == "layer":
            self.layer_norm = nn.LayerNorm(outputs)
        elif index == 0:
            self.layer_norm = ValidGroupNorm(outputs, outputs)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames, lengths -> the same, shorter by the stride."""
        if lengths is not None:
            lengths = torch.clamp((lengths - self.kernel) // self.stride + 1, min=0)
        if isinstance(self.layer_norm, nn.LayerNorm):
            x = self.layer_norm(convolve_frames(x, self.conv.weight, self.conv.bias, self.stride))
            return self.activation(x), lengths
        x = self.conv(x)
        if self.layer_norm is not None:
            x = self.layer_norm(x, lengths)
        return self.activation(x), lengths


class FeatureEncoder(nn.Module):
    """The stack of convolutions: 400 samples a frame, one frame every 320 samples."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.channels_last = config.feat_extract_norm == "layer"
        self.conv_layers = nn.ModuleList(ConvLayer(config, index) for index in range(len(config.conv_dim)))

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(batch, samples), (batch,) samples -> (batch, frames, conv_dim[-1]), (batch,) frames."""
        x = waveforms.unsqueeze(-1 if self.channels_last else 1)
        for layer in self.conv_layers:
            x, lengths = layer(x, lengths)
        return x if self.channels_last else x.transpose(1, 2), lengths


class GivenFeatures(nn.Module):
    """wav2vec2-bert: features were computed from the waveform before (`xlsr.features`) and pass through."""

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, feature_size), (batch,) frames -> the same."""
        return features, lengths


class FeatureProjection(nn.Module):
    """Layer norm, then the linear map into the transformer's width."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.feature_size, eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.feature_size, config.hidden_size)
        self.dropout = Dropout(config.feat_proj_dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, feature_size) -> (batch, frames, hidden_size), and the normed features for the quantizer."""
        normed = self.layer_norm(features)
        return self.dropout(self.projection(normed)), normed
