"""Noises and rooms: only those for training, read when drawn, a bounded memory, errors before the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from xlsr.data.clips import ClipStore
from xlsr.data.manifest import read_manifest, write_manifest
from xlsr.data.shards import write_shards
from xlsr.errors import AudioError, ManifestError


def manifest(folder: Path, *rows: dict[str, object]) -> Path:
    """A manifest of constant clips: each row's `level` is what it holds."""
    for row in rows:
        if "level" in row:
            size = round(row["duration"] * 16_000)
            soundfile.write(folder / row["audio"], np.full(size, row["level"]), 16_000, subtype="FLOAT")
    path = folder / "clips.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def levels(store: ClipStore) -> set[float]:
    """The level of every clip that is ever drawn."""
    rng = np.random.default_rng(0)
    return {round(float(store.draw(rng)[0]), 3) for _ in range(100)}


def test_only_clips_of_the_kind_and_for_training_are_drawn(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        {"audio": "a.wav", "duration": 0.1, "kind": "noise", "split": "train", "level": 0.1},
        {"audio": "b.wav", "duration": 0.1, "kind": "noise", "split": "test", "level": 0.2},
        {"audio": "c.wav", "duration": 0.1, "kind": "rir", "split": "train", "level": 0.3},
        {"audio": "d.wav", "duration": 0.1, "level": 0.4},
    )
    assert levels(ClipStore(path, "noise", 1 << 20)) == {0.1, 0.4}
    assert levels(ClipStore(path, "rir", 1 << 20)) == {0.3, 0.4}


def test_memory_is_bounded_and_does_not_change_what_is_drawn(tmp_path: Path) -> None:
    rows = [{"audio": f"{n}.wav", "duration": 0.5, "kind": "noise", "level": n / 10} for n in range(1, 9)]
    path = manifest(tmp_path, *rows)
    small, large = ClipStore(path, "noise", 100_000), ClipStore(path, "noise", 1 << 20)  # 32 kB a clip: 3, and all
    for seed in range(50):
        drawn = [store.draw(np.random.default_rng(seed)) for store in (small, large)]
        np.testing.assert_array_equal(*drawn)
        assert small.held_bytes <= 100_000
    assert len(large) == 8
    assert large.held_bytes == 8 * 32_000


def test_a_part_of_a_recording_does_not_hold_the_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.full(160_000, 0.5), 16_000)
    store = ClipStore(manifest(tmp_path, {"audio": "long.wav", "duration": 0.5, "offset": 2.0}), "noise", 1 << 20)
    clip = store.draw(np.random.default_rng(0))
    assert len(clip) == 8_000
    assert clip.base is None
    assert not clip.flags.writeable


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": "x.wav", "duration": 1.0, "kind": "rir"}, "none of the 1 rows of .* is a noise for training"),
        ({"audio": "x.wav", "duration": 1.0, "kind": "noise", "split": "test"}, "is a noise for training"),
        ({"audio": "x.wav", "duration": 1.0, "kind": 5}, "line 1: kind is 5; a string or null"),
        ({"audio": "x.wav", "kind": "noise"}, "line 1: duration is None; seconds are wanted"),
        ({"audio": "missing.wav", "duration": 1.0}, r"lists .*missing\.wav, which is not there"),
        ({"audio": "x.wav", "duration": 3600}, r"x\.wav has 3600 s; at most 16 s fit"),
    ],
)
def test_a_manifest_that_cannot_serve_is_refused_before_the_run(tmp_path: Path, row, message: str) -> None:
    soundfile.write(tmp_path / "x.wav", np.full(16_000, 0.5), 16_000)
    with pytest.raises(ManifestError, match=message):
        ClipStore(manifest(tmp_path, row), "noise", 1 << 20)


def test_clips_of_a_shard_serve_as_well(tmp_path: Path) -> None:
    listed = manifest(tmp_path, {"audio": "a.wav", "duration": 1.0, "kind": "noise", "level": 0.25})
    packed = write_shards(read_manifest(listed), tmp_path / "noises").utterances
    write_manifest(packed, tmp_path / "packed.jsonl")
    assert packed[0].audio.parent.suffix == ".tar"
    assert levels(ClipStore(tmp_path / "packed.jsonl", "noise", 1 << 20)) == {0.25}


def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound at all")
    store = ClipStore(manifest(tmp_path, {"audio": "broken.wav", "duration": 1.0}), "noise", 1 << 20)
    with pytest.raises(AudioError, match=r"broken\.wav"):
        store.draw(np.random.default_rng(0))
