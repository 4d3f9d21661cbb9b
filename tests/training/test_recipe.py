"""Recipes have a closed set of keys, and say which key is wrong."""

from __future__ import annotations

import json
import math

import pytest

from xlsr.errors import RecipeError
from xlsr.training.recipe import FinetuneRecipe, read_recipe
from xlsr.training.schedule import tri_stage

GOOD = '[data]\ntrain = "train.jsonl"\ndev = "dev.jsonl"\n[optim]\nlr = 1e-3\nbetas = [0.9, 0.98]\n'


@pytest.fixture
def path(tmp_path):
    for name in ("train.jsonl", "dev.jsonl"):
        (tmp_path / name).write_text("")
    (tmp_path / "recipe.toml").write_text(GOOD)
    return tmp_path / "recipe.toml"


def test_paths_are_relative_to_the_recipe(path) -> None:
    recipe = read_recipe(path, FinetuneRecipe, {"optim.updates": 7, "model.freeze_feature_encoder": True})
    assert recipe.data.train == path.parent / "train.jsonl"
    assert (recipe.optim.lr, recipe.optim.updates, recipe.model.freeze_feature_encoder) == (1e-3, 7, True)
    assert json.loads(json.dumps(recipe.to_dict()))["optim"]["betas"] == [0.9, 0.98]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optim.learning_rate": 1.0}, "unknown key 'learning_rate'"),
        ({"optim.updatse": 5}, "did you mean updates"),
        ({"optm.lr": 5}, "did you mean optim"),
        ({"optim.lr": "fast"}, "a number is wanted"),
        ({"optim.updates": 1.5}, "a whole number is wanted"),
        ({"optim.updates": 0}, "more than 0 is wanted"),
        ({"run.eval_every": 0}, "more than 0 is wanted"),
        ({"optim.final_lr_scale": 0.0}, "more than 0 is wanted"),
        ({"optim.max_grad_norm": -1}, "0 or more is wanted"),
        ({"optim.betas": [2, 3]}, "from 0 to below 1"),
        ({"optim.warmup": 0.9}, "add up to more than 1"),
        ({"seed": 3}, "a key of a table is wanted"),
        ({"optim.betas": [0.9]}, "a list of two numbers is wanted"),
        ({"run.device": 3}, "a string is wanted"),
        ({"model.new_head": "yes"}, "true or false is wanted"),
        ({"data.case": "title"}, "one of auto, lower, upper, keep is wanted"),
        ({"data.train": "nowhere.jsonl"}, "which is not there"),
        ({"model.architecture": {"hiden_size": 3}}, "did you mean hidden_size"),
    ],
)
def test_a_wrong_key_or_value_is_named(path, overrides, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(path, FinetuneRecipe, overrides)


def test_a_file_that_is_no_toml_is_named(path) -> None:
    path.write_text("[data\n")
    with pytest.raises(RecipeError, match=r"recipe\.toml cannot be read"):
        read_recipe(path, FinetuneRecipe)


@pytest.mark.parametrize(
    ("update", "lr"),
    [(0, 5e-7), (1000, 2.525e-5), (2000, 5e-5), (9999, 5e-5), (15000, 5e-5 * math.sqrt(0.05)), (20000, 2.5e-6)],
)
def test_tri_stage_has_fairseqs_values(update: int, lr: float) -> None:
    assert 5e-5 * tri_stage(update, 20_000) == pytest.approx(lr, rel=1e-6)
