"""What every test of training leaves behind: nothing; and the corpus of several."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.lessons import write_lessons


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """The trainer flushes denormal numbers to zero in its process; other tests draw them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def lessons(tmp_path_factory) -> Path:
    """Recordings, what a teacher made of them, the teacher, and a recipe of distillation."""
    folder = tmp_path_factory.mktemp("lessons")
    write_lessons(folder)
    return folder
