"""Where something may be added to a model: its own folder, or a copy. Floor 3, NumPy half.

Nothing is ever written into the package or a cache of the hub.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from xlsr.checkpoint.folder import DEFAULT_MODEL, Description
from xlsr.errors import CheckpointError


def writable_folder(description: Description, output: Path | str | None, what: str) -> Path:
    """Return the folder that something is to be written into, before any work; `copy_model` makes it.

    Args:
        description: of the model.
        output: a new folder for a copy of the model; None: its own folder.
        what: what is to be added, as messages call it, such as "a calibration".

    Raises:
        CheckpointError: the model lies where nothing may be written and no other folder is named, it is no folder of
            Hugging Face's kind, or the other folder holds something else.
    """
    source = description.folder
    if source is None or not (source / "config.json").is_file():
        raise CheckpointError(
            f"{description.name} is no model folder, so that {what} has no place in it; write one first: "
            "xlsr import MODEL FOLDER"
        )
    real = source.resolve()
    if output is not None:
        target = Path(output)
        is_new = not target.exists() or (target.is_dir() and not any(target.iterdir()))
        if target.resolve() != real and (not is_new or target.resolve().is_relative_to(real)):
            raise CheckpointError(
                f"{target} holds something already, or lies inside the model; name a new folder for the copy of "
                f"{source} with {what}"
            )
        return target
    is_shipped = real == DEFAULT_MODEL.resolve()
    for place, is_there in (("in the package", is_shipped), ("in a cache of the hub", _is_cached(source))):
        if is_there:
            raise CheckpointError(
                f"{description.name} lies {place}, where nothing is changed: --output FOLDER writes a copy with {what}"
            )
    return source


def copy_model(description: Description, folder: Path) -> None:
    """Make a folder of `writable_folder` a copy of the model, unless it is the model's own."""
    source = description.folder
    assert source is not None
    if not folder.exists() or not folder.samefile(source):
        shutil.copytree(source, folder, dirs_exist_ok=True)


def _is_cached(folder: Path) -> bool:
    """Whether a folder lies in a cache of the hub: models--OWNER--NAME/snapshots/REVISION."""
    parents = folder.absolute().parents
    return len(parents) > 1 and parents[0].name == "snapshots" and parents[1].name.startswith("models--")
