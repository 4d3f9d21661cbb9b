"""Stored features: what is written is read, files and shards alike; what is no plain array is refused by name."""

from __future__ import annotations

import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.damage import mutants, mutate, spend
from xlsr.data.manifest import Utterance, read_manifest
from xlsr.data.stored_features import common_frames, read_features, write_features
from xlsr.errors import AudioError, ManifestError


def utterances(folder: Path, *names: str) -> list[Utterance]:
    return [Utterance(folder / name, 1.0 + place / 10, text=name) for place, name in enumerate(names)]


def arrays(rows: list[Utterance], dim: int = 6) -> list[np.ndarray]:
    """What an encoder with ceil(samples / 320) frames, as Whisper's, could make of them."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((int(np.ceil(row.duration * 50)), dim)).astype("float32") for row in rows]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_written_is_read(tmp_path, dtype: str) -> None:
    rows = utterances(tmp_path, "a.wav", "deep/a.wav", "b.1.flac")
    given = arrays(rows)
    done = write_features(rows, iter(given), tmp_path / "taught", dtype=dtype)
    assert (done.manifest, done.utterances, done.failures) == (tmp_path / "taught" / "manifest.jsonl", 3, ())
    found = read_manifest(done.manifest)
    assert [row.features.name for row in found] == ["a.npy", "a-2.npy", "b_1.npy"]
    for row, before, array in zip(found, rows, given, strict=True):
        assert row.audio.resolve() == before.audio
        assert row.text == before.text
        assert read_features(row).dtype == dtype
        np.testing.assert_array_equal(read_features(row), array.astype(dtype))


def test_manifest_and_shards_move_together(tmp_path) -> None:
    rows = utterances(tmp_path / "one", "a.wav")
    write_features(rows, arrays(rows), tmp_path / "one" / "taught")
    line = json.loads((tmp_path / "one" / "taught" / "manifest.jsonl").read_text())
    assert (line["audio"], line["features"]) == ("../a.wav", "features-000000.tar/a.npy")
    (tmp_path / "one").rename(tmp_path / "two")
    (row,) = read_manifest(tmp_path / "two" / "taught" / "manifest.jsonl")
    assert read_features(row).shape == (50, 6)


def test_a_full_shard_is_closed(tmp_path) -> None:
    rows = utterances(tmp_path, "a.wav", "b.wav", "c.wav")
    write_features(rows, arrays(rows, dim=4000), tmp_path / "taught", dtype="float32", shard_megabytes=1)
    assert sorted(path.name for path in (tmp_path / "taught").iterdir()) == [
        "features-000000.tar", "features-000001.tar", "manifest.jsonl"
    ]  # fmt: skip
    with tarfile.open(tmp_path / "taught" / "features-000001.tar") as shard:
        assert shard.getnames() == ["c.npy"]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (None, "has no features"),
        (np.zeros((1500, 6), np.float32), "have 1500 frames; about 49 are wanted, 50 a second: cut what was padded"),
        (np.zeros((25, 6), np.float32), "have 25 frames"),
        (np.zeros(50, np.float32), r"float32 of shape \(50,\)"),
        (np.zeros((50, 6), np.int64), "int64"),
        (np.full((50, 6), 7e4, np.float32), "reach 70000, which float16 cannot hold"),
        (np.full((50, 6), np.nan, np.float32), "reach nan"),
    ],
)
def test_what_does_not_fit_is_left_out_by_name(tmp_path, array, message: str) -> None:
    rows = utterances(tmp_path, "a.wav", "b.wav")
    done = write_features(rows, [array, arrays(rows)[1]], tmp_path / "taught")
    assert [row.audio.name for row in read_manifest(done.manifest)] == ["b.wav"]
    (failure,) = done.failures
    assert "a.wav" in failure
    with pytest.raises(ManifestError, match=message):
        write_features(rows[:1], [array], tmp_path / "none")


def test_there_must_be_an_array_for_each_utterance_and_a_folder_of_its_own(tmp_path) -> None:
    rows = utterances(tmp_path, "a.wav", "b.wav")
    given = arrays(rows)
    with pytest.raises(ManifestError, match="there are more utterances"):
        write_features(rows, given[:1], tmp_path / "few")
    with pytest.raises(ManifestError, match="there are more arrays"):
        write_features(rows[:1], given, tmp_path / "many")
    assert not list((tmp_path / "few").iterdir())
    write_features(rows, given, tmp_path / "taught")
    with pytest.raises(ManifestError, match="is in use"):
        write_features(rows, given, tmp_path / "taught")


def test_a_teacher_that_fails_midway_leaves_whole_shards_only(tmp_path) -> None:
    rows = utterances(tmp_path, "a.wav", "a.wav", "a.wav", "a.wav")

    def failing():
        yield from arrays(rows, dim=4000)[:3]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_features(rows, failing(), tmp_path / "taught", dtype="float32", shard_megabytes=1)
    assert [path.name for path in (tmp_path / "taught").iterdir()] == ["features-000000.tar"]
    with tarfile.open(tmp_path / "taught" / "features-000000.tar") as shard:
        assert shard.getnames() == ["a.npy", "a-2.npy"]


def stored(folder: Path, content: bytes) -> Utterance:
    (folder / "x.npy").write_bytes(content)
    return Utterance(folder / "a.wav", 1.0, features=folder / "x.npy")


def npy(array: np.ndarray, folder: Path, **options) -> bytes:
    np.save(folder / "made.npy", array, **options)
    return (folder / "made.npy").read_bytes()


def lying(content: bytes) -> bytes:
    """The same file with a header of the same length that announces 16 GB."""
    return content.replace(b"(3, 4), }        ", b"(999999999, 4), }")


def test_arrays_that_numpy_turns_around_are_read(tmp_path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    assert b"True" in npy(array, tmp_path)  # Fortran's order
    np.testing.assert_array_equal(read_features(stored(tmp_path, npy(array, tmp_path))), array)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: npy(np.array([{}], dtype=object), at, allow_pickle=True), "is no array"),
        (lambda at: pickle.dumps([1]), "is no array"),
        (lambda at: npy(np.zeros((3, 4)), at), "is no array"),  # float64
        (lambda at: npy(np.zeros((3, 4), ">f4"), at), "is no array"),
        (lambda at: npy(np.zeros(3, np.float32), at), "is no array"),
        (lambda at: b"", "is no array"),
        (lambda at: npy(np.zeros((0, 4), np.float32), at), "announces 0 frames"),
        (lambda at: npy(np.zeros((3, 4), np.float32), at)[:-1], "holds 47 bytes"),
        (lambda at: lying(npy(np.zeros((3, 4), np.float32), at)), "announces 999999999 frames"),
        (lambda at: npy(np.full((3, 4), np.inf, np.float16), at), "NaN or infinite"),
    ],
)  # fmt: skip
def test_what_is_no_array_of_frames_is_refused_by_name(tmp_path, make, message: str) -> None:
    row = stored(tmp_path, make(tmp_path))

    def read() -> None:
        with pytest.raises(AudioError, match=rf"x\.npy of .*a\.wav.*({message})"):
            read_features(row)

    spend(read)


def test_what_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(AudioError, match=r"a\.wav names no features"):
        read_features(Utterance(tmp_path / "a.wav", 1.0))
    with pytest.raises(AudioError, match=r"none\.npy is not there"):
        read_features(Utterance(tmp_path / "a.wav", 1.0, features=tmp_path / "none.npy"))


@pytest.mark.parametrize("count", mutants(2000))
def test_a_damaged_file_gives_an_error_or_an_array(tmp_path, count: int) -> None:
    rng = np.random.default_rng(5)
    whole = npy(rng.standard_normal((3, 4)).astype("float16"), tmp_path)
    outcomes = []
    for _ in range(count):
        row = stored(tmp_path, mutate(whole, rng))

        def read(row: Utterance = row) -> None:
            try:
                outcomes.append(read_features(row).shape)
            except AudioError as error:
                outcomes.append(str(error))

        spend(read)
    assert sum(isinstance(outcome, str) for outcome in outcomes) > count / 2
    assert {outcome for outcome in outcomes if not isinstance(outcome, str)} <= {
        (3, 4),
        (4, 3),
        (2, 6),
        (1, 12),
        (6, 2),
    }


@pytest.mark.parametrize(("theirs", "shared"), [(46, 46), (47, 47), (49, 49), (52, 49)])
def test_the_common_part_is_taken(theirs: int, shared: int) -> None:
    assert common_frames(Utterance(Path("a.wav"), 1.0), 49, theirs) == shared


@pytest.mark.parametrize("theirs", [45, 53, 98])
def test_another_pace_is_refused(theirs: int) -> None:
    with pytest.raises(AudioError, match=rf"a\.wav has {theirs} frames of its teacher and 49 of the student"):
        common_frames(Utterance(Path("a.wav"), 1.0), 49, theirs)
