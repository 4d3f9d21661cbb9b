"""Where fine-tuning starts, and what it learns: whatever is kept is kept exactly, whatever is drawn is said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

import xlsr
from tests.checkpoint.fairseq_files import write_pretrained
from tests.models import LARGE, TINY, tiny, transformers_model
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import save
from xlsr.errors import RecipeError, TrainingError
from xlsr.tokenizer import Tokenizer
from xlsr.training.ctc import CTCTask
from xlsr.training.finetune import finetune
from xlsr.training.recipe import FinetuneRecipe, read_recipe

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
TEXTS = ["ab ca", "ba", "Cab"]
PHONES = ["tʃ aɪ", "aɪ s", "s tʃ s"]
