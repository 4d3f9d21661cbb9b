"""Loops that NumPy cannot say, compiled by numba on first use and kept on disk. Floor 0.

Modules of compiled loops are imported where they are used, not with the package: numba itself takes a third of a
second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of numbers, arrays and tuples of them; `function.py_func` stays the plain one.

    The machine code is kept beside the module, or in numba's cache of the user where that cannot be written. Integer
    arithmetic wraps and bounds are not checked, so the caller checks its arrays first.
    """
    return numba.njit(cache=True, nogil=True)(function)


def compiled_in_place(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function as `compiled` does that makes no array and is called by compiled code only.

    It leaves out the counting of references to arrays, which costs small functions several times their own work, and
    makes them compile faster. numba means the option for itself, but takes it.
    """
    options: dict[str, Any] = {"nogil": True, "_nrt": False}
    made: Callable[P, R] = numba.njit(**options)(function)
    return made
