"""Verbs that train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from xlsr.cli.app import app

if TYPE_CHECKING:
    from xlsr.config import Json


@app.command
def finetune(
    recipe: Path,
    /,
    *overrides: Annotated[str, Parameter(name="--TABLE.KEY VALUE", allow_leading_hyphen=True)],
    out: Annotated[Path, Parameter(alias="-o")],
    resume: bool = False,
) -> int:
    """Fine-tune a CTC model by a TOML recipe; any of its keys can be overridden: --optim.lr 1e-4.

    Args:
        recipe: the TOML file.
        out: folder of the run; its best/ is the model.
        resume: go on with the run in out.
        overrides: recipe keys with their values.
    """
    from xlsr.errors import require

    require("torch", "train", "training")
    from xlsr.training.finetune import finetune as run

    result = run(recipe, out, overrides=_parse_overrides(overrides), resume=resume)
    print(result.folder)
    return 0


@app.command
def pretrain(
    recipe: Path,
    /,
    *overrides: Annotated[str, Parameter(name="--TABLE.KEY VALUE", allow_leading_hyphen=True)],
    out: Annotated[Path, Parameter(alias="-o")],
    resume: bool = False,
) -> int:
    """Pre-train an encoder on speech without labels by a TOML recipe; any key can be overridden: --optim.lr 1e-4.

    Args:
        recipe: the TOML file, or the name of a shipped recipe: pretrain-mini, pretrain-base, continue-xlsr-53 ...
        out: folder of the run; its best/ is the model.
        resume: go on with the run in out.
        overrides: recipe keys with their values.
    """
    from xlsr.errors import require

    require("torch", "train", "training")
    from xlsr.training.pretrain import pretrain as run

    result = run(recipe, out, overrides=_parse_overrides(overrides), resume=resume)
    print(result.folder)
    return 0


def _parse_overrides(tokens: tuple[str, ...]) -> dict[str, Json]:
    """`--optim.lr 1e-4` or `--optim.lr=1e-4` -> {"optim.lr": 0.0001}; values are TOML, bare words are strings."""
    import tomllib

    from xlsr.errors import RecipeError

    words = [part for token in tokens for part in (token.split("=", 1) if token.startswith("--") else [token])]
    parsed: dict[str, Json] = {}
    for key, value in zip(words[::2], [*words[1::2], None], strict=False):
        name = key.removeprefix("--")
        if not key.startswith("--") or "." not in name or value is None:
            raise RecipeError(f"{key!r} is not understood; recipe keys are overridden as --table.key value")
        try:
            parsed[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[name] = value
    return parsed
