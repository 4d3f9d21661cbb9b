"""Telephones: their band, their codecs, and that they keep length and time."""

from __future__ import annotations

import numpy as np
import pytest

from xlsr.audio import load_audio
from xlsr.data.telephone import CODECS, missing_codecs, telephone

HERE = [name for name in CODECS if name not in missing_codecs(list(CODECS))]
RATES = [
    (codec, rate) for codec in HERE for rate in sorted({min(CODECS[codec].bit_rates), max(CODECS[codec].bit_rates)})
]


def noise(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(16_000 * seconds))).astype(np.float32)


def band_decibels(after: np.ndarray, before: np.ndarray, low: float, high: float) -> float:
    """Energy in a band after over before."""
    hertz = np.fft.rfftfreq(len(before), 1 / 16_000)
    inside = (hertz >= low) & (hertz < high)
    energies = [np.sum(np.abs(np.fft.rfft(waveform.astype(float)))[inside] ** 2) for waveform in (after, before)]
    return float(10 * np.log10(energies[0] / energies[1]))


def lag_samples(after: np.ndarray, before: np.ndarray) -> int:
    """Where the cross-correlation has its peak; positive: late."""
    size = 1 << 18
    correlation = np.fft.irfft(np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size)), size)
    peak = int(np.argmax(correlation))
    return peak - size if peak > size // 2 else peak


def test_the_codecs_that_need_no_ffmpeg_are_always_there() -> None:
    assert {"mulaw", "alaw"} <= set(HERE)


@pytest.mark.parametrize("codec", ["mulaw", "alaw"])
def test_the_band_is_300_to_3400_hertz(codec: str) -> None:
    """30 dB are asked for above 3.6 kHz; below 200 Hz the noise of 8 bits (38 dB down in all) is the floor."""
    before = noise(4)
    after = telephone(before, codec, 64_000)
    assert band_decibels(after, before, 3_600, 8_000) < -30
    assert band_decibels(after, before, 0, 200) < -30
    assert band_decibels(after, before, 450, 3_250) == pytest.approx(0, abs=0.1)
    assert band_decibels(after, before, 290, 310) == pytest.approx(-6, abs=1)  # a windowed sinc halves at its edge
    assert band_decibels(after, before, 3_390, 3_410) == pytest.approx(-6, abs=1)


@pytest.mark.parametrize(("codec", "bit_rate"), RATES)
def test_narrowband_codecs_bring_nothing_back_above_4_kilohertz(codec: str, bit_rate: int) -> None:
    if CODECS[codec].sample_rate == 8_000:
        assert (
            band_decibels(telephone(noise(2), codec, bit_rate), noise(2), 4_200, 8_000) < -50
        )  # what leaks from the ends


def test_g711_has_the_noise_of_eight_bits() -> None:
    """A sine inside the band keeps its level; G.712 wants 33 dB over the noise, in all 38 are usual."""
    sine = (0.5 * np.sin(2 * np.pi * 1_004 / 16_000 * np.arange(32_000))).astype(np.float32)
    for codec in ("mulaw", "alaw"):
        error = (telephone(sine, codec, 64_000) - sine)[2_000:-2_000]
        assert 33 < 10 * np.log10(0.125 / np.mean(error.astype(float) ** 2)) < 45


@pytest.mark.parametrize(("codec", "bit_rate"), RATES)
def test_time_length_and_words_are_kept(repository, codec: str, bit_rate: int) -> None:
    """A sample or two of delay remain; the speech is still itself: r is above 0.7 even at 4.75 kbit/s."""
    speech = load_audio(repository / "examples" / "digits.wav")
    after = telephone(speech, codec, bit_rate)
    assert after.shape == speech.shape
    assert after.dtype == np.float32
    assert abs(lag_samples(after, speech)) <= 2
    assert np.corrcoef(after, speech)[0, 1] > 0.7


@pytest.mark.parametrize("codec", HERE)
@pytest.mark.parametrize("samples", [0, 1, 399, 16_001])
def test_any_length_comes_back(codec: str, samples: int) -> None:
    after = telephone(noise(2)[:samples], codec, CODECS[codec].bit_rates[0])
    assert after.shape == (samples,)
    assert np.isfinite(after).all()


@pytest.mark.parametrize("codec", HERE)
def test_coding_is_repeatable_and_loud_input_is_clipped(codec: str) -> None:
    loud = 100 * noise(1)
    first, second = (telephone(loud, codec, CODECS[codec].bit_rates[-1]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first).max() < 3  # what was cut off square rings over full scale; peaks of 40 came in


def test_lower_bit_rates_differ_more() -> None:
    before = noise(1)
    for codec in ("g726", "amr"):
        if codec in HERE:
            low, high = (telephone(before, codec, CODECS[codec].bit_rates[end]) for end in (0, -1))
            reference = telephone(before, "mulaw", 64_000)
            assert np.mean((low - reference) ** 2) > 1.5 * np.mean((high - reference) ** 2)


def test_a_codec_that_the_build_lacks_is_told(monkeypatch) -> None:
    import av

    monkeypatch.setattr(av, "codecs_available", {"g722", "libopus"})
    assert missing_codecs(["mulaw", "amr", "g722", "opus", "g726"]) == ["amr", "g726"]
