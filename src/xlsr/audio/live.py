"""Chunks of a live source, as they come, to samples at 16 kHz. Floor 1.

Knows raw encodings and sample rates, and remembers what one chunk leaves for the next: half a sample of bytes, the
state of the resampler. Knows no containers (`stream`) and no speech; the first step of `streaming`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from xlsr.audio.g711 import alaw_decode, mulaw_decode
from xlsr.audio.stream import MAX_RATE, MIN_RATE
from xlsr.audio.windowing import SAMPLE_RATE
from xlsr.errors import AudioError, NotFiniteError

Encoding = Literal["pcm16", "mulaw", "alaw"]
Chunk: TypeAlias = bytes | bytearray | memoryview | NDArray[np.floating] | NDArray[np.int16]
"""Bytes in the encoding of the source, or (samples,) of it: floats in [-1, 1] or 16-bit integers; any number."""

_PCM16_SCALE = np.float32(1 / 32_768)


class LiveSamples:
    """Turns chunks into samples at 16 kHz; how the source is cut into chunks changes none of them.

    Args:
        sample_rate: Hz, of the source.
        encoding: what bytes hold: "pcm16" (16 bits, little-endian), or the "mulaw" or "alaw" of telephones.

    Raises:
        AudioError: a sample rate or encoding that is not supported.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, encoding: Encoding = "pcm16") -> None:
        if not MIN_RATE <= sample_rate <= MAX_RATE or encoding not in get_args(Encoding):
            raise AudioError(
                f"a live source of {sample_rate} Hz in {encoding!r}; wanted {MIN_RATE} to {MAX_RATE} Hz in one of "
                f"{', '.join(get_args(Encoding))}"
            )
        self.encoding = encoding
        self._odd = b""  # the first byte of a sample whose second is still to come
        self._resampler = None
        if sample_rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def read(self, chunk: Chunk) -> NDArray[np.float32]:
        """Return the samples at 16 kHz that this chunk brings; a resampler holds some of them back until the next.

        Raises:
            AudioError: not bytes, nor an array of the kinds that `Chunk` names.
            NotFiniteError: a sample is NaN or infinite.
        """
        if isinstance(chunk, np.ndarray):
            samples = self._array(chunk)
        elif isinstance(chunk, bytes | bytearray | memoryview):
            samples = self._decoded(bytes(chunk))
        else:  # bytes() would make something of numbers and lists
            raise AudioError(
                f"a chunk is of type {type(chunk).__name__}; wanted bytes in the encoding of the source "
                f"({self.encoding}), or an array of samples"
            )
        return samples if self._resampler is None else self._resampler.resample_chunk(samples)

    def finish(self) -> NDArray[np.float32]:
        """Return what was held back; nothing can be read afterwards."""
        empty = np.zeros(0, np.float32)
        return empty if self._resampler is None else self._resampler.resample_chunk(empty, last=True)

    def _decoded(self, chunk: bytes) -> NDArray[np.float32]:
        if self.encoding != "pcm16":
            decode = mulaw_decode if self.encoding == "mulaw" else alaw_decode
            return decode(np.frombuffer(chunk, np.uint8)) * _PCM16_SCALE
        chunk = self._odd + chunk
        whole = len(chunk) - len(chunk) % 2
        self._odd = chunk[whole:]
        return np.frombuffer(chunk[:whole], "<i2") * _PCM16_SCALE

    def _array(self, chunk: NDArray[np.floating] | NDArray[np.int16]) -> NDArray[np.float32]:
        if chunk.ndim != 1 or not (chunk.dtype == np.int16 or np.issubdtype(chunk.dtype, np.floating)):
            raise AudioError(
                f"a chunk is an array of shape {chunk.shape} and type {chunk.dtype}; wanted (samples,) of floats in "
                "[-1, 1] or of int16: mix channels first"
            )
        if chunk.dtype == np.int16:
            return chunk * _PCM16_SCALE
        samples = np.ascontiguousarray(chunk, np.float32)
        if not np.isfinite(samples).all():
            raise NotFiniteError("a chunk has samples that are not finite (NaN or infinite): the source is at fault")
        return samples
