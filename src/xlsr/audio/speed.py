"""Whether speech plays at its own speed, and the sample rate at which it does. Floor 1.

A header with a wrong sample rate makes speech play at half or twice its speed. Three things tell, whatever the
language: where a voice has its energy, how fast its syllables follow each other, and how long its sounds last. A linear
classifier weighs them; benchmarks/quality/speed.py fits it and says how often it errs. That is a reason to listen at
another rate, not to believe in one: a model then says where it understands more. Knows no text and no network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from xlsr.audio.stream import AudioStream, resample
from xlsr.audio.windowing import SAMPLE_RATE

HEAD_SECONDS = 10.0  # of a recording, that are judged
_MIN_SECONDS = 1.0  # of which syllables can be counted
_FRAME, _STEP = 512, 320  # samples: 32 ms, every 20
_BANDS = np.geomspace(111.0, 7_100.0, 19)  # Hz, middles of thirds of an octave; no hum of the mains
_SYLLABLES = slice(3, 15)  # the bands whose energy rises and falls with them: 220 to 2800 Hz
_MODULATIONS = 2.0 ** np.arange(-1, 5.0, 0.5)  # Hz, edges of half octaves
_LAGS = (1, 2, 4, 8)  # frames
_SPEECH_RANGE_DB = 25.0  # below the loud frames
_SILENT_DB = -60.0  # of full scale
_OCTAVES = (11_025, 12_000, 22_050, 24_000, 32_000)  # rates that are taken for their double or half, and for no other
_FURTHEST = 3.1  # 48,000 for 16,000
_NEAREST = 1.6  # nearer speeds are not told apart, and are understood
# Below this chance of being right other rates are tried: for 11 of 100 that are right, for 99.5 of 100 that are not.
_DOUBT = 0.8
_LISTEN_SECONDS = 5.0  # of the head; ten tell no more
# Rates are compared by the logarithm of the classifier's chance, less four times that of the model's mean surprise at a
# token: wrong speeds surprise a model twice as much, or more. Nobody believes a model whose tokens have less than about
# half the probability; noise is such. Another rate than the header's has to win by a factor e, and by e to the 5 if
# speech is seldom stored at it: 22,050 and 24,000 sound much like 16,000.
_LEAST_CHANCE, _LEAST_SURPRISE, _MOST_SURPRISE = 1e-4, 0.005, 0.8
_MODEL_WEIGHT, _TRUST_IN_HEADER = 4.0, 1.0
_RATES_OF_SPEECH, _RARITY = (8_000, 16_000), 4.0


@dataclass(frozen=True)
class Speed:
    """How likely a recording plays too slowly, rightly, and too fast; the three sum to 1."""

    slow: float
    right: float
    fast: float


def judge_speed(waveform: NDArray[np.float32]) -> Speed | None:
    """Return whether speech plays at its own speed; None for what is too short or silent to tell.

    Args:
        waveform: (samples,) at 16 kHz, as a header made it; the first ten seconds are judged.
    """
    found = speed_features(waveform[: round(HEAD_SECONDS * SAMPLE_RATE)])
    if found is None:
        return None
    mean, scale, weights, bias = _classifier()
    scores = (found - mean) / scale @ weights + bias
    chances = np.exp(scores - scores.max())
    slow, right, fast = (chances / chances.sum()).tolist()
    return Speed(slow, right, fast)


def true_rate(stream: AudioStream, understood: Callable[[NDArray[np.float32]], float]) -> int:
    """Return the sample rate at which a recording plays at its own speed, in Hz; in doubt, that of its header.

    Args:
        stream: not read yet; only its first ten seconds are, and they stay.
        understood: how well a model understands (samples,) at 16 kHz: the mean log-probability of its tokens.
    """
    said, head = stream.sample_rate, stream.head(HEAD_SECONDS)
    heard = head[: round(_LISTEN_SECONDS * said)]
    speed = judge_speed(resample(head, said))
    if speed is None or speed.right >= _DOUBT:
        return said
    best, most = said, _plausibility(speed, -understood(resample(heard, said))) + _TRUST_IN_HEADER
    for rate in _other_rates(said, slow=speed.slow > speed.fast):
        judged = judge_speed(resample(head, rate))
        if judged is None or (surprise := -understood(resample(heard, rate))) > _MOST_SURPRISE:
            continue
        score = _plausibility(judged, surprise) - (0.0 if rate in _RATES_OF_SPEECH else _RARITY)
        if score > most:
            best, most = rate, score
    return best


def _plausibility(speed: Speed, surprise: float) -> float:
    """By how much speech seems to play rightly, and to be understood; a logarithm."""
    chance, surprise = max(speed.right, _LEAST_CHANCE), max(surprise, _LEAST_SURPRISE)
    return float(np.log(chance) - _MODEL_WEIGHT * np.log(surprise))


def _other_rates(sample_rate: int, *, slow: bool) -> list[int]:
    """The rates that a recording may have that plays too slowly, or too fast, at this one."""
    usual = (8_000, 16_000, 44_100, 48_000, *(rate for rate in _OCTAVES if rate in (2 * sample_rate, sample_rate / 2)))
    ratios = {rate: rate / sample_rate if slow else sample_rate / rate for rate in usual}
    return [rate for rate, ratio in ratios.items() if _NEAREST <= ratio <= _FURTHEST]


def speed_features(waveform: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return what tells the speed: (34,); None for less than a second, or silence.

    19 levels of thirds of an octave, 11 of the modulation of syllables, and how alike spectra are at four distances.
    """
    if len(waveform) < _MIN_SECONDS * SAMPLE_RATE:
        return None
    waveform = waveform - waveform.mean(dtype=np.float64).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, _FRAME)[::_STEP]
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    if levels.max() < _SILENT_DB:
        return None
    # (frames, 257) @ (257, 19) -> (frames, 19)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_FRAME).astype(np.float32)))) @ _bands()
    spectrum = 10 * np.log10(power[levels > np.percentile(levels, 95) - _SPEECH_RANGE_DB].mean(axis=0) + 1e-12)
    spectrum = np.maximum(spectrum - spectrum[_SYLLABLES].max(), -60)
    logs = np.log10(np.maximum(power, power.max() * 1e-5))
    logs -= logs.mean(axis=0)
    alike = [(logs[lag:] * logs[:-lag]).sum() for lag in _LAGS] / np.square(logs).sum()
    return np.concatenate([spectrum, _modulations(logs[:, _SYLLABLES].mean(axis=1)), alike])


def _modulations(envelope: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of each half octave from 0.5 to 23 Hz in the rise and fall of an envelope, in powers of ten."""
    size = 2048
    power = np.square(np.abs(np.fft.rfft(envelope * np.hanning(len(envelope)), size)))
    edges = np.round(_MODULATIONS * size * _STEP / SAMPLE_RATE).astype(int)
    shares = np.add.reduceat(power, edges)[:-1]
    return np.asarray(np.log10(shares / shares.sum() + 1e-6))


@cache
def _bands() -> NDArray[np.float32]:
    """(257, 19): triangles over the logarithm of frequency, each with the sum 1."""
    hertz = np.fft.rfftfreq(_FRAME, 1 / SAMPLE_RATE)
    away = np.abs(np.log2(np.maximum(hertz, 1.0))[:, None] - np.log2(_BANDS))
    weights = np.maximum(1 - 3 * away, 0)
    weights[np.abs(hertz[:, None] - _BANDS).argmin(axis=0), np.arange(len(_BANDS))] += 1e-3  # bands between two bins
    return np.asarray(weights / weights.sum(axis=0), np.float32)


@cache
def _classifier() -> tuple[NDArray[np.float64], ...]:
    """Mean and scale (34,), weights (34, 3) and bias (3,) for slow, right and fast."""
    stored = json.loads(files("xlsr.audio").joinpath("speed.json").read_text("utf-8"))
    return tuple(np.array(stored[key]) for key in ("mean", "scale", "weights", "bias"))
