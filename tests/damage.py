"""Damage done to files at random, and the limits within which a reader must refuse them."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

SECONDS = 2.0  # of this process, for a busy machine makes no reader slow
BYTES = 32 << 20  # the files under test are smaller than 1 MiB


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, zero, insert or remove; never leave as it was."""
    changed = bytearray(content)
    while bytes(changed) == content:
        place, size = int(rng.integers(len(content))), int(rng.integers(1, 40))
        match int(rng.integers(6)):
            case 0 | 1:
                changed[place] ^= int(rng.integers(1, 256))
            case 2:
                del changed[place:]
            case 3:
                changed[place : place + size] = bytes(min(size, len(content) - place))
            case 4:
                changed[place:place] = rng.bytes(size)
            case _:
                del changed[place : place + size]
    return bytes(changed)


def mutants(count: int) -> list:
    """How many: 200 always, more in the slow suite."""
    return [pytest.param(200, id="200"), pytest.param(count, id=str(count), marks=pytest.mark.slow)]


def spend(action: Callable[[], object]) -> None:
    """Run within the limits of processor time and of memory that Python and NumPy allocate."""
    tracemalloc.start()
    try:
        start = time.process_time()
        action()
        assert time.process_time() - start < SECONDS
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()
