"""Manifests: what is read, and what is refused with its line."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from tests.malformed import PCM, wave_bytes
from xlsr.data.manifest import load_utterance, read_manifest
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
