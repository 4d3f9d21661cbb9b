"""What every test may ask for: the corpora and the reference, which lie beside the repository or are skipped."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of corpora and references: XLSR_SHARED, else `shared` beside the repository."""
    folder = Path(os.environ.get("XLSR_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: the corpora and references are needed (set XLSR_SHARED)")
    return folder


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    return shared / "reference"


@pytest.fixture(scope="session")
def corpora(shared: Path) -> Path:
    return shared / "data"
