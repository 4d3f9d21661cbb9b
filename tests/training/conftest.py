"""What every test of training leaves behind: nothing."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """The trainer flushes denormal numbers to zero in its process; other tests draw them."""
    yield
    torch.set_flush_denormal(False)
