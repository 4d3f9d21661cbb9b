"""Options that several verbs share, and what they refuse: a wrong call, before anything is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from xlsr.errors import ConfigError, XlsrError


def make_folder(path: Path) -> None:
    """Make the folder of `--output_dir`, if there is none. Raises XlsrError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XlsrError(f"the folder {path} cannot be made ({error.strerror}): name another --output_dir") from error


def _check_rate(kind: object, value: object) -> None:
    from xlsr.audio.channels import check_choice

    try:
        check_choice("mix", value)
    except ConfigError as error:
        raise ValueError(str(error)) from error  # which the application takes for a wrong call


def _check_seconds(kind: object, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError("A number of seconds above 0 is wanted.")


SampleRate = Annotated[int | Literal["auto", "header"], Parameter(validator=_check_rate)]
BatchSeconds = Annotated[float, Parameter(validator=_check_seconds)]
