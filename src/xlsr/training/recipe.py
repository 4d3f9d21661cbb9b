"""A training run as one TOML file with a closed set of keys.

A recipe is a dataclass of tables, every default written once; every kind of training has its own, and all share
`[optim]` and `[run]`, which is all that the trainer reads. Paths in a recipe are relative to its folder. A recipe may
begin with `extends = "other.toml"` and then says only what is different. A recipe that ships with the package is
named without a path: `base-10h`.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_type_hints

from xlsr.config import Json, JsonObject, Wav2Vec2Config
from xlsr.data.augment import AugmentRecipe
from xlsr.errors import RecipeError
from xlsr.training.fields import ModelName, above_zero, check_known, not_negative, plain, read_table

SHIPPED = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class OptimRecipe:
    """AdamW and its schedule."""

    lr: float = above_zero(1e-4)
    head_lr: float | None = above_zero(None)  # of the freshly drawn head; none: lr
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = above_zero(1e-8)
    weight_decay: float = not_negative(0.0)  # of matrices and kernels; biases and norms have none
    schedule: Literal["tri_stage", "linear", "constant"] = "tri_stage"  # after the warm-up
    warmup: float = not_negative(0.1)  # share of the updates
    hold: float = not_negative(0.4)  # share of the updates, tri_stage only
    final_lr_scale: float = above_zero(0.05)  # tri_stage only
    max_grad_norm: float = not_negative(1.0)  # 0: no clipping
    updates: int = above_zero(1000)
    accumulate: int = above_zero(1)  # batches an update, over all ranks: their number changes no result


@dataclass(frozen=True)
class RunRecipe:
    """How the run goes."""

    seed: int = not_negative(0)
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"  # auto: the fastest that the device computes in
    compile: bool = False  # torch.compile for every layer
    strategy: Literal["ddp", "fsdp"] = "ddp"  # of several ranks
    log_every: int = above_zero(50)  # updates
    eval_every: int = above_zero(500)  # updates
    save_every: int = not_negative(0)  # updates between states to resume from; 0: at every evaluation
    patience: int = not_negative(0)  # evaluations without a better one, after which the run ends; 0: never
    average_last: int = not_negative(0)  # evaluations whose weights are averaged at the end
    workers: int = not_negative(0)  # processes that read audio
    threads: int = not_negative(0)  # of the CPU; 0: torch's choice
    on_alarm: Literal["stop", "repair", "go_on"] = "stop"  # when a run fails; repair: the last state, half the lr
    device: str = "auto"


@dataclass(frozen=True)
class Recipe:
    """What the trainer reads of any recipe."""

    optim: OptimRecipe = field(default_factory=OptimRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def to_dict(self) -> JsonObject:
        """Plain values, as written beside the weights."""
        return {key: plain(value) for key, value in dataclasses.asdict(self).items()}

    def check(self, place: str) -> None:
        """Raise RecipeError for what could only fail later."""
        optim = self.optim
        if not all(0 <= beta < 1 for beta in optim.betas):
            raise RecipeError(f"{place}: optim.betas are {list(optim.betas)}; two numbers from 0 to below 1 are wanted")
        if optim.schedule == "tri_stage" and optim.warmup + optim.hold > 1:
            raise RecipeError(f"{place}: optim.warmup and optim.hold are shares of the run and add up to more than 1")


@dataclass(frozen=True)
class FinetuneData:
    """What is learnt, and how it is batched."""

    train: Path = Path()  # manifest
    dev: Path = Path()  # manifest of other speakers, for choosing the best model
    targets: Literal["text", "phones"] = "text"
    vocabulary: Path | None = None  # vocab.json; none: the start's own, else the symbols of the training utterances
    min_count: int = above_zero(1)  # symbols of these that occur less often are left out, their utterances dropped
    case: Literal["auto", "lower", "upper", "keep"] = "auto"  # of texts; auto: the vocabulary's, lower for a new one
    drop_punctuation: bool = False  # of texts, but for apostrophes inside words
    min_seconds: float = not_negative(0.1)  # shorter utterances are dropped, and it is said
    max_seconds: float = above_zero(30.0)  # longer utterances are dropped, and it is said
    batch_seconds: float = above_zero(100.0)  # padded seconds of one batch
    cache_mib: int = not_negative(512)  # of decoded audio kept in memory, 4.5 h in 1,000; not with run.workers


@dataclass(frozen=True)
class FinetuneModel:
    """Where the network starts, and what of it learns."""

    start: ModelName | None = None  # a model folder, checkpoint file or hub name; none: random weights
    new_head: bool = False  # another vocabulary and a fresh head for it, in place of the start's
    architecture: JsonObject = field(default_factory=dict)  # keys of config.json
    freeze_feature_encoder: bool = False
    freeze_encoder_updates: int = not_negative(0)  # only the head learns until then
    gradient_checkpointing: bool = False  # less memory, a third more time


@dataclass(frozen=True)
class AdapterRecipe:
    """A small part that learns in the place of the network; the head learns with it."""

    kind: Literal["none", "lora", "attention"] = "none"
    rank: int = above_zero(8)  # lora
    alpha: float = above_zero(16.0)  # lora; changes are scaled by alpha / rank
    dropout: float = not_negative(0.0)  # lora, of the changes' input
    modules: tuple[str, ...] = ("q_proj", "v_proj")  # lora: linear layers, by their names or the ends of them
    language: str | None = None  # attention: names the adapter's file
    dim: int | None = above_zero(None)  # attention: width of fresh adapters; none: config.json's adapter_attn_dim

    def check(self, place: str, *, has_start: bool) -> None:
        """Raise RecipeError for what could only fail later, or would be ignored."""
        owners = dict.fromkeys(("rank", "alpha", "dropout", "modules"), "lora")
        owners |= dict.fromkeys(("language", "dim"), "attention")
        for key, kind in owners.items():
            if self.kind != kind and getattr(self, key) != getattr(AdapterRecipe(), key):
                raise RecipeError(f"{place}: adapter.{key} is for adapter.kind {kind}; the kind is {self.kind}")
        if self.kind != "none" and not has_start:
            raise RecipeError(f"{place}: an adapter changes a model that is there; model.start is wanted")
        if self.kind == "lora" and (not self.modules or self.dropout >= 1):
            raise RecipeError(f"{place}: adapter.modules must name a layer, and adapter.dropout be below 1")
        if self.kind == "attention" and not re.fullmatch(r"[\w-]+", self.language or ""):
            raise RecipeError(
                f"{place}: adapter.language is {self.language!r}; a name for adapter.NAME.safetensors is wanted, of "
                "letters, digits, _ and -"
            )


@dataclass(frozen=True)
class FinetuneRecipe(Recipe):
    """CTC on labelled speech."""

    data: FinetuneData = field(default_factory=FinetuneData)
    model: FinetuneModel = field(default_factory=FinetuneModel)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    adapter: AdapterRecipe = field(default_factory=AdapterRecipe)

    def check(self, place: str) -> None:
        """Raise RecipeError for what could only fail later."""
        super().check(place)
        check_architecture(self.model.architecture, place)
        self.adapter.check(place, has_start=self.model.start is not None)
        check_files(self.data, ("train", "dev"), place)


def check_architecture(architecture: JsonObject, place: str) -> None:
    """Raise RecipeError where a key is none of config.json's."""
    names = {f.name for f in dataclasses.fields(Wav2Vec2Config)} - {"extra"}
    for key in architecture:
        check_known(key, dict.fromkeys(names), f"{place} [model.architecture]")


def check_files(table: object, keys: tuple[str, ...], place: str) -> None:
    """Raise RecipeError where a manifest of `[data]`, or one of several, does not exist."""
    for key in keys:
        value: Path | tuple[Path, ...] = getattr(table, key)
        paths = value if isinstance(value, tuple) else (value,)
        for path in paths:
            if not path.exists():
                raise RecipeError(f"{place}: data.{key} is {path}, which is not there; a manifest is wanted")
        if paths in ((), (Path(),)):
            raise RecipeError(f"{place}: data.{key} is missing; a manifest is wanted: --data.{key} FILE")


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def read_recipe(path: Path | str, kind: type[AnyRecipe], overrides: Mapping[str, Json] | None = None) -> AnyRecipe:
    """Read a TOML recipe.

    Args:
        path: the file, or the name of a recipe that ships with the package.
        kind: what it trains.
        overrides: dotted keys to values, such as `{"optim.lr": 1e-4}`; they win over the file. Paths among them are
            relative to the working folder.

    Raises:
        RecipeError: the file cannot be read, or a key or its value is not understood.
    """
    path = _find(path)
    hints = get_type_hints(kind)
    layers = [*_layers(path), (_nested(overrides or {}, path), Path.cwd())]
    parts = {}
    for name in {name: None for tables, _ in layers for name in tables}:
        check_known(name, hints, str(path))
        merged: object = None
        for tables, folder in layers:
            if name not in tables:
                continue
            values = tables[name]
            if not isinstance(values, dict):
                raise RecipeError(f"{path}: {name} is {values!r}; a table [{name}] is wanted")
            # Each layer is read by itself, as its paths are relative to its own folder; then its keys win.
            read = read_table(hints[name], values, f"{path} [{name}]", folder)
            changed = {key: _merge(getattr(merged, key, None), getattr(read, key)) for key in values}
            merged = dataclasses.replace(merged, **changed) if merged is not None else read  # type: ignore[type-var]
        parts[name] = merged
    recipe = kind(**parts)  # type: ignore[arg-type]
    recipe.check(str(path))
    return recipe


def _merge(before: object, after: object) -> object:
    """Tables within a table are merged key by key, all else is replaced."""
    return before | after if isinstance(before, dict) and isinstance(after, dict) else after


def _find(path: Path | str) -> Path:
    path = Path(path)
    if path.is_file() or path.suffix == ".toml" or len(path.parts) > 1:
        return path
    shipped = SHIPPED / f"{path}.toml"
    if not shipped.is_file():
        names = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.toml")))
        raise RecipeError(f"recipe {path} is no file and does not ship with xlsr; shipped: {names}")
    return shipped


def _layers(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[JsonObject, Path]]:
    """A recipe's tables with its folder, after those of the recipes that it extends."""
    if path in seen:
        raise RecipeError(f"recipe {path} extends itself")
    try:
        tables: JsonObject = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error
    base = tables.pop("extends", None)
    if base is None:
        return [(tables, path.parent)]
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends is {base!r}; the path of a recipe is wanted")
    below = SHIPPED / f"{base}.toml" if (SHIPPED / f"{base}.toml").is_file() else path.parent / base
    return [*_layers(below, (*seen, path)), (tables, path.parent)]


def _nested(overrides: Mapping[str, Json], path: Path) -> JsonObject:
    """{"optim.lr": 1} -> {"optim": {"lr": 1}}; a third name goes into a table of the table."""
    tables: JsonObject = {}
    for dotted, value in overrides.items():
        table, _, key = dotted.partition(".")
        inner, _, innermost = key.partition(".")
        if not key:
            raise RecipeError(f"{path}: {dotted!r} cannot be overridden; a key of a table is wanted, such as optim.lr")
        values = tables.setdefault(table, {})
        assert isinstance(values, dict)
        if innermost:
            nested = values.setdefault(inner, {})
            assert isinstance(nested, dict)
            nested[innermost] = value
        else:
            values[key] = value
    return tables
