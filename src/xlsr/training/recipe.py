"""A training run as one TOML file with a closed set of keys.

Four tables, each a dataclass with every default written once. An unknown key is an error with the nearest name.
Paths in a recipe are relative to the recipe's folder.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import TypeVar, get_args, get_origin, get_type_hints

from xlsr.config import Json, JsonObject, Wav2Vec2Config
from xlsr.errors import RecipeError


@dataclass(frozen=True)
class DataRecipe:
    """What is learnt, and how it is batched."""

    train: Path = Path()  # manifest
    dev: Path = Path()  # manifest of other speakers, for choosing the best model
    vocabulary: Path | None = None  # vocab.json; none: the letters of the training texts
    lowercase: bool = True  # texts are lower-cased before they become labels
    min_seconds: float = 0.1  # shorter utterances are dropped, and it is said
    max_seconds: float = 30.0  # longer utterances are dropped, and it is said
    batch_seconds: float = 100.0  # padded seconds of one batch


@dataclass(frozen=True)
class ModelRecipe:
    """Where the network starts, and what is regularised."""

    start: Path | None = None  # a model folder to start from; none: random weights
    architecture: JsonObject = field(default_factory=dict)  # keys of config.json
    freeze_feature_encoder: bool = False
    freeze_encoder_updates: int = 0  # only the head learns until then


@dataclass(frozen=True)
class OptimRecipe:
    """AdamW on a tri-stage schedule."""

    lr: float = 1e-4
    head_lr: float | None = None  # of the CTC head; none: lr
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup: float = 0.1
    hold: float = 0.4
    final_lr_scale: float = 0.05
    max_grad_norm: float = 1.0
    updates: int = 1000
    accumulate: int = 1  # batches an update


@dataclass(frozen=True)
class RunRecipe:
    """How the run goes."""

    seed: int = 0
    eval_every: int = 500  # updates
    workers: int = 0  # processes that read audio
    threads: int = 0  # of the CPU; 0: torch's choice
    device: str = "cpu"


@dataclass(frozen=True)
class Recipe:
    """One training run."""

    data: DataRecipe = field(default_factory=DataRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def to_dict(self) -> JsonObject:
        """Plain values, as written beside the weights."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}


def read_recipe(path: Path | str, overrides: Mapping[str, Json] | None = None) -> Recipe:
    """Read a TOML recipe.

    Args:
        path: the file.
        overrides: dotted keys to values, such as `{"optim.lr": 1e-4}`; they win over the file.

    Raises:
        RecipeError: the file cannot be read, or a key or its value is not understood.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error
    for dotted, value in (overrides or {}).items():
        table, _, key = dotted.partition(".")
        if not key or not isinstance(tables.setdefault(table, {}), dict):
            raise RecipeError(f"{path}: {dotted!r} cannot be overridden; a key of a table is wanted, such as optim.lr")
        tables[table][key] = value
    hints = get_type_hints(Recipe)
    parts = {}
    for name, values in tables.items():
        _known(name, hints, str(path))
        if not isinstance(values, dict):
            raise RecipeError(f"{path}: {name} is {values!r}; a table [{name}] is wanted")
        parts[name] = _table(hints[name], values, path)
    recipe = Recipe(**parts)
    _check(recipe, path)
    return recipe


T = TypeVar("T")
_ABOVE_ZERO = {
    "data": ("batch_seconds", "max_seconds"),
    "optim": ("updates", "accumulate", "lr", "final_lr_scale", "eps"),
    "run": ("eval_every",),
}
_NOT_BELOW_ZERO = {
    "data": ("min_seconds",),
    "model": ("freeze_encoder_updates",),
    "optim": ("weight_decay", "max_grad_norm", "warmup", "hold"),
    "run": ("seed", "workers", "threads"),
}
_NAMES = {
    Path: "a path", float: "a number", int: "a whole number", bool: "true or false", str: "a string",
    tuple: "a list of two numbers", dict: "a table",
}  # fmt: skip


def _table(kind: type[T], values: Mapping[str, Json], path: Path) -> T:
    hints = get_type_hints(kind)
    filled = {}
    for key, value in values.items():
        _known(key, hints, str(path))
        filled[key] = _value(key, value, hints[key], path)
    return kind(**filled)


def _known(key: str, names: Mapping[str, object], place: str) -> None:
    if key in names:
        return
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}"
    raise RecipeError(f"{place}: unknown key {key!r}{hint}")


def _value(key: str, value: Json, kind: object, path: Path) -> object:
    """Convert one TOML value to the type of its field, or refuse it."""
    members = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and NoneType in members:
        return None
    wanted = next(member for member in members if member is not NoneType)
    plain = get_origin(wanted) or wanted  # dict[str, ...] -> dict
    if plain is Path and isinstance(value, str):
        return (path.parent / value).resolve()
    if plain is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if plain is tuple and isinstance(value, list) and len(value) == len(get_args(wanted)):
        return tuple(_value(key, item, part, path) for item, part in zip(value, get_args(wanted), strict=True))
    if isinstance(value, plain) and (plain is bool or not isinstance(value, bool)):
        return value
    raise RecipeError(f"{path}: {key} is {value!r}; {_NAMES.get(plain, plain.__name__)} is wanted")


def _check(recipe: Recipe, path: Path) -> None:
    """Refuse what could only fail later."""
    names = {f.name for f in dataclasses.fields(Wav2Vec2Config)} - {"extra"}
    for key in recipe.model.architecture:
        _known(key, dict.fromkeys(names), f"{path} [model.architecture]")
    for table, keys in _ABOVE_ZERO.items():
        for key in keys:
            if not getattr(getattr(recipe, table), key) > 0:
                raise RecipeError(
                    f"{path}: {table}.{key} is {getattr(getattr(recipe, table), key)}; more than 0 is wanted"
                )
    for table, keys in _NOT_BELOW_ZERO.items():
        for key in keys:
            if not getattr(getattr(recipe, table), key) >= 0:
                raise RecipeError(
                    f"{path}: {table}.{key} is {getattr(getattr(recipe, table), key)}; 0 or more is wanted"
                )
    if not all(0 <= beta < 1 for beta in recipe.optim.betas):
        raise RecipeError(
            f"{path}: optim.betas are {list(recipe.optim.betas)}; two numbers from 0 to below 1 are wanted"
        )
    if recipe.optim.warmup + recipe.optim.hold > 1:
        raise RecipeError(f"{path}: optim.warmup and optim.hold are shares of the run and add up to more than 1")
    for key in ("train", "dev"):
        if not getattr(recipe.data, key).is_file():
            raise RecipeError(f"{path}: data.{key} is {getattr(recipe.data, key)}, which is no file")


def _plain(value: object) -> Json:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value  # type: ignore[return-value]
