"""What every test may ask for: the corpora and the reference, which lie beside the repository or are skipped."""

import os
import warnings
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


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A folder of a tiny random model with its weights and an OpenVINO graph."""
    from tests.models import tiny
    from xlsr.checkpoint.folder import Description
    from xlsr.checkpoint.hf import save
    from xlsr.export.graph import export_model
    from xlsr.tokenizer import Tokenizer

    folder = tmp_path_factory.mktemp("tiny")
    model = tiny("large")
    tokenizer = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"])
    save(Description(model.config, tokenizer, extras={"name": "tiny"}), model, folder)
    with warnings.catch_warnings():  # torch's exporter warns of its own parts
        warnings.simplefilter("ignore")
        export_model("openvino", folder, folder)
    return folder
