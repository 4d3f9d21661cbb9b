"""Waveforms -> stacked log-mel features, the input of wav2vec2-bert; NumPy only, no torch. Floor 1.

(samples,) in [-1, 1] at 16 kHz -> (frames, 160), one frame every 20 ms: 80 mel bands of two windows of 25 ms, 10 ms
apart. Every band has zero mean and unit variance over the utterance. Knows no network and no batch: padding comes
later, and no padding value ever enters.

Equal to transformers' `SeamlessM4TFeatureExtractor`, except that a last window without a partner is left out, where
transformers completes the pair with padding and masks the frame out.

Source: Kaldi's `compute-fbank-feats`; Seamless, arXiv 2312.05187, appendix (w2v-BERT 2.0).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
NUM_BANDS = 80
STACK = 2  # windows in a frame
FEATURE_SIZE = NUM_BANDS * STACK
_FFT_SAMPLES = 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_FLOOR = 1.192092955078125e-07  # Kaldi's, fp32's epsilon
_BLOCK = 4096  # windows at a time: 32 MB of spectra, whatever the length of the recording


def log_mel_features(waveform: NDArray[np.floating]) -> NDArray[np.float32]:
    """Compute the features of one utterance.

    Args:
        waveform: (samples,) in [-1, 1] at 16 kHz, not normalised.

    Returns:
        (frames, 160) float32, frames = ((samples - 400) // 160 + 1) // 2; none below 560 samples.
    """
    bands = log_mel(waveform)
    frames = len(bands) // STACK
    if not frames:
        return np.zeros((0, FEATURE_SIZE), np.float32)
    # The statistics count an odd last window; the sums are taken in float64.
    centred = bands - bands.mean(axis=0)
    centred /= np.sqrt(centred.var(axis=0, ddof=1) + 1e-7)
    features: NDArray[np.float32] = centred[: frames * STACK].reshape(frames, FEATURE_SIZE).astype(np.float32)
    return features


def log_mel(waveform: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute Kaldi's log-mel energies: (samples,) in [-1, 1] at 16 kHz -> (windows, 80), natural logarithms."""
    samples = np.asarray(waveform, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"waveform has the shape {samples.shape}; (samples,) is wanted")
    if samples.size < WINDOW_SAMPLES:
        return np.zeros((0, NUM_BANDS))
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES]
    return np.concatenate([_log_mel(windows[i : i + _BLOCK]) for i in range(0, len(windows), _BLOCK)])


def _log_mel(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """(windows, 400) -> (windows, 80)."""
    x = windows.astype(np.float64) * 32768.0  # Kaldi counts in 16-bit steps
    x -= x.mean(axis=1, keepdims=True)
    emphasised = x * (1.0 - _PREEMPHASIS)  # the first sample's predecessor is itself
    emphasised[:, 1:] = x[:, 1:] - _PREEMPHASIS * x[:, :-1]
    # Povey's window is Hann's, raised to 0.85.
    spectra = np.fft.rfft(emphasised * np.hanning(WINDOW_SAMPLES) ** 0.85, _FFT_SAMPLES, axis=1)
    power = np.square(spectra.real) + np.square(spectra.imag)
    energies: NDArray[np.float64] = np.log(np.maximum(power @ _triangles(), _FLOOR))
    return energies


@cache
def _triangles() -> NDArray[np.float64]:
    """(257 frequencies, 80 bands): overlapping triangles of height 1 whose corners are evenly spaced in mels."""
    mels = _mel(np.arange(_FFT_SAMPLES // 2 + 1, dtype=np.float64) * (SAMPLE_RATE / _FFT_SAMPLES))[:, None]
    lowest, highest = _mel(np.array([_LOWEST_HZ, SAMPLE_RATE / 2]))
    corners = np.linspace(lowest, highest, NUM_BANDS + 2)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (mels - left) / (centre - left), (right - mels) / (right - centre)
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return triangles


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    mels: NDArray[np.float64] = 1127.0 * np.log(1.0 + hertz / 700.0)
    return mels
