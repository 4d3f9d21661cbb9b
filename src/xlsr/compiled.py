"""Loops that NumPy cannot say, compiled by numba on first use and kept on disk. Floor 0.

Modules of compiled loops are imported where they are used, not with the package: numba itself takes a third of a
second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of numbers, arrays and tuples of them; `function.py_func` stays the plain one.

    The machine code is kept beside the module, or in numba's cache of the user where that cannot be written. Integer
    arithmetic wraps and bounds are not checked, so the caller checks its arrays first.
    """
    return numba.njit(cache=True, nogil=True)(function)
