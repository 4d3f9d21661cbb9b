"""Live chunks: how the source is cut changes no sample."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.audio.g711 import alaw_encode, mulaw_encode
from xlsr.audio.live import LiveSamples
from xlsr.errors import AudioError, NotFiniteError

SIGNAL = (8_000 * np.sin(np.arange(4_000) * 0.05)).astype(np.int16)
AS_FLOAT = SIGNAL / np.float32(32_768)


def read(source: LiveSamples, chunks) -> np.ndarray:
    return np.concatenate([*(source.read(chunk) for chunk in chunks), source.finish()])


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 8_000), max_size=20), rate=st.sampled_from([8_000, 16_000, 24_000, 44_100]))
def test_chunks_of_bytes_of_any_length_give_the_same_samples(cuts: list[int], rate: int) -> None:
    content = SIGNAL.astype("<i2").tobytes()
    edges = [0, *sorted(cuts), len(content)]
    chunks = [content[first:end] for first, end in itertools.pairwise(edges)]
    found = read(LiveSamples(rate), chunks)
    np.testing.assert_array_equal(found, read(LiveSamples(rate), [content]))


def test_samples_at_16_khz_come_at_once_and_unchanged() -> None:
    for chunk in (SIGNAL, AS_FLOAT, AS_FLOAT.astype(np.float64), SIGNAL.tobytes(), bytearray(SIGNAL.tobytes())):
        found = LiveSamples().read(chunk)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, AS_FLOAT)


def test_another_rate_is_resampled_as_the_whole_would_be() -> None:
    found = read(LiveSamples(8_000), np.split(AS_FLOAT, 40))
    wanted = soxr.resample(AS_FLOAT, 8_000, 16_000, quality="HQ")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("encoding", "encode"), [("mulaw", mulaw_encode), ("alaw", alaw_encode)])
def test_telephone_codes_are_decoded(encoding, encode) -> None:
    found = LiveSamples(encoding=encoding).read(encode(SIGNAL).tobytes())
    np.testing.assert_allclose(found, AS_FLOAT, rtol=0.05, atol=1e-3)  # the step of the 8-bit laws is 3 to 6 %


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        (np.zeros((4, 2), np.float32), AudioError),
        (np.zeros(4, np.int32), AudioError),
        (np.array([0, np.nan], np.float32), NotFiniteError),
        (None, AudioError),
        ("sound", AudioError),
        ([0.0, 0.1], AudioError),
        ([1, 2], AudioError),
        (10**9, AudioError),
        (np.int16(3), AudioError),
    ],
)
def test_chunks_that_cannot_be_meant_are_refused(chunk, error) -> None:
    with pytest.raises(error, match="chunk"):
        LiveSamples().read(chunk)


@pytest.mark.parametrize(("rate", "encoding"), [(10, "pcm16"), (16_000, "opus")])
def test_sources_that_are_not_known_are_refused(rate, encoding) -> None:
    with pytest.raises(AudioError, match="live source"):
        LiveSamples(rate, encoding)
