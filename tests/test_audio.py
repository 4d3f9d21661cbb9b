"""Reading: every format, rate, channel count and kind of source gives the same waveform."""

import io
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soxr

from tests.malformed import AMR, PCM, tone, wave_bytes, write_av, write_soundfile
from xlsr.audio import audio_name, load_audio, normalize_waveform, open_audio
from xlsr.errors import AudioError


def loudest_hertz(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform))) * 16_000 / waveform.size)


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._rest.readinto(buffer)


# --- formats, rates, channels


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_16", 2e-4), ("wav", "PCM_24", 1e-6), ("wav", "FLOAT", 1e-7), ("wav", "PCM_U8", 2e-2),
        ("flac", "PCM_16", 2e-4), ("aiff", "PCM_16", 2e-4), ("au", "PCM_16", 2e-4), ("w64", "PCM_16", 2e-4),
        ("caf", "PCM_16", 2e-4),
    ],
)  # fmt: skip
def test_lossless_formats_give_the_samples_back(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float
) -> None:  # tolerance: the quantisation step
    path = write_soundfile(tmp_path / f"a.{suffix}", tone(1.0), 16_000, subtype)
    np.testing.assert_allclose(load_audio(path), tone(1.0), atol=tolerance)


@pytest.mark.parametrize(("suffix", "subtype"), [("mp3", None), ("ogg", "VORBIS"), ("opus", "OPUS"), ("wav", "ULAW")])
def test_lossy_formats_of_soundfile(tmp_path: Path, suffix: str, subtype: str | None) -> None:
    path = write_soundfile(tmp_path / f"a.{suffix}", tone(2.0, 48_000), 48_000, subtype)
    waveform = load_audio(path)
    assert waveform.dtype == np.float32
    assert waveform.size == pytest.approx(32_000, abs=800)
    assert loudest_hertz(waveform) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        ("m4a", "aac", "ipod"), ("mp4", "aac", "mp4"), ("aac", "aac", "adts"), ("mov", "pcm_s16le", "mov"),
        ("webm", "libopus", "webm"), ("mkv", "flac", "matroska"), ("mkv", "libopus", "matroska"),
        ("wma", "wmav2", "asf"), ("caf", "alac", "caf"), ("ts", "mp2", "mpegts"), ("flv", "aac", "flv"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_of_pyav(tmp_path: Path, suffix: str, codec: str, container: str, channels: int) -> None:
    path = tmp_path / f"a.{suffix}"
    write_av(path, codec, container, np.tile(tone(2.0, 48_000), (channels, 1)), 48_000)
    with open_audio(path) as stream:
        assert (stream.sample_rate, stream.channels) == (48_000, channels)
        assert stream.duration is None or stream.duration == pytest.approx(2.0, abs=0.05)
        waveform = np.concatenate(list(stream.blocks()))
    assert waveform.size == pytest.approx(32_000, abs=1_500)  # encoders pad to their frame
    assert loudest_hertz(waveform) == pytest.approx(440, abs=1)


def test_amr_is_read() -> None:
    assert load_audio(AMR).size == 32_000


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channels_equal_one_shot_resampling(tmp_path: Path, rate: int, channels: int) -> None:
    samples = np.stack([tone(1.3, rate, 200.0 * (channel + 1)) for channel in range(channels)], axis=1)
    path = write_soundfile(tmp_path / "a.wav", samples, rate, "FLOAT")
    expected = soxr.resample(samples.mean(axis=1), rate, 16_000)
    with open_audio(path) as stream:
        assert (stream.sample_rate, stream.channels, stream.duration) == (rate, channels, len(samples) / rate)
        waveform = np.concatenate(list(stream.blocks(0.1)))
    assert abs(waveform.size - expected.size) <= 1
    size = min(waveform.size, expected.size)
    np.testing.assert_allclose(waveform[:size], expected[:size], atol=1e-4)  # blocks change nothing audible


def test_left_and_right_are_the_first_and_second_channel(tmp_path: Path) -> None:
    samples = np.stack([tone(1.0), np.zeros(16_000, np.float32)], axis=1)
    path = write_soundfile(tmp_path / "a.wav", samples, 16_000, "FLOAT")
    np.testing.assert_array_equal(load_audio(path, channel="left"), samples[:, 0])
    np.testing.assert_array_equal(load_audio(path, channel="right"), samples[:, 1])
    np.testing.assert_allclose(load_audio(path), samples.mean(axis=1), atol=1e-7)


def test_channels_that_do_not_exist_are_refused() -> None:
    with pytest.raises(AudioError, match="has 1 channel"):
        load_audio(tone(1.0), channel="right")
    with pytest.raises(ValueError, match="channel is 'both'"):
        load_audio(tone(1.0), channel="both")


# --- headers that cannot be trusted


def test_the_content_decides_not_the_extension(tmp_path: Path) -> None:
    for suffix in ("raw", "mp3", "gsm", "txt", "m4a"):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(wave_bytes(PCM))
        assert load_audio(path).size == 16_000
    write_av(tmp_path / "b.mp4", "aac", "mp4", tone(1.0)[None], 16_000)
    (tmp_path / "b.mp4").rename(tmp_path / "b.wav")
    assert load_audio(tmp_path / "b.wav").size >= 16_000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 44, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
def test_wav_from_a_pipe_may_announce_any_length(size: int) -> None:
    header = bytearray(wave_bytes(PCM, data_size=size))
    header[4:8] = struct.pack("<I", 0 if size == 0 else 0xFFFFFFFF)
    assert load_audio(bytes(header)).size == 16_000


def test_flac_of_unknown_length_is_read_whole(tmp_path: Path) -> None:
    content = bytearray(write_soundfile(tmp_path / "a.flac", tone(3.0), 16_000).read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    assert load_audio(bytes(content)).size == 48_000


def test_mp3_of_variable_rate_without_a_xing_tag_is_read_whole(tmp_path: Path) -> None:
    quiet_then_loud = np.concatenate([tone(4.0) * 1e-4, np.random.default_rng(0).normal(0, 0.2, 64_000)])
    path = tmp_path / "a.mp3"
    options = {"container_options": {"write_xing": "0"}, "codec_options": {"global_quality": "236", "flags": "+qscale"}}
    write_av(path, "libmp3lame", "mp3", quiet_then_loud.astype(np.float32)[None], 16_000, **options)
    assert load_audio(path).size == pytest.approx(128_000, abs=3_000)


def test_joined_mp3s_are_read_whole(tmp_path: Path) -> None:
    write_av(tmp_path / "a.mp3", "libmp3lame", "mp3", tone(3.0)[None], 16_000)
    content = (tmp_path / "a.mp3").read_bytes()
    assert load_audio(content).size == pytest.approx(48_000, abs=2_000)
    assert load_audio(content + content).size == pytest.approx(96_000, abs=4_000)
    assert load_audio(content + b"TAG" + bytes(125)).size == pytest.approx(48_000, abs=2_000)


def test_playlists_open_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_soundfile(tmp_path / "good.wav", tone(1.0), 16_000)
    monkeypatch.chdir(tmp_path)
    for script in (b"ffconcat version 1.0\nfile 'good.wav'\n", b"#EXTM3U\n#EXTINF:1,\ngood.wav\n#EXT-X-ENDLIST\n"):
        with pytest.raises(AudioError, match="a playlist"):
            load_audio(script)


# --- blocks


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("seconds", [0.001, 0.025, 0.3, 1.0, 30.0])
def test_blocks_equal_the_whole(tmp_path: Path, rate: int, seconds: float) -> None:
    path = write_soundfile(tmp_path / "a.wav", tone(2.2, rate), rate)
    with open_audio(path) as stream:
        blocks = list(stream.blocks(seconds))
    assert {block.size for block in blocks[:-1]} <= {max(400, round(seconds * 16_000))}
    assert all(block.dtype == np.float32 for block in blocks)
    np.testing.assert_allclose(np.concatenate(blocks), load_audio(path), atol=1e-4)


@pytest.mark.parametrize("suffix", ["wav", "m4a"])
def test_long_files_are_never_held_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"long.{suffix}"
    seconds = {"wav": 300, "m4a": 100}[suffix]  # 29 and 10 MB as float32
    samples = np.tile(tone(10.0, 24_000), seconds // 10)
    if suffix == "wav":
        write_soundfile(path, samples, 24_000)
    else:
        write_av(path, "aac", "ipod", samples[None], 24_000)
    load_audio(tone(1.0))  # load the libraries before measuring
    tracemalloc.start()
    total = 0
    with open_audio(path) as stream:
        for block in stream.blocks(5.0):
            total += block.size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == pytest.approx(seconds * 16_000, abs=2_000)
    assert peak < 4e6


def test_a_stream_is_read_once() -> None:
    stream = open_audio(tone(1.0))
    assert len(list(stream.blocks())) == 1
    with pytest.raises(AudioError, match="open it again"):
        next(stream.blocks())


# --- sources


def test_every_kind_of_source_gives_the_same_waveform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wave_bytes(PCM))
    expected = load_audio(path)
    content = path.read_bytes()
    written = io.BytesIO()
    written.write(content)  # its position is at the end
    for source in (str(path), content, io.BytesIO(content), written, io.BufferedReader(Pipe(content)), Pipe(content)):
        np.testing.assert_array_equal(load_audio(source), expected)
    for stdin in (io.BytesIO(content), io.BufferedReader(Pipe(content))):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        np.testing.assert_array_equal(load_audio("-"), expected)
    samples = np.frombuffer(PCM, "<i2")
    for array in (samples, samples.astype(np.int32) * 65_536, samples / 32_768, (samples, 16_000)):
        np.testing.assert_allclose(load_audio(array), expected, atol=1e-7)


@pytest.mark.parametrize("container", ["ipod", "matroska"])
def test_pyav_reads_bytes_and_pipes(tmp_path: Path, container: str) -> None:
    write_av(tmp_path / "a", "aac", container, tone(1.0)[None], 16_000)
    content = (tmp_path / "a").read_bytes()
    expected = load_audio(tmp_path / "a")
    np.testing.assert_array_equal(load_audio(content), expected)
    np.testing.assert_array_equal(load_audio(Pipe(content)), expected)


def test_the_callers_file_stays_open() -> None:
    for content in (wave_bytes(PCM), AMR):
        file = io.BytesIO(content)
        load_audio(file)
        assert not file.closed


def test_arrays_of_two_axes_are_read_either_way_round() -> None:
    stereo = np.stack([tone(1.0), -0.5 * tone(1.0)])
    np.testing.assert_allclose(load_audio(stereo), stereo.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(load_audio(stereo.T), stereo.mean(axis=0), atol=1e-7)
    assert load_audio((stereo, 8_000)).size == 32_000


def test_unsigned_bytes_are_centred() -> None:
    np.testing.assert_array_equal(load_audio(np.full(400, 128, np.uint8)), np.zeros(400, np.float32))
    assert load_audio(np.zeros(400, np.uint8))[0] == -1.0


def test_names_in_messages(tmp_path: Path) -> None:
    with open(tmp_path / "a.wav", "wb+") as file:
        assert audio_name(file) == str(tmp_path / "a.wav")
    assert audio_name(tmp_path / "a.wav") == str(tmp_path / "a.wav")
    sources = ("-", b"", np.zeros(1), (np.zeros(1), 8_000), io.BytesIO())
    assert [audio_name(source) for source in sources] == ["<stdin>", "<bytes>", "<array>", "<array>", "<file>"]


# --- waveforms


def test_silence_stays_silence() -> None:
    waveform = load_audio((np.zeros(44_100, np.int16), 44_100))
    assert waveform.size == 16_000
    np.testing.assert_array_equal(normalize_waveform(waveform), np.zeros(16_000, np.float32))


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-4, 0.0), (0.1, 0.5), (1e4, -3e4)])
def test_normalized_waveforms_have_zero_mean_and_unit_variance(scale: float, offset: float) -> None:
    waveform = tone(3.0) * np.float32(scale) + np.float32(offset)
    exact = waveform.astype(np.float64)
    exact = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-7)
    found = normalize_waveform(waveform)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=1e-6)  # float32 keeps seven digits


def test_normalized_waveforms_equal_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is the oracle of normalize_waveform")
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    expected = extractor(tone(3.0), sampling_rate=16_000, return_tensors="np").input_values[0]
    np.testing.assert_allclose(normalize_waveform(tone(3.0)), expected, atol=1e-6)


def test_normalizing_keeps_empty_and_refuses_batches() -> None:
    assert normalize_waveform(np.zeros(0, np.float32)).size == 0
    with pytest.raises(ValueError, match="shape"):
        normalize_waveform(np.zeros((2, 400), np.float32))


def test_importing_loads_no_decoder() -> None:
    check = "import sys, xlsr.audio; sys.exit(bool({'av', 'soundfile', 'soxr', 'tempfile'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
