"""Waveforms as read -> one padded batch of what a network takes. NumPy only.

The one place that knows which family takes normalised waveforms and which takes log-mel features; engines and
training both come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import normalize_waveform
from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError
from xlsr.features import FEATURE_SIZE, log_mel_features


@dataclass(frozen=True)
class Inputs:
    """A batch for the network's `forward`.

    Attributes:
        values: (batch, samples) waveforms, or (batch, frames, 160) features, float32, zero beyond each length.
        lengths: (batch,) int64, valid samples or frames.
    """

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]


def batch_inputs(waveforms: Sequence[NDArray[np.float32]], config: Wav2Vec2Config, *, normalizes: bool) -> Inputs:
    """Prepare waveforms for a network and pad them into one batch.

    Args:
        waveforms: each (samples,) float32 mono at 16 kHz, as read; at least one.
        config: of the network.
        normalizes: bring waveforms to zero mean and unit variance; features are always normalised.

    Raises:
        ConfigError: the network takes features of another size than ours.
    """
    if config.is_bert and config.feature_size != FEATURE_SIZE:
        raise ConfigError(
            f"feature_projection_input_dim is {config.feature_size}; features of {FEATURE_SIZE} (80 mel bands, stacked "
            "in pairs) are supported"
        )
    if config.is_bert:
        rows: list[NDArray[np.float32]] = [log_mel_features(waveform) for waveform in waveforms]
    else:
        rows = [normalize_waveform(waveform) if normalizes else waveform for waveform in waveforms]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    values = np.zeros((len(rows), int(lengths.max()), *rows[0].shape[1:]), dtype=np.float32)
    for padded, row in zip(values, rows, strict=True):
        padded[: len(row)] = row
    return Inputs(values, lengths)
