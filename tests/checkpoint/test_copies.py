"""Something is added to a model's own folder or to a copy, never to the package or a cache."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xlsr.checkpoint.copies import copy_model, writable_folder
from xlsr.checkpoint.folder import DEFAULT_MODEL, read_description
from xlsr.errors import CheckpointError


def test_nothing_is_written_into_the_package_or_a_cache(tmp_path) -> None:
    shipped = read_description(DEFAULT_MODEL)
    with pytest.raises(CheckpointError, match=r"in the package, .*: --output FOLDER .* with a key"):
        writable_folder(shipped, None, "a key")
    cached = tmp_path / "hub" / "models--a--b" / "snapshots" / "0123"
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}")
    description = replace(shipped, folder=cached)
    with pytest.raises(CheckpointError, match="in a cache of the hub"):
        writable_folder(description, None, "a key")
    assert writable_folder(description, tmp_path / "new", "a key") == tmp_path / "new"
    for taken in (tmp_path / "hub", cached / "config.json", cached / "inside"):
        with pytest.raises(CheckpointError, match="name a new folder"):
            writable_folder(description, taken, "a key")
    assert writable_folder(description, cached, "a key") == cached  # who names it means it
    with pytest.raises(CheckpointError, match="no model folder"):
        writable_folder(replace(description, folder=None), tmp_path / "new", "a key")
    with pytest.raises(CheckpointError, match="xlsr import"):
        writable_folder(replace(description, folder=tmp_path), None, "a key")


def test_a_copy_is_whole_and_the_own_folder_stays(tmp_path) -> None:
    source = tmp_path / "model"
    (source / "openvino").mkdir(parents=True)
    (source / "config.json").write_text("{}")
    (source / "openvino" / "model.xml").write_text("graph")
    description = replace(read_description(DEFAULT_MODEL), folder=source)
    copy_model(description, tmp_path / "copy")
    assert (tmp_path / "copy" / "openvino" / "model.xml").read_text() == "graph"
    copy_model(description, source)
    assert sorted(path.name for path in source.iterdir()) == ["config.json", "openvino"]
