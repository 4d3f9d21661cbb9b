"""What is no usable recording is refused with an AudioError that names it; no other exception comes out."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.malformed import AMR, PCM, malformed_files, tone, wave_bytes, write_av, write_soundfile
from xlsr.audio import load_audio
from xlsr.errors import AudioError


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.array(0.5), "shape"), (np.zeros((2, 2, 400)), "shape"), (np.zeros(400, np.int64), "int64"),
        (np.zeros(400, complex), "complex128"), (np.zeros((100, 100), np.float32), "100 channels"),
        (np.zeros(0, np.float32), "no samples"), (np.zeros((0, 2), np.float32), "no samples"),
        (np.zeros(399, np.float32), "at least 25 ms"), ((np.zeros(400), 10), "10 Hz"), ((np.zeros(400), 10**6), "Hz"),
        ((np.zeros(400),), "sample rate in Hz"), ((np.zeros(400), "16k"), "sample rate in Hz"),
        (np.full(400, 1e300), "0.000 s"), ([0.0] * 400, "list"), (io.StringIO("a"), "StringIO"), (None, "NoneType"),
        ("a\0b.wav", "null"),
    ],
)  # fmt: skip
def test_what_is_not_a_recording_is_refused(source: object, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        load_audio(source)


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(wave_bytes(PCM))
    file.close()
    with pytest.raises(AudioError, match="closed"):
        load_audio(file)


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AudioError, match=r"a\.wav cannot be read \(Permission denied\)"):
        load_audio(tmp_path / "a.wav")


@pytest.fixture(scope="module")
def malformed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return malformed_files(tmp_path_factory.mktemp("malformed") / "files")


def test_every_malformed_file_is_refused_by_name(malformed: dict[str, Path]) -> None:
    assert len(malformed) >= 40
    accepted = []
    for name, path in malformed.items():
        try:
            load_audio(path)
            accepted.append(name)
        except AudioError as error:
            if str(path) not in str(error):
                accepted.append(f"{name}: {error}")
    assert accepted == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wav truncated", r"truncated: its header says 1\.00 s, only 0\.50 s could be read"),
        ("flac truncated", r"truncated: its header says 4\.00 s, only [012]\.\d\d s"),
        ("mp3 truncated", r"truncated: its header says 4\.0\d s, only 2\.0\d s"),
        ("webm truncated", r"truncated: its header says 4\.0\d s, only 1\.\d\d s"),
        ("nan", r"the first at 0\.500 s"), ("wav of 399 samples", r"24\.9 ms .* at least 25 ms"),
        ("video without sound", "no audio stream"), ("png", "a PNG image"), ("git lfs pointer", "Git LFS"),
    ],
)  # fmt: skip
def test_messages_say_what_was_found(malformed: dict[str, Path], name: str, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        load_audio(malformed[name])


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    write_av(folder / "a.m4a", "aac", "ipod", tone(0.3)[None], 16_000)
    write_av(folder / "a.webm", "libopus", "webm", tone(0.3, 48_000)[None], 48_000)
    for suffix in ("flac", "ogg", "mp3", "aiff"):
        write_soundfile(folder / f"a.{suffix}", tone(0.3), 16_000)
    return [AMR, wave_bytes(PCM), *(path.read_bytes() for path in sorted(folder.iterdir()))]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 7), edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
       end=st.floats(0, 1))  # fmt: skip
def test_damaged_bytes_give_samples_or_an_audio_error(
    seeds: list[bytes], seed: int, edits: list[tuple[float, int]], end: float
) -> None:
    content = bytearray(seeds[seed])
    for place, value in edits:
        content[int(place**3 * (len(content) - 1))] = value  # cubed: mostly in the header
    try:
        waveform = load_audio(bytes(content[: round(end**0.2 * len(content))]))
    except AudioError:
        return
    assert np.isfinite(waveform).all()
