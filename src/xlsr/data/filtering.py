"""Filters longer than a loop can afford: convolution by FFT that keeps time and length.

Knows arrays only. Floor 2; under rooms (augment.py) and telephone bands (telephone.py).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


def convolve(waveform: NDArray[np.float32], response: NDArray[np.float32], delay: int) -> NDArray[np.float32]:
    """Return a filtered waveform of the same length in which tap `delay` of the response stands at no delay.

    Args:
        waveform: (samples,) float32.
        response: (taps,) float32, of any length.
        delay: index of the tap that is to leave the time as it is, such as the direct sound of a room.

    Returns:
        (samples,) float32; sample t is the sum over k of response[k] * waveform[t + delay - k].
    """
    size = _fast_size(len(waveform) + len(response) - 1)
    spectrum = np.fft.rfft(waveform, size)
    spectrum *= np.fft.rfft(response, size)
    filtered = np.fft.irfft(spectrum, size)[delay : delay + len(waveform)]
    return filtered.astype(np.float32)


@cache
def _sizes() -> NDArray[np.int64]:
    """Every 2^a 3^b 5^c below 2^31, sorted: the sizes at which NumPy's FFT is fast."""
    powers = [np.array([base**n for n in range(32) if base**n < 1 << 31]) for base in (2, 3, 5)]
    products = np.multiply.outer(np.multiply.outer(powers[0], powers[1]).ravel(), powers[2].astype(np.float64))
    return np.unique(products[products < 1 << 31]).astype(np.int64)


def _fast_size(size: int) -> int:
    return int(_sizes()[np.searchsorted(_sizes(), size)])
