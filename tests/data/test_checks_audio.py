"""Recordings: what is measured equals the whole computed at once, and each fault is told alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.malformed import tone, write_soundfile
from xlsr.data.checks_audio import Measurement, Meter, audio_findings, failure_finding, measure_rows
from xlsr.data.manifest import Utterance, load_utterance
from xlsr.data.rows import Row
from xlsr.errors import AudioError

RATE = 16_000


def row(path: Path, duration: float, **content) -> Row:
    return Row(1, b"", Utterance(path, duration, offset=content.get("offset", 0.0)), content)


def measure(samples: np.ndarray) -> Measurement:
    meter = Meter()
    meter.take(np.asarray(samples, np.float32))
    return meter.measure(len(samples) / RATE, RATE)


def codes(samples: np.ndarray) -> set[str]:
    measured = measure(samples)
    return {finding.code for finding in audio_findings([(row(Path("a.wav"), measured.seconds), measured)], set())}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_blocks_measure_what_the_whole_does(sizes: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, sum(sizes)).astype(np.float32)
    meter = Meter()
    for part in np.split(samples, np.cumsum(sizes)[:-1]):
        meter.take(part)
    blocks, whole = meter.measure(1.0, RATE), measure(samples)
    assert (blocks.content, blocks.seconds, blocks.peak) == (whole.content, whole.seconds, whole.peak)
    assert blocks.loudest_db == pytest.approx(whole.loudest_db, abs=1e-9)  # the same frames in the same order
    assert blocks.offset == pytest.approx(float(samples.mean(dtype=np.float64)), abs=1e-9)
    assert blocks.sound_share == whole.sound_share


def test_levels_are_those_of_the_definition() -> None:
    sine = 0.5 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    measured = measure(np.concatenate([sine + 0.01, np.full(3 * RATE, 0.01)]))
    assert measured.loudest_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)  # frames of whole periods
    assert measured.sound_share == pytest.approx(0.25)
    assert measured.offset == pytest.approx(0.01, abs=1e-6)  # of float32
    assert measured.peak == pytest.approx(0.51, abs=1e-3)


@pytest.mark.parametrize("num_samples", [0, 1, 319, 320, 400])
def test_the_shortest_recordings_are_measured(num_samples: int) -> None:
    measured = measure(np.full(num_samples, 0.0))
    assert measured.silent
    assert measured.clipped_share == 0
    if num_samples > 1:
        assert not measure(tone(1.0)[:num_samples]).silent


def test_silence_is_told_and_a_whisper_is_not() -> None:
    rng = np.random.default_rng(0)
    assert codes(np.zeros(RATE)) == {"silent_audio"}
    assert codes(np.full(RATE, 0.3)) == {"silent_audio"}  # a constant is no sound
    assert codes(rng.standard_normal(RATE) * 2**-15) == {"silent_audio"}  # dither of 16 bits
    assert codes(rng.standard_normal(RATE) * 0.002) == set()


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.2])
def test_cut_off_peaks_are_told_at_any_scale(scale: float) -> None:
    rng = np.random.default_rng(0)
    speech = np.convolve(rng.standard_normal(4 * RATE), np.hanning(40), "same")  # runs, as speech has
    speech /= np.abs(speech).max()
    assert codes(scale * speech) == set()
    assert codes(scale * np.clip(3 * speech, -1, 1)) == {"clipped_audio"}
    assert codes(scale * np.clip(3 * speech, -2, 1)) == {"clipped_audio"}  # on one side only


def test_a_sine_is_not_clipped() -> None:
    assert codes(tone(2.0)) == set()


def test_an_offset_is_told() -> None:
    assert codes(tone(1.0) + 0.05) == {"dc_offset"}
    assert codes(tone(1.0) - 0.05) == {"dc_offset"}
    assert codes(tone(1.0) + 0.005) == set()


def test_hardly_any_sound_is_told() -> None:
    def padded(seconds: float) -> np.ndarray:
        return np.concatenate([np.zeros(5 * RATE), tone(seconds), np.zeros(5 * RATE)])

    assert codes(padded(0.3)) == {"mostly_silence"}
    assert codes(padded(1.5)) == set()


def lengths(tmp_path, seconds: float, stated: float, *, rate: int = RATE, **content) -> list[tuple[str, str]]:
    path = write_soundfile(tmp_path / "a.wav", tone(seconds, rate), rate)
    ((listed, heard),) = measure_rows([row(path, stated, **content)], threads=1)
    assert isinstance(heard, Measurement)
    whole = set() if "offset" in content else {path}
    return [(finding.code, finding.severity) for finding in audio_findings([(listed, heard)], whole)]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (3.0, []),
        (3.05, []),
        (2.95, []),
        (1.5, [("wrong_rate", "warning")]),
        (6.0, [("wrong_rate", "warning")]),
        (3.0 * 44_100 / 48_000, [("wrong_rate", "warning")]),
        (3.0 * 22_050 / 16_000, [("wrong_rate", "warning")]),
        (3.6, [("truncated_audio", "warning")]),
        (2.5, [("wrong_duration", "warning")]),
    ],
)
def test_a_stated_duration_is_held_against_the_recording(tmp_path, stated: float, expected) -> None:
    assert lengths(tmp_path, 3.0, stated) == expected


def test_a_segment_may_be_shorter_than_its_recording(tmp_path) -> None:
    assert lengths(tmp_path, 3.0, 1.5, offset=0) == []
    assert lengths(tmp_path, 3.0, 1.0, offset=2.0) == []
    assert lengths(tmp_path, 3.0, 2.0, offset=2.0) == [("truncated_audio", "warning")]


def test_another_stated_rate_is_a_note_where_durations_agree(tmp_path) -> None:
    paths = [write_soundfile(tmp_path / f"{n}.wav", tone(1.0), RATE) for n in range(3)]
    stated = [Row(n, b"", Utterance(path, 1.0, sample_rate=rate), {})
              for n, (path, rate) in enumerate(zip(paths, (RATE, RATE, 8_000), strict=True), 1)]  # fmt: skip
    found = audio_findings(list(measure_rows(stated, threads=2)), set(paths))
    assert [(f.code, f.severity, f.line) for f in found] == [("wrong_rate", "note", 3)]
    originals = [Row(n, b"", Utterance(path, 1.0, sample_rate=48_000), {}) for n, path in enumerate(paths, 1)]
    found = audio_findings(list(measure_rows(originals, threads=2)), set(paths))
    assert [(f.code, f.severity, f.line) for f in found] == [("wrong_rate", "note", None)]


def test_failures_have_the_name_of_their_cause(tmp_path) -> None:
    broken = tone(1.0)
    broken[5_000] = np.nan
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, broken, RATE, "FLOAT")
    cut = write_soundfile(tmp_path / "cut.wav", tone(1.0), RATE)
    cut.write_bytes(cut.read_bytes()[:20_000])
    cut_ogg = write_soundfile(tmp_path / "cut.opus", tone(3.0), RATE, "OPUS")
    cut_ogg.write_bytes(cut_ogg.read_bytes()[: cut_ogg.stat().st_size // 2])
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    whole = write_soundfile(tmp_path / "whole.wav", tone(1.0), RATE)
    cases = {
        "nan_audio": [row(nan, 1.0)],
        "truncated_audio": [row(cut, 1.0), row(cut_ogg, 3.0), row(whole, 1.0, offset=5.0)],
        "unreadable_audio": [
            row(tmp_path / "gone.wav", 1.0),
            row(text, 1.0),
            row(tmp_path, 1.0),
            row(tmp_path / ("long" * 100), 1.0),
            row(tmp_path / "null\0", 1.0),
        ],
    }
    for code, rows in cases.items():
        for listed in rows:
            ((_, error),) = measure_rows([listed], threads=1)
            assert isinstance(error, AudioError)
            assert failure_finding(listed, error).code == code, listed.utterance.audio


@pytest.mark.parametrize(("offset", "duration"), [(0.0, 1.0), (0.0, 0.96), (0.0, 0.5), (0.25, 0.5), (0.5, 2.0)])
def test_a_row_is_measured_over_the_samples_that_training_reads(tmp_path, offset: float, duration: float) -> None:
    path = write_soundfile(tmp_path / "a.wav", tone(1.0), RATE)
    listed = row(path, duration, offset=offset)
    ((_, heard),) = measure_rows([listed], threads=1)
    assert isinstance(heard, Measurement)
    assert heard.content == measure(load_utterance(listed.utterance)).content


def test_each_channel_of_a_recording_is_measured_by_itself(tmp_path) -> None:
    stereo = np.stack([tone(1.0), np.zeros(RATE, np.float32)], axis=1)
    path = write_soundfile(tmp_path / "stereo.wav", stereo, RATE)
    rows = [Row(n, b"", Utterance(path, 1.0, channel=channel), {}) for n, channel in enumerate((0, 1, None, 5), 1)]
    heard = {listed.line: result for listed, result in measure_rows(rows, threads=2)}
    assert [heard[line].silent for line in (1, 2, 3)] == [False, True, False]
    assert heard[3].peak == pytest.approx(heard[1].peak / 2, abs=1e-4)  # of 16 bits
    assert isinstance(heard[4], AudioError)


def test_noises_and_rooms_need_no_speech() -> None:
    padded = measure(np.concatenate([tone(0.1), np.zeros(3 * RATE)]))
    for kind, expected in ((None, ["mostly_silence"]), ("rir", []), ("noise", [])):
        listed = Row(1, b"", Utterance(Path("a.wav"), padded.seconds, kind=kind), {})
        assert [finding.code for finding in audio_findings([(listed, padded)], set())] == expected
