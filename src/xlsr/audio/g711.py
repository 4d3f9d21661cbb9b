"""G.711: the µ-law and A-law of the telephone network, sample by sample, as tables.

Knows the two laws and nothing else: no files, no sample rates, no filters. Floor 1; for training data that shall sound
like telephone calls, and for whoever receives raw 8-bit calls. Source: ITU-T G.711 (tables 1 and 2) for the values,
ITU-T G.191 (`g711.c`) for negative 16-bit samples on a decision value, which go to the smaller magnitude.

    decoded = g711.mulaw_decode(g711.mulaw_encode(samples))  # int16 -> uint8 -> int16
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_MULAW_BIAS = 33  # in the 14-bit units of G.711: makes every segment begin at a power of two
_MULAW_CLIP = 0x1FFF  # the largest biased magnitude
_EVEN_BITS = 0x55  # which A-law inverts, so that silence has many edges


def mulaw_encode(samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the µ-law code of each 16-bit sample; silence (0) is 0xFF."""
    return _mulaw_codes()[samples.view(np.uint16)]


def mulaw_decode(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the 16-bit sample of each µ-law code, at most 32,124 in magnitude."""
    return _mulaw_samples()[codes]


def alaw_encode(samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the A-law code of each 16-bit sample; silence (0) is 0xD5."""
    return _alaw_codes()[samples.view(np.uint16)]


def alaw_decode(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the 16-bit sample of each A-law code, 8 to 32,256 in magnitude."""
    return _alaw_samples()[codes]


def _magnitudes() -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Of all 16-bit patterns in unsigned order: magnitudes in ones' complement (0 and -1 are both 0), and signs."""
    samples = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)
    negative = samples < 0
    return np.where(negative, ~samples, samples), negative


def _bit_length(values: NDArray[np.int32]) -> NDArray[np.int32]:
    exponents: NDArray[np.int32] = np.frexp(values.astype(np.float64))[1]
    return exponents


@cache
def _mulaw_codes() -> NDArray[np.uint8]:
    magnitudes, negative = _magnitudes()
    biased = np.minimum((magnitudes >> 2) + _MULAW_BIAS, _MULAW_CLIP)
    segments = _bit_length(biased) - 6  # 0 to 7; the leading one stands at bit 5 of segment 0
    steps = biased >> (segments + 1) & 0xF
    codes: NDArray[np.uint8] = (np.where(negative, 0x7F, 0xFF) ^ (segments << 4 | steps)).astype(np.uint8)
    return codes


@cache
def _mulaw_samples() -> NDArray[np.int16]:
    codes = ~np.arange(256, dtype=np.uint8).astype(np.int32) & 0xFF
    steps, segments = codes & 0xF, codes >> 4 & 7
    magnitudes = ((2 * steps + _MULAW_BIAS << segments) - _MULAW_BIAS) << 2
    return np.where(codes & 0x80, -magnitudes, magnitudes).astype(np.int16)


@cache
def _alaw_codes() -> NDArray[np.uint8]:
    magnitudes, negative = _magnitudes()
    linear = magnitudes >> 4  # 12 bits without the sign, two 13-bit units each
    segments = np.maximum(_bit_length(linear) - 4, 0)  # the first two segments have the same step
    steps = linear >> np.maximum(segments - 1, 0) & 0xF
    signs = np.where(negative, 0, 0x80)
    codes: NDArray[np.uint8] = ((signs | segments << 4 | steps) ^ _EVEN_BITS).astype(np.uint8)
    return codes


@cache
def _alaw_samples() -> NDArray[np.int16]:
    codes = np.arange(256, dtype=np.int32) ^ _EVEN_BITS
    steps, segments = codes & 0xF, codes >> 4 & 7
    first = (steps << 4) + 8  # the middle of its interval
    magnitudes = np.where(segments > 0, first + 256 << np.maximum(segments - 1, 0), first)
    return np.where(codes & 0x80, magnitudes, -magnitudes).astype(np.int16)
