"""Names on the hub: found in the cache without a network, and refused in prose where there is neither."""

from __future__ import annotations

import shutil

import pytest
from huggingface_hub import constants

import xlsr
from xlsr.checkpoint.hub import fetch, is_hub_name
from xlsr.errors import CheckpointError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def put(cache, name: str, source) -> None:
    """Lay a folder into the cache as the hub's own client does."""
    repository = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(source, repository / "snapshots" / "0123abcd")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("facebook/mms-1b-all", True),
        ("a/b/c", False),
        ("folder", False),
        ("../x", False),
        ("/x/y", False),
        ("a/", False),
    ],
)
def test_names(name: str, expected: bool) -> None:
    assert is_hub_name(name) is expected


def test_a_cached_model_is_used_offline(cache, tiny_folder) -> None:
    put(cache, "somebody/tiny", tiny_folder)
    assert fetch("somebody/tiny") == cache / "models--somebody--tiny" / "snapshots" / "0123abcd"
    assert xlsr.load_model("somebody/tiny").description.name == "tiny"


def test_a_model_that_is_nowhere_says_what_to_do(cache) -> None:
    with pytest.raises(CheckpointError, match=r"hf download somebody/else"):
        fetch("somebody/else")


def test_a_cached_model_without_weights_is_not_taken(cache, tiny_folder) -> None:
    put(cache, "somebody/half", tiny_folder)
    (cache / "models--somebody--half" / "snapshots" / "0123abcd" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="somebody/half"):
        fetch("somebody/half")


def test_a_missing_adapter_is_not_overlooked(cache, tiny_folder) -> None:
    put(cache, "somebody/tiny", tiny_folder)
    with pytest.raises(CheckpointError, match="somebody/tiny"):
        fetch("somebody/tiny", language="fra")
