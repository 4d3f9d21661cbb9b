"""The variables of a Keras HDF5 weight file. Needs h5py, of the extra `import`; knows no network.

A file has one group for each layer, and below it each variable at the path that is its name. Keras lists these names
in attributes as well; they are not looked at, for the tree says the same and a damaged list of texts can lead HDF5
in circles. A file may be hostile: only plain links within it are followed, only plain numbers are read, never more
bytes than the file has.

Source: Keras' `hdf5_format.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from xlsr.errors import CheckpointError, require

_MAX_LINKS = 20_000  # five times those of the largest released model
_MAX_DEPTH = 32


def read_keras_variables(path: Path) -> dict[str, NDArray[Any]]:
    """Return every variable of a file by its full name, as `wav2vec2-ctc/lm_head/kernel:0`.

    Raises:
        CheckpointError: the file is no Keras weight file, is damaged, or holds links to other files, filtered or
            virtual datasets, or anything but floating point.
        MissingDependencyError: h5py is not installed.
    """
    h5py = require("h5py", "import", "reading .h5 files")
    found: dict[str, NDArray[Any]] = {}
    try:
        with h5py.File(path, "r") as file:
            for name, value in _Reader(h5py, path.stat().st_size).variables(file):
                if name in found:
                    raise ValueError(f"two layers have the variable {name!r}")
                found[name] = value
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        # What HDF5 raises on a damaged file depends on where it stumbles.
        raise CheckpointError(f"{path} cannot be read as a Keras weight file: {error}") from error
    return found


class _Reader:
    """What may still be read of one file; what is refused is a ValueError."""

    def __init__(self, h5py: ModuleType, size: int) -> None:
        self.h5py = h5py
        self.bytes_left = size
        self.links_left = _MAX_LINKS

    def variables(self, file: Any) -> Iterator[tuple[str, NDArray[Any]]]:
        """(name, array) of every variable; a whole model keeps its own below `model_weights`."""
        top = dict(self.children(file, ""))
        if "model_weights" in top:
            top = dict(self.children(top["model_weights"], "model_weights"))
        for layer, group in top.items():
            for path, dataset in self.datasets(group, layer):
                self.check(dataset, path)
                self.bytes_left -= dataset.nbytes
                yield path.partition("/")[2] or path, dataset[()]

    def datasets(self, node: Any, path: str) -> Iterator[tuple[str, Any]]:
        """(path, dataset) of everything below a node that is no group."""
        if not isinstance(node, self.h5py.Group):
            yield path, node
            return
        if path.count("/") > _MAX_DEPTH:
            raise ValueError(f"its groups are nested more than {_MAX_DEPTH} deep")
        for name, child in self.children(node, path):
            yield from self.datasets(child, f"{path}/{name}")

    def children(self, group: Any, path: str) -> Iterator[tuple[str, Any]]:
        """(name, node) of what a group holds, by plain links alone: no other file is opened."""
        if not isinstance(group, self.h5py.Group):
            raise ValueError(f"{path!r} is no group")
        for name in group:
            self.links_left -= 1
            if self.links_left < 0:
                raise ValueError(f"it holds more than {_MAX_LINKS} names, or its groups run in a circle")
            link = group.get(name, getlink=True)
            if not isinstance(link, self.h5py.HardLink):
                raise ValueError(f"{path}/{name} is a link to elsewhere ({type(link).__name__}), which is refused")
            yield name, group[name]

    def check(self, dataset: Any, path: str) -> None:
        """Raise ValueError unless a dataset is plain numbers within the file."""
        if not isinstance(dataset, self.h5py.Dataset) or dataset.shape is None:
            raise ValueError(f"{path} is no array")
        if dataset.is_virtual or dataset.external:
            raise ValueError(f"{path} lies in other files, which is refused")
        if dataset.id.get_create_plist().get_nfilters():
            raise ValueError(f"{path} is compressed or filtered, which is not supported")
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize > 8:
            raise ValueError(f"{path} has the type {dataset.dtype}; floating point is wanted")
        if dataset.nbytes > min(self.bytes_left, dataset.id.get_storage_size()):
            raise ValueError(f"{path} claims {dataset.nbytes} bytes, more than the file has for it")
