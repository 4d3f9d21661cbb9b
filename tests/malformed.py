"""Recordings that are broken in one way each, for every test that must see them refused by name.

Knows how to damage files; asserts nothing. `malformed_files` is for audio tests, the command line and the server alike.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> NDArray[np.float32]:
    """Return (samples,) float32 of a sine with a little noise, so that no codec may shrink it to nothing."""
    at = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(at.size)
    return (0.3 * np.sin(2 * np.pi * hertz * at) + 0.01 * noise).astype(np.float32)


def wave_bytes(body: bytes, *, rate: int = RATE, channels: int = 1, data_size: int | None = None) -> bytes:
    """Return a 16-bit WAV file around `body`; `data_size` overrides what its header announces."""
    size = len(body) if data_size is None else data_size
    byte_rate, align = min(2 * channels * rate, 0xFFFFFFFF), 2 * channels & 0xFFFF
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, byte_rate, align, 16)
    head = struct.pack("<4sI4s", b"RIFF", (size + 36) & 0xFFFFFFFF, b"WAVE")
    return head + layout + struct.pack("<4sI", b"data", size) + body


PCM = (tone(1.0) * 32_767).astype("<i2").tobytes()  # one second
AMR = b"#!AMR\n" + (b"\x3c" + bytes(31)) * 100  # two seconds of 12.2 kbit/s frames; no encoder is at hand


def write_soundfile(path: Path, samples: NDArray[np.float32], rate: int, subtype: str | None = None) -> Path:
    """Write (samples,) or (samples, channels) with soundfile, in the format of the suffix; return the path."""
    container = {".opus": "OGG", ".ogg": "OGG"}.get(path.suffix)
    soundfile.write(path, samples, rate, subtype, format=container)
    return path


def write_av(
    path: Path, codec: str, container: str, samples: NDArray[np.float32], rate: int, **options: dict[str, str]
) -> None:
    """Encode (channels, samples) float32 with PyAV; options are `container` and `codec` options of FFmpeg."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    with av.open(str(path), "w", format=container, options=options.get("container_options", {})) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout, options=options.get("codec_options", {}))
        stream.bit_rate = 96_000  # not every codec has a default
        stream.open()
        resampler = av.AudioResampler(stream.format.name, layout, rate, frame_size=stream.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
        frame.sample_rate = rate
        frame.pts = 0
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(ready))
        file.mux(stream.encode(None))


def write_video(path: Path) -> None:
    """Write five grey pictures as MP4 without sound."""
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), "rgb24")))
        file.mux(stream.encode(None))


def malformed_files(folder: Path) -> dict[str, Path]:
    """Write one file for each way to be unusable.

    Returns:
        What is wrong -> path. The file "missing" does not exist, "folder" is one.
    """
    files = {name: folder / f"{name}.{suffix}" for name, suffix in (("missing", "wav"), ("folder", "wav"))}
    files["folder"].mkdir(parents=True)
    for name, suffix, content in [*_not_audio(), *_bad_waves()]:
        files[name] = folder / f"{name}.{suffix}"
        files[name].write_bytes(content)
    files["zip"] = folder / "zip.wav"
    with zipfile.ZipFile(files["zip"], "w") as archive:
        archive.writestr("a.wav", wave_bytes(b"\0" * 3200))
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        samples = tone(1.0)
        samples[8_000] = value
        files[name] = folder / f"{name}.wav"
        soundfile.write(files[name], samples, RATE, subtype="FLOAT")
    files["video without sound"] = folder / "video.mp4"
    write_video(files["video without sound"])
    files.update(_truncated(folder))
    return files


def _not_audio() -> list[tuple[str, str, bytes]]:
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    return [
        ("empty", "wav", b""),
        ("one byte", "wav", b"R"),
        ("text", "wav", b"das ist keine Aufnahme, sondern Text\n" * 40),
        ("json", "flac", b'{"audio": "a.wav", "text": "hello"}\n'),
        ("html", "mp3", b"<!DOCTYPE html><html><body>404 not found</body></html>"),
        ("git lfs pointer", "wav", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"),
        ("png", "mp3", b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 8, 8, 8, 2, 0, 0, 0) + bytes(64)),
        ("random bytes", "wav", np.random.default_rng(1).bytes(20_000)),
        ("zeros", "wav", bytes(20_000)),
        ("playlist", "m4a", playlist),
        ("concat script", "wav", b"ffconcat version 1.0\nfile 'good.wav'\n"),
        ("riff webp", "wav", b"RIFF" + struct.pack("<I", 4096) + b"WEBPVP8 " + bytes(4084)),
        ("riff avi", "wav", b"RIFF" + struct.pack("<I", 4096) + b"AVI LIST" + bytes(4084)),
        ("mp3 garbage", "mp3", b"ID3\x04\0\0\0\0\0\0" + np.random.default_rng(2).bytes(5_000)),
    ]


def _bad_waves() -> list[tuple[str, str, bytes]]:
    return [
        ("wav header only", "wav", wave_bytes(b"", data_size=32_000)),
        ("wav half a header", "wav", wave_bytes(PCM)[:30]),
        ("wav without samples", "wav", wave_bytes(b"")),
        ("wav of 399 samples", "wav", wave_bytes(PCM[: 2 * 399])),
        ("wav truncated", "wav", wave_bytes(PCM)[:16_000]),
        ("wav of rate 0", "wav", wave_bytes(PCM, rate=0)),
        ("wav of rate 10", "wav", wave_bytes(PCM, rate=10)),
        ("wav of rate 4 GHz", "wav", wave_bytes(PCM, rate=4_000_000_000)),
        ("wav of 65535 channels", "wav", wave_bytes(PCM, channels=65_535)),
        ("wav of 100 channels", "wav", wave_bytes(PCM, channels=100)),
        ("wav of 0 channels", "wav", wave_bytes(PCM, channels=0)),
    ]


def _truncated(folder: Path) -> dict[str, Path]:
    """Write a recording of 4 s in each format and cut it in half; MP3 and FLAC also after their headers."""
    formats = {"flac": "FLAC", "ogg": "VORBIS", "opus": "OPUS", "mp3": "MP3", "aiff": "AIFF", "au": "AU", "w64": "W64"}
    files = {}
    for suffix, codec in formats.items():
        path = files[f"{suffix} truncated"] = folder / f"truncated.{suffix}"
        ogg = codec in ("VORBIS", "OPUS")
        rate = 48_000 if ogg else 44_100
        soundfile.write(path, tone(4.0, rate), rate, codec if ogg else None, format="OGG" if ogg else codec)
    # The index of an MP4 lies at the end unless it is moved: a cut one has none, or promises more than there is.
    for name, codec, container, options in (
        ("m4a", "aac", "ipod", {}),
        ("mp4", "aac", "mp4", {"movflags": "faststart"}),
        ("webm", "libopus", "webm", {}),
        ("mkv", "flac", "matroska", {}),
    ):
        path = files[f"{name} truncated"] = folder / f"truncated.{name}"
        write_av(path, codec, container, tone(4.0, 48_000)[None], 48_000, container_options=options)
    for path in files.values():
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    for suffix, name in (("mp3", "mp3 truncated"), ("flac", "flac truncated")):
        path = folder / f"head.{suffix}"
        path.write_bytes(files[name].read_bytes()[:300])
        files[f"{suffix} head only"] = path
    whole = folder / "corrupted.flac"
    soundfile.write(whole, tone(4.0), RATE)
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2_000] = bytes(2_000)
    whole.write_bytes(content)
    files["flac corrupted"] = whole
    return files
