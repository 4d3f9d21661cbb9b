"""Configuration objects of a pickle -> dictionaries, lists and values.

Knows how argparse's namespaces, omegaconf's nodes, enums, paths and numpy's numbers are pickled, as `pickles` records
them; needs none of these packages. Floor 3, standard library alone.
"""

from __future__ import annotations

import struct

from xlsr.checkpoint.pickles import Record
from xlsr.errors import CheckpointError

Plain = bool | int | float | str | bytes | list["Plain"] | dict[str, "Plain"] | None

_MAX_DEPTH = 64
_MAX_VALUES = 1_000_000
# numpy dtype -> struct format.
_SCALARS = {"f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "b1": "?"} | {
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
}  # fmt: skip


def plain(value: object, source: str) -> Plain:
    """Turn configuration objects into dictionaries, lists and values.

    Namespaces and objects become dictionaries of their attributes, omegaconf's nodes what they hold, enums and paths
    their text, numpy scalars numbers. What is none of these becomes None: optimizers, tensors, dictionaries of words.

    Raises:
        CheckpointError: the objects contain each other, or are absurdly many.
    """
    return _Plainer(source).value(value, 0)


class _Plainer:
    def __init__(self, source: str) -> None:
        self.source, self.left = source, _MAX_VALUES

    def value(self, value: object, depth: int) -> Plain:
        self.left -= 1
        if depth > _MAX_DEPTH or self.left < 0:
            raise CheckpointError(f"{self.source} is refused: its configuration is nested without end")
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if isinstance(value, list | tuple):
            return [self.value(member, depth + 1) for member in value]
        if isinstance(value, dict):
            return {_text(key): self.value(member, depth + 1) for key, member in value.items()}
        return self.record(value, depth) if isinstance(value, Record) else None

    def record(self, record: Record, depth: int) -> Plain:
        state = record.state[0] if isinstance(record.state, tuple) and record.state else record.state
        if isinstance(state, dict):
            for held in ("_content", "_val"):  # omegaconf: containers, then nodes
                if held in state and record.name.startswith("omegaconf."):
                    return self.value(state[held], depth + 1)
            return self.value(state, depth + 1)
        if record.name.endswith("multiarray.scalar"):
            return _scalar(record)
        if record.name.startswith("pathlib."):
            return "/".join(_text(part) for part in record.args).replace("//", "/")
        if len(record.args) == 1:  # an enum's value; the members of a set
            return self.value(record.args[0], depth + 1)
        return self.value(record.items or record.elements or None, depth + 1)


def _scalar(record: Record) -> Plain:
    """A number of numpy: its dtype and its bytes."""
    dtype, data = record.args if len(record.args) == 2 else (None, None)
    if not (isinstance(dtype, Record) and dtype.args and isinstance(data, bytes)):
        return None
    form = _SCALARS.get(str(dtype.args[0]))
    is_big = isinstance(dtype.state, tuple) and ">" in dtype.state[:2]
    if form is None or struct.calcsize(f"<{form}") != len(data):
        return None
    number: Plain = struct.unpack((">" if is_big else "<") + form, data)[0]
    return number


def _text(key: object) -> str:
    if isinstance(key, Record) and len(key.args) == 1:
        key = key.args[0]
    return key if isinstance(key, str) else str(key) if isinstance(key, int | float) else type(key).__name__
