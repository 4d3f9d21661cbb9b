"""The border between the network and everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Turns waveforms into log-probabilities."""

    @property
    def name(self) -> str:
        """What users call it: "openvino on CPU"."""
        ...

    def log_probs(self, waveforms: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Compute log-probabilities.

        Args:
            waveforms: each (samples,) float32 mono at 16 kHz, as read; the engine normalises them.

        Returns:
            For each (frames, vocab) float32, 50 frames a second. The result for a waveform does not depend on the
            others in the call.
        """
        ...
