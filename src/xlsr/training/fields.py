"""Recipe tables read into dataclasses: closed sets of keys, checked types and ranges.

Knows no recipe. A field's type is one of float, int, bool, str, Path, ModelName, a Literal of strings, a tuple of two
floats or of any number of strings or Paths, a dict, or one of these or None; its range stands in the field itself
(`above_zero`, `not_negative`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from xlsr.checkpoint.hub import is_hub_name
from xlsr.config import Json
from xlsr.errors import RecipeError

T = TypeVar("T")


class ModelName(str):
    """A model as `find_model` takes it; folders and files are relative to the recipe, as paths are."""

    __slots__ = ()


_NAMES = {
    Path: "a path", ModelName: "a model", float: "a number", int: "a whole number", bool: "true or false",
    str: "a string", tuple: "a list of two numbers", dict: "a table",
}  # fmt: skip


def above_zero(default: T) -> T:
    """A field whose value must be more than 0."""
    return field(default=default, metadata={"range": "more than 0"})


def not_negative(default: T) -> T:
    """A field whose value must be 0 or more."""
    return field(default=default, metadata={"range": "0 or more"})


def read_table(kind: type[T], values: Mapping[str, Json], place: str, folder: Path) -> T:
    """Fill a dataclass from a table.

    Args:
        kind: the dataclass.
        values: the table.
        place: how errors name it, such as "recipe.toml [optim]".
        folder: what relative paths are relative to.

    Raises:
        RecipeError: a key is unknown, or its value has another type or lies outside its range.
    """
    hints = get_type_hints(kind)
    filled = {}
    for key, value in values.items():
        check_known(key, hints, place)
        filled[key] = _value(f"{place} {key}", value, hints[key], folder)
    table = kind(**filled)
    for entry in fields(cast(Any, kind)):
        wanted, value = entry.metadata.get("range"), getattr(table, entry.name)
        if wanted and value is not None and not (value > 0 if wanted == "more than 0" else value >= 0):
            raise RecipeError(f"{place} {entry.name} is {value}; {wanted} is wanted")
    return table


def check_known(key: str, names: Mapping[str, object], place: str) -> None:
    """Raise RecipeError with the nearest name where `key` is none of `names`."""
    if key in names:
        return
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}"
    raise RecipeError(f"{place}: unknown key {key!r}{hint}")


def plain(value: object) -> Json:
    """The same value as JSON writes it: paths are strings, tuples are lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else cast(Json, value)


def _value(place: str, value: Json, kind: object, folder: Path) -> object:
    """Convert one TOML value to the type of its field, or refuse it."""
    members = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and NoneType in members:
        return None
    wanted = next(member for member in members if member is not NoneType)
    if get_origin(wanted) is Literal:
        if value in get_args(wanted):
            return value
        raise RecipeError(f"{place} is {value!r}; one of {', '.join(get_args(wanted))} is wanted")
    bare = get_origin(wanted) or wanted  # dict[str, ...] -> dict
    if wanted == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise RecipeError(f"{place} is {value!r}; a list of strings is wanted")
    if bare is Path and isinstance(value, str):
        return (folder / Path(value).expanduser()).resolve()
    if bare is ModelName and isinstance(value, str):
        path = (folder / Path(value).expanduser()).resolve()
        is_name = not path.exists() and (value == "default" or is_hub_name(value))
        return ModelName(value if is_name else path)
    if bare is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if bare is tuple and Ellipsis in get_args(wanted):
        items = value if isinstance(value, list) else [value]  # one needs no brackets
        return tuple(_value(place, item, get_args(wanted)[0], folder) for item in items)
    if bare is tuple and isinstance(value, list) and len(value) == len(get_args(wanted)):
        return tuple(_value(place, item, part, folder) for item, part in zip(value, get_args(wanted), strict=True))
    if isinstance(value, bare) and (bare is bool or not isinstance(value, bool)):
        return value
    raise RecipeError(f"{place} is {value!r}; {_NAMES.get(bare, bare.__name__)} is wanted")
