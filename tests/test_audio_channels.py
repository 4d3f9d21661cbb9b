"""The parts of a recording: its channels, each read by itself, from files, arrays and pipes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.test_audio import Pipe
from xlsr.audio import open_audio
from xlsr.audio.channels import Channel, parts_of
from xlsr.errors import AudioError
from xlsr.recorded import AudioInfo
from xlsr.results import Segment, Transcript, Word, merge_channels, with_timestamps


def channels(count: int, seconds: float = 0.5) -> np.ndarray:
    """(samples, count): each a constant of its own."""
    return np.tile(np.linspace(0.1, 0.4, count, dtype=np.float32), (round(16_000 * seconds), 1))


def wav(samples: np.ndarray) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, 16_000, format="WAV", subtype="FLOAT")
    return content.getvalue()


def unheard(waveform: np.ndarray) -> float:
    raise AssertionError("no model is asked about what is no speech")


def levels(source, channel: Channel = "split") -> list[float]:
    """The mean of every part, read to its end."""
    with parts_of(source, channel, "auto", unheard) as parts:
        found = []
        for part in parts:
            with part.open(unheard) as stream:
                found.append(float(np.concatenate(list(stream.blocks())).mean()))
        return [round(level, 3) for level in found]


@pytest.mark.parametrize("kind", ["path", "bytes", "array", "file", "pipe"])
def test_channels_are_read_apart_from_every_kind_of_source(tmp_path: Path, kind: str) -> None:
    samples = channels(2)
    content = wav(samples)
    (tmp_path / "a.wav").write_bytes(content)
    sources = {
        "path": tmp_path / "a.wav", "bytes": content, "array": samples,
        "file": io.BytesIO(content), "pipe": Pipe(content),
    }  # fmt: skip
    assert levels(sources[kind]) == [0.1, 0.4]


@pytest.mark.parametrize(
    ("count", "channel", "wanted"),
    [
        (1, "split", [0.1]), (3, "split", [0.1, 0.25, 0.4]), (8, "split", np.linspace(0.1, 0.4, 8).round(3).tolist()),
        (2, "mix", [0.25]), (3, "mix", [0.25]), (2, "left", [0.1]), (2, "right", [0.4]), (1, "left", [0.1]),
    ],
)  # fmt: skip
def test_one_two_and_more_channels(count: int, channel: Channel, wanted: list[float]) -> None:
    assert levels(wav(channels(count)), channel) == wanted


def test_a_channel_that_is_not_there_is_named() -> None:
    with pytest.raises(AudioError, match="has 1 channel; channel='right' wants 2"):
        levels(wav(channels(1)), "right")
    with pytest.raises(AudioError, match="has 2 channels; channel=3 wants 3"):
        open_audio(wav(channels(2)), channel=3)
    for channel in ("both", 0, -1):
        with pytest.raises(ValueError, match="or a number from 1, is wanted"):
            open_audio(wav(channels(2)), channel=channel)


def test_a_recording_that_cannot_be_read_is_one_part_that_fails_when_opened() -> None:
    with parts_of(b"no sound", "split", "auto", unheard) as parts:
        assert len(parts) == 1
        with pytest.raises(AudioError, match="not a recording"):
            parts[0].open(unheard)


def test_a_pipe_keeps_its_name() -> None:
    pipe = Pipe(wav(channels(2)))
    pipe.name = "line 1"
    with parts_of(pipe, "split", "auto", unheard) as parts, parts[1].open(unheard) as stream:
        assert stream.name == "line 1"


@pytest.mark.parametrize("sample_rate", [999, 800_000])
def test_sample_rates_that_no_recording_has_are_refused(sample_rate: int) -> None:
    with pytest.raises(ValueError, match=f"sample_rate is {sample_rate} Hz; 1000 to 768000 is wanted"):
        open_audio(wav(channels(1)), sample_rate=sample_rate)


def test_a_sample_rate_of_ones_own_stands_for_the_headers() -> None:
    with open_audio(wav(channels(1)), sample_rate=8_000) as stream:
        assert (stream.sample_rate, stream.duration) == (8_000, 1.0)
        assert sum(len(block) for block in stream.blocks()) == pytest.approx(16_000, abs=2)


# merging


def said(*starts_and_texts: tuple[float, str], name: str = "call.wav") -> Transcript:
    segments = tuple(
        Segment(number, start, start + 1, text, words=(Word(text, start, start + 1),))
        for number, (start, text) in enumerate(starts_and_texts)
    )
    return Transcript(
        " ".join(text for _, text in starts_and_texts), "eng", segments, 5.0, AudioInfo(name, 8_000, 2), "tiny"
    )


def test_channels_are_merged_by_time_and_keep_their_number() -> None:
    merged = merge_channels([said((0.5, "hello"), (3.0, "who is it")), said((1.2, "yes"), (3.0, "me"))])
    assert [(s.id, s.start, s.text, s.channel) for s in merged.segments] == [
        (0, 0.5, "hello", 1), (1, 1.2, "yes", 2), (2, 3.0, "who is it", 1), (3, 3.0, "me", 2),
    ]  # fmt: skip
    assert merged.text == "hello yes who is it me"
    assert (merged.language, merged.duration, merged.audio.channels, merged.model) == ("eng", 5.0, 2, "tiny")
    assert with_timestamps(merged, "segment").segments[1].channel == 2


def test_one_channel_and_equal_channels_are_not_numbered() -> None:
    one = said((0.5, "hello"))
    assert merge_channels([one]) == one
    assert merge_channels([one, one]) == one


def test_the_score_of_a_call_counts_the_words_of_its_sides() -> None:
    sides = [
        replace(with_timestamps(said((0.5, text)), "segment"), score=score)
        for text, score in (("a b c", 0.5), ("d", 0.9))
    ]
    assert merge_channels(sides).score == pytest.approx((3 * 0.5 + 0.9) / 4)
    assert merge_channels([sides[0], said((1.0, "d"))]).score == 0.5


def test_a_silent_channel_says_nothing() -> None:
    merged = merge_channels([said((0.5, "hello")), said()])
    assert [(s.text, s.channel) for s in merged.segments] == [("hello", 1)]
