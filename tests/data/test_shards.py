"""Shards give the audio of the files, bit for bit, by name and from front to back; hostile archives are refused."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.damage import mutants, mutate, spend
from tests.data import layouts
from tests.malformed import tone, write_soundfile
from xlsr.data.archives import MAX_MEMBER_BYTES
from xlsr.data.loading import read_header
from xlsr.data.manifest import Interval, Utterance, load_utterance
from xlsr.data.shards import stream_shard, write_shards
from xlsr.errors import AudioError, ManifestError

LOSSLESS = [
    (".wav", "PCM_16", 16_000, ".flac"), (".wav", "PCM_24", 16_000, ".flac"), (".wav", "PCM_U8", 16_000, ".flac"),
    (".aiff", "PCM_S8", 16_000, ".flac"), (".wav", "PCM_16", 44_100, ".flac"), (".wav", "FLOAT", 16_000, ".wav"),
    (".wav", "PCM_32", 16_000, ".wav"), (".wav", "ULAW", 16_000, ".wav"), (".flac", "PCM_16", 16_000, ".flac"),
    (".opus", "OPUS", 48_000, ".opus"), (".mp3", None, 16_000, ".mp3"),
]  # fmt: skip


def utterance(path: Path, **known) -> Utterance:
    return Utterance(path, read_header(path).duration, **known)


@pytest.fixture
def packed(tmp_path) -> tuple[list[Utterance], list[Utterance]]:
    """Files, and their places in shards."""
    files = [
        utterance(
            write_soundfile(tmp_path / f"{number}{suffix}", tone(0.5 + number / 10, rate), rate, depth),
            text=str(number),
        )
        for number, (suffix, depth, rate, _) in enumerate(LOSSLESS)
    ]
    return files, list(write_shards(files, tmp_path / "train").utterances)


def test_shards_give_the_audio_of_the_files_bit_for_bit(packed) -> None:
    for file, member, (*_, suffix) in zip(*packed, LOSSLESS, strict=True):
        assert member.audio.suffix == suffix
        assert replace(member, audio=file.audio) == file
        np.testing.assert_array_equal(load_utterance(member), load_utterance(file))


def test_compressed_recordings_are_copied_byte_for_byte(packed) -> None:
    files, members = packed
    with tarfile.open(members[0].audio.parent) as shard:
        for file, member in list(zip(files, members, strict=True))[8:]:
            assert shard.extractfile(member.audio.name).read() == file.audio.read_bytes()


def test_shards_are_read_from_front_to_back(packed) -> None:
    streamed = list(stream_shard(packed[1][0].audio.parent))
    assert [found for found, _ in streamed] == packed[1]
    for found, samples in streamed:
        np.testing.assert_array_equal(samples, load_utterance(found))


def test_a_pipe_is_streamed(packed) -> None:
    content = packed[1][0].audio.parent.read_bytes()
    source, sink = os.pipe()

    def write() -> None:
        with open(sink, "wb") as file:
            file.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    with open(source, "rb") as pipe:
        assert len(list(stream_shard(pipe))) == len(LOSSLESS)
        while pipe.read(1 << 16):  # tar pads its end
            pass
    writer.join()


def test_stereo_and_wide_recordings_keep_their_channels(tmp_path) -> None:
    two = np.stack([tone(0.5), tone(0.5, hertz=220)], axis=1)
    path = write_soundfile(tmp_path / "two.wav", two, 16_000)
    nine = write_soundfile(tmp_path / "nine.wav", np.repeat(two[:, :1], 9, axis=1), 16_000)
    files = [utterance(path), utterance(path, channel=0), utterance(path, channel=1), utterance(nine)]
    members = write_shards(files, tmp_path / "train").utterances
    assert [member.audio.name for member in members] == ["two.flac"] * 3 + ["nine.wav"]
    for file, member in zip(files, members, strict=True):
        np.testing.assert_array_equal(load_utterance(member), load_utterance(file))
    assert not np.array_equal(load_utterance(members[1]), load_utterance(members[2]))


def test_segments_of_a_recording_share_one_member(tmp_path) -> None:
    path = write_soundfile(tmp_path / "long.wav", tone(3.0), 16_000)
    files = [
        Utterance(path, 1.0, offset, text=str(offset), alignment=(Interval(0.1, 0.2, "a"),))
        for offset in (0.0, 1.0, 2.0)
    ]
    members = list(write_shards(files, tmp_path / "train").utterances)
    shard = members[0].audio.parent
    with tarfile.open(shard) as opened:
        assert opened.getnames() == ["long.flac", "long.json"]
    assert [found for found, _ in stream_shard(shard)] == members
    for file, member in zip(files, members, strict=True):
        np.testing.assert_array_equal(load_utterance(member), load_utterance(file))


def test_features_stay_where_they_are(tmp_path) -> None:
    file = utterance(layouts.save(tmp_path / "a.wav", "alpha"), features=tmp_path / "taught.tar" / "a.npy")
    (member,) = write_shards([file], tmp_path / "train").utterances
    assert replace(member, audio=file.audio) == file
    ((found, _),) = stream_shard(member.audio.parent)
    assert found == replace(member, features=None)


def test_names_that_meet_are_told_apart(tmp_path) -> None:
    places = ("a/x.wav", "b/x.wav", "c/X.wav", "a/x.1.wav", "a/x-2.wav")
    files = [
        utterance(layouts.save(tmp_path / place, name)) for place, name in zip(places, layouts.NAMES[:5], strict=True)
    ]
    members = write_shards(files, tmp_path / "train").utterances
    assert [member.audio.name for member in members] == ["x.flac", "x-2.flac", "X-3.flac", "x_1.flac", "x-2-2.flac"]
    for file, member in zip(files, members, strict=True):
        np.testing.assert_array_equal(load_utterance(member), load_utterance(file))


def test_a_shard_is_closed_when_it_is_full(tmp_path) -> None:
    files = [utterance(write_soundfile(tmp_path / f"{n}.wav", tone(20.0), 16_000, "FLOAT")) for n in range(3)]
    members = write_shards(files, tmp_path / "train", shard_megabytes=1).utterances
    assert [member.audio.parent.name for member in members] == [f"train-{n:06d}.tar" for n in range(3)]
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(ManifestError, match="shard_megabytes is 0"):
        write_shards(files, tmp_path / "none", shard_megabytes=0)


def test_a_recording_that_cannot_be_packed_is_named(tmp_path) -> None:
    good = utterance(layouts.save(tmp_path / "good.wav", "alpha"))
    found = write_shards([Utterance(tmp_path / "gone" / "x.wav", 1.0), good], tmp_path / "train")
    assert len(found.utterances) == 1
    assert "x.wav" in found.failures[0]


def test_a_missing_member_is_named(packed) -> None:
    shard = packed[1][0].audio.parent
    with pytest.raises(AudioError, match=r"train-000000\.tar has no member nothing\.flac"):
        load_utterance(Utterance(shard / "nothing.flac", 1.0))


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as opened:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            opened.addfile(info, io.BytesIO(content))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def huge(path: Path) -> Path:
    made = tarfile.TarInfo("x.wav")
    made.size = MAX_MEMBER_BYTES + 1
    with path.open("wb") as file:  # sparse on disk
        file.write(made.tobuf())
        file.seek(512 + MAX_MEMBER_BYTES + 512)
        file.write(bytes(1024))
    return path


def negative(path: Path) -> Path:
    made = tarfile.TarInfo("x.wav")
    header = bytearray(made.tobuf())
    header[124:136] = b"\xff" * 11 + b"\x00"  # base 256, less than zero
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + bytes(10_240))
    return path


def gigantic_name(path: Path) -> Path:
    made = info("long", tarfile.GNUTYPE_LONGNAME)
    made.size = 1 << 33
    path.write_bytes(made.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "symbolic link": (lambda path: tar(path, (info("x.wav", tarfile.SYMTYPE, "/etc/passwd"), b"")), "a link"),
    "hard link": (lambda path: tar(path, (info("x.wav", tarfile.LNKTYPE, "y.wav"), b"")), "a link"),
    "device": (lambda path: tar(path, (info("x.wav", tarfile.CHRTYPE), b"")), "special file"),
    "climbing": (lambda path: tar(path, (info("../x.wav"), b"a")), "outside"),
    "absolute": (lambda path: tar(path, (info("/x.wav"), b"a")), "outside"),
    "backslash": (lambda path: tar(path, (info("..\\x.wav"), b"a")), "outside"),
    "huge": (huge, "at most"),
    "negative": (negative, "announces -"),
    "gigantic name": (gigantic_name, "announces 8589934592"),
    "no tar": (lambda path: path.write_bytes(b"text" * 1000) and path, "not a whole tar"),
    "empty": (lambda path: path.write_bytes(b"") * 0 or path, "not a whole tar"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_by_name(tmp_path, kind: str) -> None:
    make, message = HOSTILE[kind]
    shard = make(tmp_path / "shard.tar")
    with pytest.raises(AudioError, match=f"shard.tar.*{message}"):
        spend(lambda: load_utterance(Utterance(shard / "x.wav", 1.0)))
    with pytest.raises(ManifestError, match=f"shard.tar.*{message}"):
        spend(lambda: list(stream_shard(shard)))


@pytest.mark.parametrize("cut", [1, 600, 2_048, -512, -10_240])
def test_a_cut_archive_is_refused(tmp_path, cut: int) -> None:
    files = [utterance(layouts.save(tmp_path / f"{name}.wav", name)) for name in layouts.NAMES]
    shard = write_shards(files, tmp_path / "train").utterances[0].audio.parent
    content = shard.read_bytes().rstrip(b"\0")
    whole = content + bytes(-len(content) % 512)
    shard.write_bytes(whole[:cut] if cut > 0 else whole[: len(whole) + cut])
    with pytest.raises(AudioError, match="not a whole tar"):
        load_utterance(Utterance(shard / "alpha.flac", 0.5))
    with pytest.raises(ManifestError, match="not a whole tar"):
        list(stream_shard(shard))


def test_names_as_tar_itself_writes_them_are_understood(tmp_path) -> None:
    content = layouts.save(tmp_path / "a.wav", "alpha").read_bytes()
    folder = info("./v1.2", tarfile.DIRTYPE)
    parts = (("./v1.2/a.wav", content), ("./v1.2/a.json", b'{"duration": 0.5}'))
    shard = tar(tmp_path / "shard.tar", (folder, b""), *((info(name), part) for name, part in parts))
    ((found, samples),) = stream_shard(shard)
    assert found.audio == shard / "v1.2" / "a.wav"
    np.testing.assert_array_equal(samples, layouts.waveform("alpha"))
    np.testing.assert_array_equal(load_utterance(found), samples)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.wav", b"x")], "not one recording and one a.json"),
        ([("a.json", b"{}")], "not one recording"),
        ([("a.wav", b"x"), ("a.flac", b"x"), ("a.json", b"{}")], "not one recording"),
        ([("a.wav", b"x"), ("a.json", b"{")], "is no JSON"),
        ([("a.wav", b"x"), ("a.json", b"[1]")], "holds list"),
        ([("a.wav", b"x"), ("a.json", b'{"utterances": [1]}')], "a list of them"),
        ([("a.wav", b"x"), ("a.json", b'{"duration": "long"}')], "seconds are wanted"),
    ],
)
def test_a_recording_without_its_row_is_named(tmp_path, members, message: str) -> None:
    shard = tar(tmp_path / "shard.tar", *((info(name), content) for name, content in members))
    with pytest.raises(ManifestError, match=message):
        list(stream_shard(shard))


def test_a_changed_shard_is_read_anew(tmp_path) -> None:
    files = [utterance(layouts.save(tmp_path / f"{name}.wav", name)) for name in ("alpha", "bravo")]
    member = write_shards(files[:1], tmp_path / "train").utterances[0]
    load_utterance(member)
    write_shards(files[::-1], tmp_path / "train")
    np.testing.assert_array_equal(load_utterance(member), layouts.waveform("alpha"))


@pytest.mark.parametrize("count", mutants(600))
def test_damaged_shards_give_an_error_or_audio(tmp_path, count: int) -> None:
    rng = np.random.default_rng(7)
    content = io.BytesIO()
    soundfile.write(content, tone(0.1), 16_000, format="FLAC")
    row = json.dumps({"duration": 0.1}).encode()
    path = tar(
        tmp_path / "whole.tar",
        *((info(name), part) for name, part in (("a.flac", content.getvalue()), ("a.json", row))),
    )
    whole = path.read_bytes()[:8_192]

    messages: list[str] = []

    def read() -> None:
        for action in (lambda: load_utterance(Utterance(shard / "a.flac", 0.1)), lambda: list(stream_shard(shard))):
            try:
                action()
            except (AudioError, ManifestError) as error:
                messages.append(str(error))

    for number in range(count):
        shard = tmp_path / f"{number}shard.tar"
        shard.write_bytes(mutate(whole, rng))
        spend(read)
        shard.unlink()
    assert len(messages) > count / 2  # of two readers; damage to the padding harms nobody
    assert all("shard.tar" in message for message in messages)
