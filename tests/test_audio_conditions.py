"""What a recording sounds like: band, clipping, offset and loudness, by definition and on real speech."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from xlsr.audio import open_audio
from xlsr.audio.conditions import Heard, flat_tops
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.recorded import AudioInfo, join_channels


def hear(source, **options) -> AudioInfo:
    heard = Heard(open_audio(source, **options))
    assert sum(block.size for block in heard) == heard.samples
    return heard.info


def sine(hertz: float, seconds: float = 5.0, level: float = 1.0, rate: int = 48_000) -> tuple[np.ndarray, int]:
    samples = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return samples.astype(np.float32), rate


@pytest.fixture(scope="module")
def voices(corpora) -> list[np.ndarray]:
    """Ten sentences of seven readers, full band, 16 kHz."""
    manifest = corpora / "librispeech_test_other_part" / "manifest.jsonl"
    return [load_utterance(utterance)[:160_000] for utterance in read_manifest(manifest)[::7]]


# band


def test_voices_of_full_band_have_it(voices) -> None:
    assert [hear(voice).bandwidth_hertz for voice in voices] == [8_000] * len(voices)


@pytest.mark.parametrize(("rate", "lowest", "highest"), [(8_000, 3_600, 4_000), (11_025, 5_100, 5_500)])
@pytest.mark.parametrize("quality", ["VHQ", "LQ"])
def test_a_narrow_recording_in_a_wide_file_is_found(voices, rate: int, lowest: int, highest: int, quality: str) -> None:
    for voice in voices:
        again = soxr.resample(soxr.resample(voice, 16_000, rate), rate, 16_000, quality=quality)
        stored = np.round(again * 32_768) / 32_768  # 16 bits, whose noise fills the whole band
        assert lowest <= hear(stored.astype(np.float32)).bandwidth_hertz <= highest


def test_a_telephone_in_a_wide_file_is_noted_and_in_its_own_is_none(voices) -> None:
    for rate, is_noted in ((8_000, True), (11_025, False)):
        for voice in voices[:4]:
            narrow = soxr.resample(voice, 16_000, rate)
            assert hear((narrow, rate)).notes == hear(voice).notes == ()
            for wide in (16_000, 44_100):
                info = hear((soxr.resample(narrow, rate, wide), wide))
                assert any(f"nothing above {info.bandwidth_hertz} Hz" in note for note in info.notes) == is_noted


def test_the_band_of_a_telephone_is_found_at_its_own_rate(corpora) -> None:
    for utterance in read_manifest(corpora / "telephone_simulated" / "manifest.jsonl")[::5]:
        info = hear(utterance.audio)
        assert (info.sample_rate, info.channels) == (8_000, 1)
        assert 3_300 <= info.bandwidth_hertz <= 4_000


def test_the_low_pass_of_mp3_does_not_matter(voices, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, soxr.resample(voices[0], 16_000, 44_100), 44_100, format="MP3")
    assert hear(path).bandwidth_hertz == 8_000


@pytest.mark.parametrize("source", [sine(440), sine(3_000, level=0.01), sine(100)], ids=["440", "3000", "100"])
def test_a_tone_has_no_edge(source) -> None:
    assert hear(source).bandwidth_hertz == 8_000


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_the_band_and_level_of_silence_are_unknown(level: float) -> None:
    silence = level * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    info = hear(silence)
    assert (info.bandwidth_hertz, info.loudness_db, info.notes) == (None, None, ("it is silent",))


# loudness: ITU-R BS.1770, and the cases of EBU Tech 3341 within 0.1; within 0.3 where blocks that do not overlap matter


def test_a_full_tone_of_997_hertz_has_minus_3_lufs() -> None:
    assert hear(sine(997)).loudness_db == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_loudness_follows_the_level(level: float) -> None:
    # 1 kHz in one channel: 3 dB below the stereo tone of case 1 and 2
    assert hear(sine(1_000, 20, 10 ** (level / 20))).loudness_db == pytest.approx(level - 3.01, abs=0.1)


def test_quiet_stretches_are_gated() -> None:
    parts = [sine(1_000, seconds, 10 ** (level / 20))[0] for seconds, level in ((5, -36), (15, -23), (5, -36))]
    assert hear((np.concatenate(parts), 48_000)).loudness_db == pytest.approx(-26.0, abs=0.3)  # case 3
    parts[0:0] = [sine(1_000, 5, 10 ** (-72 / 20))[0]]
    assert hear((np.concatenate(parts), 48_000)).loudness_db == pytest.approx(-26.0, abs=0.3)  # case 4


def test_high_frequencies_weigh_more_and_low_ones_less() -> None:
    levels = [hear(sine(hertz, rate=16_000)).loudness_db for hertz in (30, 997, 4_000)]
    # The second filter of annex 1 is a high-pass of two equal poles at 38.1 Hz: -8.4 dB at 30 Hz. The first gives 4 dB
    # at high frequencies, and 0.7 at 997 Hz.
    assert levels[0] == pytest.approx(-0.69 - 3.01 + 20 * np.log10(30**2 / (30**2 + 38.1**2)), abs=0.5)
    assert levels[2] - levels[1] == pytest.approx(4.0 - 0.7, abs=0.2)


# clipping and offset


def test_flat_tops_are_runs_of_three_near_the_peak() -> None:
    samples = np.array([0, 1, 1, 0, 1, 1, 1, 0, -1, -1, -1, -1, 0.5, 0.5, 0.5, 1, -1, 1], np.float32)
    assert flat_tops(samples) == (1.0, 7)
    assert flat_tops(np.zeros(10, np.float32)) == (0.0, 0)
    assert flat_tops(np.ones(4, np.float32)) == (1.0, 4)
    assert flat_tops(samples, 48_000) == (1.0, 0)  # the same time is nine samples


def test_flat_tops_equal_a_plain_count() -> None:
    for seed in range(20):
        samples = np.clip(np.random.default_rng(seed).standard_normal(300), -0.6, 0.7).astype(np.float32)
        peak, count, run = float(np.abs(samples).max()), 0, 0
        for now, after in zip(samples, [*samples[1:], np.float32(0)], strict=True):
            run = run + 1 if abs(now) >= 0.995 * peak else 0
            if run and not (abs(after) >= 0.995 * peak and np.sign(after) == np.sign(now)):
                count += run if run >= 3 else 0
                run = 0
        assert flat_tops(samples) == (peak, count)


def test_clipped_voices_are_told_from_others(voices) -> None:
    for voice in voices:
        assert hear(voice).clipped < 0.001
        peak = np.abs(voice).max()
        info = hear(np.clip(voice, -peak / 4, peak / 4) / peak)  # at a quarter of its peak, in a quiet file
        assert info.clipped > 0.001
        assert "of its samples are clipped" in info.notes[0]


def test_a_later_peak_takes_back_what_was_flat_below_it() -> None:
    quiet, loud = np.clip(sine(100, 2, rate=16_000)[0], -0.5, 0.5), sine(100, 2, rate=16_000)[0]
    assert hear(quiet).clipped > 0.1
    assert hear(np.concatenate([quiet, loud])).clipped < 0.05
    assert hear(np.concatenate([loud, quiet])).clipped < 0.05


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_the_coarse_steps_of_telephone_codecs_are_no_clipping(voices, subtype: str) -> None:
    for voice in voices[:4]:
        content = io.BytesIO()
        narrow = soxr.resample(voice / np.abs(voice).max() * 0.9, 16_000, 8_000)
        soundfile.write(content, narrow, 8_000, format="WAV", subtype=subtype)
        assert hear(content.getvalue()).clipped < 0.001


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_the_offset_is_the_mean_of_the_source(rate: int) -> None:
    noise = np.random.default_rng(0).standard_normal(3 * rate).astype(np.float32) / 20
    noise -= noise.mean()
    assert hear((noise + np.float32(0.05), rate)).dc_offset == pytest.approx(0.05, abs=1e-5)
    assert hear((noise + np.float32(0.05), rate)).notes == ("its mean sample is +0.050, and 0 is wanted",)
    assert hear((noise + np.float32(0.01), rate)).notes == ()


# streams


def test_what_is_known_does_not_depend_on_the_length_of_short_recordings(voices) -> None:
    for size in (400, 800, 1_024, 5_000):
        info = hear(voices[0][20_000 : 20_000 + size])
        assert info.bandwidth_hertz is not None
        assert info.loudness_db == pytest.approx(-20, abs=15)


def test_a_long_recording_has_the_conditions_of_its_parts(voices) -> None:
    once = np.concatenate(voices)
    info, again = hear(once), hear(np.tile(once, 4))
    assert again.bandwidth_hertz == info.bandwidth_hertz
    assert again.loudness_db == pytest.approx(info.loudness_db, abs=1.5)  # a quarter of it is measured
    assert again.dc_offset == pytest.approx(info.dc_offset, abs=1e-5)


def test_what_is_known_grows_while_a_recording_is_read(voices) -> None:
    silence_first = np.concatenate([np.zeros(480_000, np.float32), *voices])
    heard = Heard(open_audio(silence_first))
    blocks = iter(heard)
    next(blocks)
    assert (heard.duration, heard.info.loudness_db) == (29.98, None)
    assert sum(1 for _ in blocks)
    assert heard.info.loudness_db == pytest.approx(-22, abs=3)


def test_samples_pass_unchanged(voices) -> None:
    np.testing.assert_array_equal(np.concatenate(list(Heard(open_audio(voices[0])))), voices[0])


def test_an_assumed_rate_is_noted() -> None:
    assert hear(sine(200, rate=8_000), sample_rate=16_000).notes == (
        "its header says 8000 Hz; it is read at 16000 Hz, and times are those of 16000 Hz",
    )


def test_channels_are_joined_by_the_widest_the_loudest_and_the_worst() -> None:
    left = AudioInfo("a", 8_000, 2, 3_900, 0.0, -0.03, -30.0, ("its mean sample is -0.030, and 0 is wanted",))
    right = AudioInfo("a", 8_000, 2, None, 0.2, 0.01, None)
    assert join_channels([left, right]) == AudioInfo(
        "a", 8_000, 2, 3_900, 0.2, -0.03, -30.0, ("channel 1: its mean sample is -0.030, and 0 is wanted",)
    )
