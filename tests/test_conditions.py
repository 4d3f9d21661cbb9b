"""Telephones, wrong headers, offsets and calls: the shipped model hears nearly what it hears in clean recordings.

The clean recordings are strings of ten digits by the two speakers of FSDD that it never heard, resampled to 16 kHz;
each condition is a file of its own, transcribed as anybody would.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import soundfile
import soxr

import xlsr
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.metrics import word_errors

Samples = np.ndarray
# The project's limit, relative to the clean recordings' word error rate.
LIMIT = 1.10


@pytest.fixture(scope="module")
def model() -> xlsr.Recognizer:
    return xlsr.load_model(threads=1)


@pytest.fixture(scope="module")
def spoken(corpora) -> list[tuple[Samples, str]]:
    """Fifty strings with their texts, at 16 kHz."""
    utterances = list(read_manifest(corpora / "fsdd" / "manifest.jsonl", split="test"))
    draw, found = random.Random(0), []
    for speaker in ("fsdd-lucas", "fsdd-theo"):
        digits = [utterance for utterance in utterances if utterance.speaker == speaker]
        draw.shuffle(digits)
        for first in range(0, len(digits), 10):
            parts = [(load_utterance(d), np.zeros(draw.randrange(300, 3_000))) for d in digits[first : first + 10]]
            samples = np.concatenate([x for part in parts for x in part]).astype(np.float32)
            found.append((samples, " ".join(digit.text for digit in digits[first : first + 10])))
    return found


def wav(samples: Samples, rate: int, subtype: str = "PCM_16") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype=subtype)
    return content.getvalue()


def rate_of(spoken: Sequence[tuple[Samples, str]], texts: Sequence[str]) -> float:
    counted = [word_errors(text, found) for (_, text), found in zip(spoken, texts, strict=True)]
    return sum(counted[1:], counted[0]).rate


@pytest.fixture(scope="module")
def clean(model, spoken) -> float:
    results = model.transcribe_many([wav(samples, 16_000) for samples, _ in spoken])
    rate = rate_of(spoken, [result.text for result in results])
    assert 0.05 < rate < 0.16  # 12.0 % on other strings of these speakers
    return rate


def narrow(samples: Samples) -> Samples:
    return soxr.resample(samples, 16_000, 8_000)


CONDITIONS: dict[str, Callable[[Samples], bytes]] = {
    "8 kHz": lambda samples: wav(narrow(samples), 8_000),
    "mulaw": lambda samples: wav(narrow(samples), 8_000, "ULAW"),
    "alaw": lambda samples: wav(narrow(samples), 8_000, "ALAW"),
    "8 kHz in a 16 kHz file": lambda samples: wav(soxr.resample(narrow(samples), 8_000, 16_000), 16_000),
    "header 16 kHz for 8": lambda samples: wav(narrow(samples), 16_000),
    "header 8 kHz for 16": lambda samples: wav(samples, 8_000),
    "header 44.1 kHz for 16": lambda samples: wav(samples, 44_100),
    "offset": lambda samples: wav(samples + 0.1, 16_000),
    "quiet": lambda samples: wav(samples / 100, 16_000, "PCM_24"),
    "clipped at half": lambda samples: wav(np.clip(2 * samples / np.abs(samples).max(), -1, 1), 16_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_cost_little(model, spoken, clean: float, name: str) -> None:
    results = list(model.transcribe_many([CONDITIONS[name](samples) for samples, _ in spoken]))
    assert rate_of(spoken, [result.text for result in results]) <= LIMIT * clean
    if name == "offset":
        assert all("mean sample" in result.audio.notes[0] for result in results)
    if name.startswith("header"):
        assert sum("its header says" in result.audio.notes[0] for result in results if result.audio.notes) >= 48
    elif name != "offset":
        assert not any("its header says" in note for result in results for note in result.audio.notes)
    if name in ("8 kHz", "mulaw", "alaw", "8 kHz in a 16 kHz file"):
        assert {3_300 <= result.audio.bandwidth_hertz <= 4_000 for result in results} == {True}


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["PCM_16", "ULAW"])
def test_the_sides_of_a_call_are_transcribed_apart(model, spoken, clean: float, codec: str) -> None:
    texts = []
    for (left, _), (right, _) in zip(spoken[::2], spoken[1::2], strict=True):
        both = np.zeros((max(len(left), len(right)), 2), np.float32)
        both[: len(left), 0], both[: len(right), 1] = left, right
        found = model.transcribe(wav(soxr.resample(both, 16_000, 8_000), 8_000, codec), channel="split")
        assert [segment.start for segment in found.segments] == sorted(segment.start for segment in found.segments)
        texts += [" ".join(s.text for s in found.segments if s.channel == number) for number in (1, 2)]
    assert rate_of(spoken, texts) <= LIMIT * clean


def test_a_rate_of_ones_own_is_believed(model, spoken) -> None:
    samples, _ = spoken[0]
    right = model.transcribe(wav(samples, 16_000))
    assert model.transcribe(wav(samples, 44_100), sample_rate=16_000).text == right.text
    wrong = model.transcribe(wav(samples, 8_000), sample_rate="header")
    assert (wrong.audio.sample_rate, wrong.text == right.text) == (8_000, False)
    assert wrong.duration == pytest.approx(2 * right.duration, abs=0.05)


def test_many_gives_what_one_gives_for_calls_among_others(model, spoken) -> None:
    call = np.stack([spoken[0][0][:48_000], spoken[1][0][:48_000]], axis=1)
    inputs = [wav(spoken[2][0], 16_000), wav(call, 16_000), b"no sound", wav(call[:, 0], 16_000)]
    many = list(model.transcribe_many(inputs, channel="split"))
    assert isinstance(many[2], xlsr.Failure)
    for source, result in zip(inputs, many, strict=True):
        if isinstance(result, xlsr.Transcript):
            assert result.text == model.transcribe(source, channel="split").text
    assert {segment.channel for segment in many[1].segments} == {1, 2}
    assert {segment.channel for result in (many[0], many[3]) for segment in result.segments} == {None}
    (without,) = model.transcribe_many([inputs[1]], channel="split", timestamps="none")
    assert (without.text, without.segments) == (many[1].text, ())
