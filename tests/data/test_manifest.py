"""Manifests: what is read, and what is refused with its line."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.malformed import PCM, wave_bytes
from xlsr.data.loading import measure
from xlsr.data.manifest import Interval, Utterance, load_utterance, read_manifest, write_manifest
from xlsr.errors import AudioError, ManifestError


def write(folder, *rows) -> object:
    path = folder / "list.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


def test_rows_are_read_with_their_habits(tmp_path) -> None:
    path = write(
        tmp_path,
        {"audio": "a/x.wav", "duration": 1.5, "text": "ä b", "language": "deu", "speaker": "s", "split": "train"},
        {"audio_filepath": "y.wav", "duration": 2, "offset": 0.5},
        {"path": "z.mp3", "duration": 3.0, "split": "dev", "unknown": [1, 2]},
        "",
    )
    first, second, third = read_manifest(path)
    assert first.audio == tmp_path / "a" / "x.wav"
    assert (first.text, first.language, first.speaker) == ("ä b", "deu", "s")
    assert (second.audio.name, second.offset, second.duration) == ("y.wav", 0.5, 2.0)
    assert third.audio.name == "z.mp3"
    assert [u.audio.name for u in read_manifest(path, split="dev")] == ["z.mp3"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", "line 1 is no JSON"),
        ("[1]", "an object is wanted"),
        ({"text": "a", "duration": 1}, "names no audio"),
        ({"audio": "x.wav"}, "duration is None"),
        ({"audio": "x.wav", "duration": "long"}, "seconds are wanted"),
        ({"audio": "x.wav", "duration": -1}, "seconds are wanted"),
        ({"audio": "x.wav", "duration": float("nan")}, "seconds are wanted"),
        ({"audio": "x.wav", "duration": 1, "text": 5}, "a string or null"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, row))


def test_an_empty_or_missing_manifest_is_refused(tmp_path) -> None:
    with pytest.raises(ManifestError, match="lists no utterance"):
        read_manifest(write(tmp_path, ""))
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match="of split test"):
        read_manifest(write(tmp_path, {"audio": "x.wav", "duration": 1}), split="test")


def test_members_of_archives_and_offsets_are_read(tmp_path) -> None:
    (tmp_path / "plain.wav").write_bytes(wave_bytes(PCM * 2))
    (tmp_path / "audio").mkdir()
    with zipfile.ZipFile(tmp_path / "audio" / "eng.zip", "w") as archive:
        archive.write(tmp_path / "plain.wav", "x.wav")
    path = write(
        tmp_path,
        {"audio": "plain.wav", "duration": 2.0},
        {"audio": "audio/eng/x.wav", "duration": 2.0},
        {"audio": "plain.wav", "duration": 0.5, "offset": 1.0},
        {"audio": "audio/eng/missing.wav", "duration": 1.0},
        {"audio": "audio/fra/x.wav", "duration": 1.0},
    )
    plain, member, part, missing, nowhere = read_manifest(path)
    whole = load_utterance(plain)
    np.testing.assert_array_equal(load_utterance(member), whole)
    np.testing.assert_array_equal(load_utterance(part), whole[16_000:24_000])
    with pytest.raises(AudioError, match=r"no member missing\.wav"):
        load_utterance(missing)
    with pytest.raises(AudioError, match=r"fra\.zip"):
        load_utterance(nowhere)


def test_the_corpora_are_read(corpora) -> None:
    utterances = read_manifest(corpora / "fsdd" / "manifest.jsonl", split="test")
    assert len(utterances) == 500
    waveform = load_utterance(utterances[0])
    assert len(waveform) == pytest.approx(utterances[0].duration * 16_000, abs=16)  # durations have milliseconds


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sample_rate", "16k", "a whole number"),
        ("sample_rate", 0.5, "a whole number"),
        ("channel", -1, "a whole number"),
        ("channel", True, "a whole number"),
        ("alignment", "a", "a list of"),
        ("alignment", [[0, 1]], r"\[start, end, phone\]"),
        ("alignment", [[0, "1", "a"]], "seconds are wanted"),
        ("alignment", [[1, 0, "a"]], "ends before it begins"),
        ("features", 3, "a string or null"),
    ],
)
def test_a_bad_detail_is_named(tmp_path, key: str, value, message: str) -> None:
    with pytest.raises(ManifestError, match=f"line 1.*{message}"):
        read_manifest(write(tmp_path, {"audio": "x.wav", "duration": 1, key: value}))


def test_details_are_read(tmp_path) -> None:
    row = {"audio": "x.wav", "duration": 1, "sample_rate": 8000.0, "channel": 1, "alignment": [[0, 0.5, "a"]]}
    (utterance,) = read_manifest(write(tmp_path, row | {"features": "f/x.npy"}))
    assert utterance.features == tmp_path / "f" / "x.npy"
    assert (utterance.sample_rate, utterance.channel) == (8000, 1)
    assert utterance.alignment == (Interval(0.0, 0.5, "a"),)


words = st.none() | st.text()
times = st.floats(0, 1e6)


@given(
    st.lists(
        st.builds(
            Utterance,
            audio=st.sampled_from(
                ["a.wav", "deep/er/b.opus", "../beside.flac", "s.tar/ä \u2028.flac", "odd\udce9.wav"]
            ),
            duration=times,
            offset=times,
            text=words,
            phones=words,
            language=words,
            speaker=words,
            split=words,
            sample_rate=st.none() | st.integers(0, 999_999),
            channel=st.none() | st.integers(0, 9),
            alignment=st.lists(st.builds(Interval, st.just(0.5), st.floats(0.5, 9), st.text()), max_size=3).map(tuple),
            features=st.none() | st.sampled_from(["f.tar/ä.npy", "../deep/f.npy"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read(tmp_path_factory, utterances) -> None:
    folder = tmp_path_factory.mktemp("lists")
    placed = [
        replace(each, audio=folder / each.audio, features=folder / each.features if each.features else None)
        for each in utterances
    ]
    write_manifest(placed, folder / "list.jsonl")
    assert normal(read_manifest(folder / "list.jsonl")) == normal(placed)


def normal(utterances: list[Utterance]) -> list[Utterance]:
    """The same with paths that have no way up in them."""
    return [
        replace(
            each,
            audio=Path(os.path.normpath(each.audio)),
            features=Path(os.path.normpath(each.features)) if each.features else None,
        )
        for each in utterances
    ]


def test_a_manifest_and_its_audio_move_together(tmp_path) -> None:
    (tmp_path / "one" / "lists").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "one" / "lists")
    (tmp_path / "one" / "a.wav").write_bytes(wave_bytes(PCM))
    write_manifest([Utterance(tmp_path / "one" / "a.wav", 1.0)], tmp_path / "link" / "list.jsonl")
    assert json.loads((tmp_path / "link" / "list.jsonl").read_text())["audio"] == "../a.wav"
    (tmp_path / "one").rename(tmp_path / "two")
    (utterance,) = read_manifest(tmp_path / "two" / "lists" / "list.jsonl")
    assert len(load_utterance(utterance)) == 16_000


def test_a_manifest_that_fails_midway_leaves_the_old_one(tmp_path) -> None:
    path = tmp_path / "list.jsonl"
    write_manifest([Utterance(tmp_path / "a.wav", 1.0)], path)
    before = path.read_bytes()

    def failing():
        yield Utterance(tmp_path / "b.wav", 1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_manifest(failing(), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["list.jsonl"]


@pytest.mark.parametrize("audio", ["x.wav", "x" * 300 + ".wav", "nul\0.wav", "folder"])
def test_a_recording_that_is_not_there_is_named(tmp_path, monkeypatch, audio: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(AudioError, match=audio[:3]):
        load_utterance(Utterance(Path(audio), 1.0))


def test_a_channel_that_is_not_there_is_refused(tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(wave_bytes(PCM))
    with pytest.raises(AudioError, match="channel is 2; 0, 1 or none"):
        load_utterance(Utterance(tmp_path / "a.wav", 1.0, channel=2))
    assert "has 1 channels" in str(next(measure([Utterance(tmp_path / "a.wav", 1.0, channel=1)])))
