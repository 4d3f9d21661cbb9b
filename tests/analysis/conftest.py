"""Folders of tiny models with random weights: pre-training ones, and one with a CTC head."""

from pathlib import Path

import pytest
import torch

from tests.models import ARCHITECTURES, tiny
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import save
from xlsr.config import Wav2Vec2Config
from xlsr.model.pretraining import Wav2Vec2ForPreTraining

CODEBOOKS = {"codevector_dim": 8, "num_codevectors_per_group": 40, "proj_codevector_dim": 12}


def saved(folder: Path, architecture: str) -> Path:
    torch.manual_seed(0)
    config = Wav2Vec2Config.from_dict(ARCHITECTURES[architecture] | CODEBOOKS)
    save(Description(config, extras={"name": "tiny"}), Wav2Vec2ForPreTraining(config), folder)
    return folder


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("large"), "large")


@pytest.fixture(scope="session")
def pretrained_base(tmp_path_factory) -> Path:
    """With group norm, whose statistics padding could spoil."""
    return saved(tmp_path_factory.mktemp("base"), "base")


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory) -> Path:
    folder, model = tmp_path_factory.mktemp("ctc"), tiny("large")
    save(Description(model.config), model, folder)
    return folder
