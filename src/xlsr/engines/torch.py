"""The network in torch, on CPU or GPU. Needs the extra `torch`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from xlsr.engines.inputs import batch_inputs
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC


class TorchEngine:
    """Runs a CTC network of any family; waveforms of one call are padded into one batch.

    A network whose convolutions after the encoder thin out its frames (`add_adapter`) has each frame repeated, so
    that there are 50 a second here too. That changes no greedy reading: neighbours that are equal are one.
    """

    def __init__(self, model: Wav2Vec2ForCTC, *, normalizes: bool = True, device: str = "cpu") -> None:
        self.model = model.to(device).eval()
        self.normalizes, self.device = normalizes, device

    @property
    def name(self) -> str:
        """What users call it."""
        return f"torch on {self.device}"

    @torch.inference_mode()
    def log_probs(self, waveforms: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """As `Engine.log_probs`."""
        config = self.model.config
        counts = [config.num_frames(len(waveform)) for waveform in waveforms]
        if not any(counts):
            return [np.zeros((0, self.model.lm_head.out_features), np.float32) for _ in counts]
        inputs = batch_inputs(waveforms, config, normalizes=self.normalizes)
        # Without padding there is nothing to mask, and torch takes its faster attention kernel.
        padded = inputs.lengths.min() < inputs.lengths.max()
        lengths = torch.from_numpy(inputs.lengths).to(self.device) if padded else None
        out, _ = self.model.log_probs(torch.from_numpy(inputs.values).to(self.device), lengths)
        rows = [row[:count] for row, count in zip(out.cpu().numpy(), counts, strict=True)]
        if config.thinning == 1:
            return rows
        full = [config.num_encoder_frames(len(waveform)) for waveform in waveforms]
        return [np.repeat(row, config.thinning, axis=0)[:count] for row, count in zip(rows, full, strict=True)]
