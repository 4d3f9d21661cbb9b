"""G.711: bit-exact against the tables of the recommendation, and against the decoders of libsndfile and FFmpeg."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile

from xlsr.audio.g711 import alaw_decode, alaw_encode, mulaw_decode, mulaw_encode

EVERY_SAMPLE = np.arange(-32_768, 32_768).astype(np.int16)
EVERY_CODE = np.arange(256, dtype=np.uint8)
# Tables 2a and 1a of G.711, "decision value number x_n" at the ends of the segments, and the step within each.
MULAW_SEGMENTS = ((0, 1, 2), (31, 95, 4), (95, 223, 8), (223, 479, 16), (479, 991, 32), (991, 2015, 64),
                  (2015, 4063, 128), (4063, 8159, 256))  # fmt: skip
ALAW_SEGMENTS = ((0, 64, 2), (64, 128, 4), (128, 256, 8), (256, 512, 16), (512, 1024, 32), (1024, 2048, 64),
                 (2048, 4096, 128))  # fmt: skip


def mulaw_decisions() -> list[int]:
    """The lower decision value of each positive code 0xFF, 0xFE ... 0x80, in 14-bit units."""
    values = [0, *range(1, 31, 2)]
    for low, high, step in MULAW_SEGMENTS[1:]:
        values += range(low, high, step)
    return values


def alaw_decisions() -> list[int]:
    """The lower decision value of each positive code before the even bits are inverted, in 13-bit units."""
    return [value for low, high, step in ALAW_SEGMENTS for value in range(low, high, step)]


def number_of_interval(decisions: list[int], sample: int, unit: int) -> int:
    """Search the table: at a decision value a positive sample goes up, a negative one (ones' complement) down."""
    magnitude = (sample if sample >= 0 else -sample - 1) / unit
    return max(n for n, value in enumerate(decisions) if value <= magnitude)


def test_the_tables_have_their_known_values() -> None:
    assert len(mulaw_decisions()) == len(alaw_decisions()) == 128
    assert mulaw_decisions()[-1] == 7903  # the last but one of table 2a
    assert alaw_decisions()[-1] == 3968  # the last but one of table 1a


def test_mulaw_encoding_is_table_2_of_g711() -> None:
    decisions = mulaw_decisions()
    samples = EVERY_SAMPLE[::7]
    wanted = [
        (0xFF if sample >= 0 else 0x7F) - number_of_interval(decisions, int(sample), 4) for sample in samples.tolist()
    ]
    np.testing.assert_array_equal(mulaw_encode(samples), wanted)


def test_alaw_encoding_is_table_1_of_g711() -> None:
    decisions = alaw_decisions()
    samples = EVERY_SAMPLE[::7]
    wanted = [
        ((0x80 if sample >= 0 else 0) + number_of_interval(decisions, int(sample), 8)) ^ 0x55
        for sample in samples.tolist()
    ]
    np.testing.assert_array_equal(alaw_encode(samples), wanted)


@pytest.mark.parametrize(
    ("encode", "decisions", "unit", "mask"),
    [(mulaw_encode, mulaw_decisions, 4, 0xFF), (alaw_encode, alaw_decisions, 8, 0xD5)],
)
def test_every_decision_value_begins_its_interval(encode, decisions, unit: int, mask: int) -> None:
    edges = np.array(decisions()[1:]) * unit
    numbers = np.arange(1, 128)
    np.testing.assert_array_equal(encode(edges.astype(np.int16)) ^ mask, numbers)
    np.testing.assert_array_equal(encode((edges - 1).astype(np.int16)) ^ mask, numbers - 1)
    np.testing.assert_array_equal(encode((-edges - 1).astype(np.int16)) ^ mask, numbers | 0x80)
    np.testing.assert_array_equal(encode((-edges).astype(np.int16)) ^ mask, numbers - 1 | 0x80)


@pytest.mark.parametrize(("law", "decode"), [("ULAW", mulaw_decode), ("ALAW", alaw_decode)])
def test_decoding_is_libsndfiles(law: str, decode) -> None:
    options = {"format": "RAW", "samplerate": 8000, "channels": 1, "subtype": law}
    wanted, _ = soundfile.read(io.BytesIO(EVERY_CODE.tobytes()), dtype="int16", **options)
    np.testing.assert_array_equal(decode(EVERY_CODE), wanted)


@pytest.mark.parametrize(("codec", "decode"), [("pcm_mulaw", mulaw_decode), ("pcm_alaw", alaw_decode)])
def test_decoding_is_ffmpegs(codec: str, decode) -> None:
    decoder = av.CodecContext.create(codec, "r")
    decoder.sample_rate, decoder.layout = 8000, "mono"
    [frame] = decoder.decode(av.Packet(EVERY_CODE.tobytes()))
    np.testing.assert_array_equal(decode(EVERY_CODE), frame.to_ndarray()[0])


@pytest.mark.parametrize(("encode", "decode"), [(mulaw_encode, mulaw_decode), (alaw_encode, alaw_decode)])
def test_coding_twice_changes_nothing_more(encode, decode) -> None:
    once = decode(encode(EVERY_SAMPLE))
    np.testing.assert_array_equal(decode(encode(once)), once)
    assert encode(EVERY_SAMPLE[None, ::2]).shape == (1, 32_768)


def test_signal_to_noise_of_a_sine_is_that_of_the_recommendation() -> None:
    """G.712 wants at least 33 dB for sines from -30 to 0 dBm0; 36 to 39 dB are what the laws give."""
    sine = np.sin(2 * np.pi * 1004 / 8000 * np.arange(8000))
    for decibels in (-30, -20, -10, 0):
        samples = (20_000 * 10 ** (decibels / 20) * sine).astype(np.int16)
        for coded in (mulaw_decode(mulaw_encode(samples)), alaw_decode(alaw_encode(samples))):
            noise = np.mean((coded - samples.astype(float)) ** 2)
            assert 10 * np.log10(np.mean(samples.astype(float) ** 2) / noise) > 33
