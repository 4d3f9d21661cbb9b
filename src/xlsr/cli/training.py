"""Verbs that train."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from xlsr.cli.app import app, usage

if TYPE_CHECKING:
    from xlsr.config import Json
    from xlsr.training.trainer import Result


@app.command
def finetune(
    recipe: str,
    /,
    *overrides: Annotated[str, Parameter(name="--TABLE.KEY VALUE", allow_leading_hyphen=True)],
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    resume: bool = False,
    probe: bool = False,
) -> int:
    """Fine-tune a CTC model by a TOML recipe; any of its keys can be overridden: --optim.lr 1e-4.

    Args:
        recipe: the TOML file, or the name of a recipe that ships with xlsr, such as base-10h.
        out: folder of the run; its best/ is the model, report.html its story.
        resume: go on with the run in out.
        probe: only see, within five minutes, whether these data and settings can learn 16 utterances by heart.
        overrides: recipe keys with their values.
    """
    from xlsr.errors import require

    require("torch", "train", "training")
    if probe:
        return _probe(recipe, _parse_overrides(overrides))
    if out is None:
        return usage("--out is missing: name the folder of the run")
    from xlsr.training.finetune import finetune as run

    result = run(recipe, out, overrides=_parse_overrides(overrides), resume=resume)
    return _finish(result)


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
    return _finish(result)


@app.command
def distill(
    recipe: Path,
    /,
    *overrides: Annotated[str, Parameter(name="--TABLE.KEY VALUE", allow_leading_hyphen=True)],
    out: Annotated[Path, Parameter(alias="-o")],
    resume: bool = False,
) -> int:
    """Teach a small encoder the features of a big one by a TOML recipe; any key can be overridden: --optim.lr 1e-4.

    Args:
        recipe: the TOML file, or the name of a shipped recipe: distill-mini, distill-phone.
        out: folder of the run; its best/ is the encoder, to be fine-tuned.
        resume: go on with the run in out.
        overrides: recipe keys with their values.
    """
    from xlsr.errors import require

    require("torch", "train", "training")
    from xlsr.training.distill import distill as run

    result = run(recipe, out, overrides=_parse_overrides(overrides), resume=resume)
    return _finish(result)


def _finish(result: Result) -> int:
    """Print the folder of the best model, one of several processes alone; returns the exit status."""
    if os.environ.get("RANK", "0") == "0":
        print(result.folder)
    return 0


def _probe(recipe: str, overrides: dict[str, Json]) -> int:
    from xlsr.training.probe import probe

    verdict = probe(recipe, overrides=overrides)
    for reference, hypothesis in verdict.samples:
        print(f"  {reference}\n> {hypothesis}", file=sys.stderr)
    print(
        f"xlsr: after {verdict.updates} updates the loss went from {verdict.losses[0]:.2f} to "
        f"{verdict.losses[-1]:.2f}, the error rate is {verdict.error_rate:.1%}",
        file=sys.stderr,
    )
    print(verdict.advice)
    return 0 if verdict.learns else 1


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
