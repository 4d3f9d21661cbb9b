"""One side of a recording, at a rate of one's own: heard, streamed and aligned alike; and what is refused unread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.levels import LevelEngine, level_recognizer, spoken, waveform_of
from xlsr.errors import ConfigError
from xlsr.recognizer import Recognizer


def side(words: list[str]) -> np.ndarray:
    ids = spoken(words, np.random.default_rng(1), pause_frames=(10, 11))
    return waveform_of([*ids, *[0] * (250 - len(ids))])


CALL = np.stack([side(["abc", "a"]), side(["cab", "b"])], axis=1)  # (samples, 2)
SIDES = {"left": "abc a", "right": "cab b"}


@pytest.fixture
def recognizer() -> Recognizer:
    return level_recognizer(LevelEngine())


@pytest.mark.parametrize("channel", SIDES)
def test_one_side_is_streamed_aligned_and_encoded(recognizer: Recognizer, channel: str) -> None:
    alone = CALL[:, list(SIDES).index(channel)]
    segments = tuple(recognizer.transcribe_stream(CALL, channel=channel))
    assert " ".join(segment.text for segment in segments) == SIDES[channel]
    assert segments == recognizer.transcribe(CALL, channel=channel).segments
    np.testing.assert_array_equal(recognizer.log_probs(CALL, channel=channel), recognizer.log_probs(alone))
    found = recognizer.align(CALL, SIDES[channel], channel=channel)
    assert found.segments == recognizer.align(alone, SIDES[channel]).segments
    assert min(word.score for word in found.words) > 0.5


def test_a_rate_of_ones_own_stands_for_the_headers(recognizer: Recognizer) -> None:
    alone, wrong = CALL[:, 0], (CALL[:, 0], 8_000)
    assert tuple(recognizer.transcribe_stream(wrong, sample_rate=16_000)) == tuple(recognizer.transcribe_stream(alone))
    np.testing.assert_array_equal(recognizer.log_probs(wrong, sample_rate=16_000), recognizer.log_probs(alone))
    aligned = recognizer.align(wrong, "abc a", sample_rate=16_000)
    assert aligned.segments == recognizer.align(alone, "abc a").segments
    assert aligned.audio.sample_rate == 16_000


@pytest.mark.parametrize("timestamps", ["none", "segment"])
def test_the_score_is_known_without_the_times_of_words(recognizer: Recognizer, timestamps) -> None:
    for channel in ("left", "split"):
        deep = recognizer.transcribe(CALL, channel=channel)
        found = recognizer.transcribe(CALL, channel=channel, timestamps=timestamps)
        assert (found.words, found.text) == ((), deep.text)
        assert found.score == pytest.approx(deep.score, abs=1e-3)  # which is of scores with three decimals
        (many,) = recognizer.transcribe_many([CALL], channel=channel, timestamps=timestamps)
        assert many == found


CALLS: list[Callable[..., object]] = [
    lambda model, audio, **options: model.transcribe(audio, **options),
    lambda model, audio, **options: list(model.transcribe_many(audio, **options)),
    lambda model, audio, **options: list(model.transcribe_stream(audio, **options)),
    lambda model, audio, **options: model.log_probs(audio, **options),
    lambda model, audio, **options: model.align(audio, "a", **options),
]


class Untouched:
    """A recording that must not be read."""

    def __iter__(self):
        raise AssertionError("a recording was asked for")

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("a recording was read")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("sample_rate", [0, -5, 999, 800_000, True, "16000", None, 16_000.0])
def test_rates_that_no_recording_has_are_refused_unread(recognizer: Recognizer, call, sample_rate) -> None:
    with pytest.raises(ConfigError, match=r"sample_rate is .*; 1000 to 768000 Hz, auto or header is wanted"):
        call(recognizer, Untouched(), sample_rate=sample_rate)


@pytest.mark.parametrize("call", CALLS)
def test_channels_that_no_recording_has_are_refused_unread(recognizer: Recognizer, call) -> None:
    with pytest.raises(ConfigError, match="channel is 'both'; one of mix, left, right"):
        call(recognizer, Untouched(), channel="both")


@pytest.mark.parametrize("call", CALLS[2:])
def test_what_has_one_text_has_no_split(recognizer: Recognizer, call) -> None:
    with pytest.raises(ConfigError, match="one of mix, left, right is wanted: take one side after the other"):
        call(recognizer, Untouched(), channel="split")


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_batches_without_a_length_are_refused_unread(recognizer: Recognizer, seconds: float) -> None:
    with pytest.raises(ConfigError, match=f"batch_seconds is {seconds}; a number of seconds above 0 is wanted"):
        list(recognizer.transcribe_many(Untouched(), batch_seconds=seconds))
