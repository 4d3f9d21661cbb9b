"""The network in torch, on CPU or GPU. Needs the extra `torch`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from xlsr.audio import normalize_waveform
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC


class TorchEngine:
    """Runs a CTC network; waveforms of one call are padded into one batch."""

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
        if not waveforms:
            return []
        sizes = [len(w) for w in waveforms]
        padded = np.zeros((len(sizes), max(sizes)), dtype=np.float32)
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = normalize_waveform(waveform) if self.normalizes else waveform
        # Without padding there is nothing to mask, and torch takes its faster attention kernel.
        lengths = torch.tensor(sizes, device=self.device) if min(sizes) < max(sizes) else None
        out, _ = self.model.log_probs(torch.from_numpy(padded).to(self.device), lengths)
        frames = map(self.model.config.num_frames, sizes)
        return [row[:count] for row, count in zip(out.cpu().numpy(), frames, strict=True)]
