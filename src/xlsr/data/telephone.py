"""What a telephone does to a voice: its band, its sampling rate and its codec, then back to 16 kHz.

Knows codecs; G.711 is ours, the others are FFmpeg's through PyAV, as far as the installed build can encode them. Keeps
length and time. Loses no packets and adds no line noise. Floor 2; the last step of augment.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE, g711
from xlsr.data.filtering import convolve

_BAND_HERTZ = (300.0, 3400.0)
_BAND_TAPS = 161  # at 8 kHz: 170 Hz from passing to -50 dB (Blackman window: 5.5 * 8000 / 161 between the two)
_FRAME_SAMPLES = 320  # for codecs that take any number


@dataclass(frozen=True)
class Codec:
    """One codec of telephony.

    Attributes:
        bit_rates: that it may be asked for, bit/s.
        sample_rate: Hz that it works at; at 8 kHz the voice is first limited to 300-3400 Hz.
        encoder: FFmpeg's name; empty: G.711, which needs no FFmpeg.
        decoder: FFmpeg's name.
        delay_samples: by which its output is late, at its own rate; taken back.
        options: FFmpeg's, of the encoder.
    """

    bit_rates: tuple[int, ...]
    sample_rate: int = 8_000
    encoder: str = ""
    decoder: str = ""
    delay_samples: int = 0
    options: dict[str, str] = field(default_factory=dict)


CODECS = {
    "mulaw": Codec((64_000,)),
    "alaw": Codec((64_000,)),
    "g726": Codec((16_000, 24_000, 32_000, 40_000), encoder="g726", decoder="g726"),
    "g723": Codec((6_300,), encoder="g723_1", decoder="g723_1", delay_samples=60),
    "amr": Codec(
        (4_750, 5_150, 5_900, 6_700, 7_400, 7_950, 10_200, 12_200),
        encoder="libopencore_amrnb", decoder="amrnb", delay_samples=40,
    ),
    "g722": Codec((64_000,), sample_rate=16_000, encoder="g722", decoder="g722", delay_samples=22),
    "opus": Codec(
        (6_000, 8_000, 12_000, 16_000), sample_rate=16_000,
        encoder="libopus", decoder="libopus", options={"application": "voip"},
    ),
}  # fmt: skip
"""Narrowband (8 kHz: the fixed and the 2G/3G network) and wideband (16 kHz: g722 and opus of internet telephony)."""


def missing_codecs(names: Sequence[str]) -> list[str]:
    """Return those of these codecs that the installed PyAV cannot encode."""
    import av

    return [name for name in names if CODECS[name].encoder and CODECS[name].encoder not in av.codecs_available]


def telephone(waveform: NDArray[np.float32], codec: str, bit_rate: int) -> NDArray[np.float32]:
    """Return a waveform as it leaves a telephone.

    Narrowband codecs hear 300 to 3400 Hz (linear-phase filter, no delay); their own noise fills 0 to 4 kHz. What
    exceeds full scale is clipped by the codec's 16 bits.

    Args:
        waveform: (samples,) float32 at 16 kHz.
        codec: a name of `CODECS`.
        bit_rate: one of that codec's, bit/s.

    Returns:
        (samples,) float32 at 16 kHz, of the same length.

    Source: ITU-T G.711, G.722, G.723.1, G.726; 3GPP TS 26.071 (AMR); RFC 6716 (Opus).
    """
    used = CODECS[codec]
    narrow = _resample(waveform, SAMPLE_RATE, used.sample_rate)
    if used.sample_rate == 8_000:
        narrow = convolve(narrow, _band(), _BAND_TAPS // 2)
    samples = np.round(np.clip(narrow, -1, 1) * 32_767).astype(np.int16)
    if codec == "mulaw":
        coded = _to_float(g711.mulaw_decode(g711.mulaw_encode(samples)))
    elif codec == "alaw":
        coded = _to_float(g711.alaw_decode(g711.alaw_encode(samples)))
    else:
        coded = _code(samples, used, bit_rate)
    return _fit(_resample(coded, used.sample_rate, SAMPLE_RATE), len(waveform))


def _code(samples: NDArray[np.int16], codec: Codec, bit_rate: int) -> NDArray[np.float32]:
    """Encode and decode (samples,) int16 at the codec's rate; returns at least as many, its delay taken back."""
    import av
    from av.audio.codeccontext import AudioCodecContext

    encoder, decoder = av.CodecContext.create(codec.encoder, "w"), av.CodecContext.create(codec.decoder, "r")
    assert isinstance(encoder, AudioCodecContext)
    assert isinstance(decoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = codec.sample_rate, "mono", "s16"
    encoder.bit_rate, encoder.time_base = bit_rate, Fraction(1, codec.sample_rate)
    encoder.options = dict(codec.options)
    encoder.open()
    decoder.sample_rate, decoder.layout, decoder.extradata = codec.sample_rate, "mono", encoder.extradata
    if codec.decoder == "g726":  # nothing in the stream tells how wide its codes are
        decoder.options = {"bits_per_coded_sample": str(bit_rate // codec.sample_rate)}

    size = encoder.frame_size or _FRAME_SAMPLES
    frames_of_speech = -(-(len(samples) + codec.delay_samples) // size)
    padded = np.zeros((frames_of_speech + 1, size), np.int16)  # one more, to push out what the codec holds back
    padded.ravel()[: len(samples)] = samples
    packets = []
    for number, row in enumerate(padded):
        frame = av.AudioFrame.from_ndarray(row[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = codec.sample_rate, number * size
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded = np.concatenate([_to_float(frame.to_ndarray().ravel()) for frame in frames])
    return _resample(decoded, frames[0].sample_rate, codec.sample_rate)[codec.delay_samples :]


def _to_float(samples: NDArray[np.generic]) -> NDArray[np.float32]:
    scale = 32_768 if samples.dtype == np.int16 else 1  # FFmpeg's own decoders give floats
    return samples.astype(np.float32) / np.float32(scale)


def _resample(waveform: NDArray[np.float32], source_rate: int, target_rate: int) -> NDArray[np.float32]:
    import soxr

    if source_rate == target_rate:
        return waveform
    resampled: NDArray[np.float32] = soxr.resample(waveform, source_rate, target_rate, quality="HQ")
    return resampled


def _fit(waveform: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Cut or extend with silence; rates that do not divide leave a sample more or less."""
    return np.pad(waveform[:length], (0, max(0, length - len(waveform))))


@cache
def _band() -> NDArray[np.float32]:
    """The band-pass of telephony at 8 kHz: a difference of two sincs under a Blackman window, linear phase."""
    at = np.arange(_BAND_TAPS) - _BAND_TAPS // 2
    low, high = (2 * hertz / 8_000 for hertz in _BAND_HERTZ)
    ideal = high * np.sinc(high * at) - low * np.sinc(low * at)
    band: NDArray[np.float32] = (ideal * np.blackman(_BAND_TAPS)).astype(np.float32)
    return band
