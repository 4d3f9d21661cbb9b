"""The network of distillation: an encoder, and for each layer of a teacher one linear layer that regresses its frames.

(batch, samples) and the teacher's frames -> how far the student's are from them. Draws no masks and knows no teacher:
its frames may come from a network or from a file. Only the encoder is kept when all is learnt.

Source: DistilHuBERT, arXiv 2110.01900, equation 1 (here 1 - cosine in place of its log-sigmoid).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError
from xlsr.model.features import valid_mask
from xlsr.model.wav2vec2 import Wav2Vec2Model, initialize


@dataclass(frozen=True)
class Distilled:
    """How far a batch is from its teacher, summed over valid frames and averaged over the teacher's layers, fp32.

    Attributes:
        l1: mean distance of the numbers of a frame.
        cosine: 1 - cosine of frames, in [0, 2].
    """

    l1: Tensor
    cosine: Tensor


class RegressionHead(nn.Module):
    """One linear layer from the student's frames to one layer of the teacher.

    `mean` and `deviation` are of each dimension of the teacher; a student learns what is left when they are taken out.
    They are no parameters, but belong to the state of a run.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, hidden_size: int, teacher_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, teacher_size)
        self.register_buffer("mean", torch.zeros(teacher_size))
        self.register_buffer("deviation", torch.ones(teacher_size))

    def forward(self, frames: Tensor, taught: Tensor) -> tuple[Tensor, Tensor]:
        """Compare frames.

        Args:
            frames: (frames, hidden_size) of the student.
            taught: (frames, teacher_size), as the teacher gives them.

        Returns:
            The mean absolute difference, and 1 - cosine, of each frame: (frames,) fp32.
        """
        wanted = (taught.float() - self.mean) / self.deviation
        found = self.linear(frames).float()
        return (found - wanted).abs().mean(dim=-1), 1 - F.cosine_similarity(found, wanted, dim=-1)


class Wav2Vec2ForDistillation(nn.Module):
    """The student's encoder with its heads.

    Args:
        config: of the student.
        teacher_sizes: numbers a frame, one for each of the teacher's layers.
        taps: the student's layers that learn them, counted from 1.

    Raises:
        ConfigError: the student has no such layer, or `add_adapter` thins out its frames.
    """

    def __init__(self, config: Wav2Vec2Config, teacher_sizes: Sequence[int], taps: Sequence[int]) -> None:
        super().__init__()
        if config.add_adapter:
            raise ConfigError("add_adapter thins out the frames of the student; a teacher has 50 of them a second")
        check_layers(taps, config, "student")
        self.config, self.taps = config, tuple(taps)
        self.wav2vec2 = Wav2Vec2Model(config)
        self.heads = nn.ModuleList(RegressionHead(config.hidden_size, size) for size in teacher_sizes)
        initialize(self, config)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor | None = None,
        *,
        taught: Sequence[Tensor],
        frames: Tensor,
        time_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
        skip: Collection[int] = (),
    ) -> Distilled:
        """Encode, and compare with the teacher.

        Args:
            waveforms, lengths, time_mask, channel_mask, skip: as for `Wav2Vec2Model.forward`.
            taught: of each of the teacher's layers (batch, frames, size); what lies beyond `frames` is not looked at.
            frames: (batch,) int64, how many frames of each utterance are compared.
        """
        encoded = self.wav2vec2(waveforms, lengths, time_mask=time_mask, channel_mask=channel_mask, skip=skip)
        width = min(encoded.hidden.shape[1], taught[0].shape[1])
        valid = valid_mask(frames, width).flatten().nonzero().squeeze(1)
        tapped = layer_outputs(encoded.hidden, encoded.states, self.taps)
        # (batch, frames, size) -> (valid frames of the batch, size)
        compared = [
            head(*(x[:, :width].flatten(0, 1).index_select(0, valid) for x in (own, given)))
            for head, own, given in zip(self.heads, tapped, taught, strict=True)
        ]
        l1, cosine = (torch.stack(parts).mean(dim=0).sum() for parts in zip(*compared, strict=True))
        return Distilled(l1, cosine)


def layer_outputs(hidden: Tensor, states: Sequence[Tensor], layers: Sequence[int]) -> list[Tensor]:
    """The frames after some layers, counted from 1, of what an encoder returns; the last is its output, normed."""
    return [hidden if layer == len(states) - 1 else states[layer] for layer in layers]


def check_layers(layers: Sequence[int], config: Wav2Vec2Config, whose: str) -> None:
    """Raise ConfigError where a network has no such layer."""
    for layer in layers:
        if not 1 <= layer <= config.num_hidden_layers:
            raise ConfigError(f"layer {layer} of the {whose} is wanted; it has 1 to {config.num_hidden_layers}")
