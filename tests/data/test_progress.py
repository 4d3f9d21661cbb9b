"""A bar appears where somebody watches long enough; the items are the same with and without."""

from __future__ import annotations

import io
import sys

import pytest

from xlsr.data import progress


class Screen(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "patience", "shown"), [(True, -1.0, True), (True, 60.0, False), (False, -1.0, False)]
)
def test_only_a_patient_watcher_sees_the_bar(monkeypatch, terminal: bool, patience: float, shown: bool) -> None:
    screen = Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", patience)
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress.watched(range(50), "listening", 50)) == list(range(50))
    assert ("listening" in screen.getvalue()) == shown


def test_nothing_to_watch_is_fine() -> None:
    assert list(progress.watched([], "listening", 0)) == []
