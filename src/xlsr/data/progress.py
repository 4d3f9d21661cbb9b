"""A progress bar for work that takes a while, where somebody watches. Floor 2."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 2.0  # nobody needs a bar for less


def watched(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield the same items; after two seconds with a bar on stderr, if that is a terminal."""
    shown_from = time.monotonic() + _PATIENCE_SECONDS if sys.stderr.isatty() else float("inf")
    remaining = iter(items)
    for done, item in enumerate(remaining, 1):
        yield item
        if time.monotonic() > shown_from:
            yield from _with_bar(remaining, label, total, done)


def _with_bar(items: Iterator[T], label: str, total: int, done: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task)
