"""Every recipe that ships is read, and has the values of the published ones."""

from __future__ import annotations

import pytest

from xlsr.config import Wav2Vec2Config
from xlsr.training.recipe import SHIPPED, FinetuneRecipe, read_recipe

NAMES = sorted(
    path.stem for path in SHIPPED.glob("*.toml") if not path.stem.startswith(("pretrain-", "continue-", "distill-"))
)  # of fine-tuning

# fairseq's configurations: lr, updates, seconds a batch, batches an update, time masks, channel masks, layerdrop,
# updates in which only the head learns. Masks are the share of positions before overlap, as in Hugging Face.
PUBLISHED = {
    "base-10min": (5e-5, 13_000, 200, 8, 0.65, 0.25, 0.1, 10_000),
    "base-1h": (5e-5, 13_000, 200, 8, 0.65, 0.25, 0.1, 10_000),
    "base-10h": (5e-5, 20_000, 200, 8, 0.65, 0.5, 0.05, 10_000),
    "base-100h": (3e-5, 80_000, 200, 8, 0.65, 0.5, 0.1, 0),
    "base-960h": (1e-4, 320_000, 200, 8, 0.5, 0.1, 0.1, 0),
    "large-10min": (1e-4, 13_000, 80, 20, 0.65, 0.25, 0.1, 10_000),
    "large-1h": (3e-4, 13_000, 80, 20, 0.75, 0.25, 0.1, 10_000),
    "large-10h": (1e-4, 20_000, 80, 20, 0.75, 0.25, 0.1, 10_000),
    "large-100h": (3e-5, 80_000, 80, 20, 0.5, 0.5, 0.1, 10_000),
    "large-960h": (3e-5, 320_000, 80, 24, 0.5, 0.25, 0.1, 10_000),
    "robust": (3e-5, 320_000, 80, 24, 0.5, 0.25, 0.1, 10_000),
    "xls-r": (3e-4, 13_000, 80, 20, 0.75, 0.25, 0.1, 10_000),
    "xls-r-2b": (3e-5, 13_000, 160, 24, 0.4, 0.25, 0.1, 10_000),
    "xlsr-53": (3e-4, 13_000, 80, 20, 0.75, 0.25, 0.1, 10_000),
    "phones": (3e-4, 13_000, 80, 20, 0.75, 0.25, 0.1, 10_000),
    "mms-1b": (3e-4, 13_000, 80, 20, 0.75, 0.25, 0.1, 10_000),
}
STARTS = {
    "base": "facebook/wav2vec2-base",
    "large": "facebook/wav2vec2-large-lv60",
    "robust": "facebook/wav2vec2-large-robust",
    "xls-r": "facebook/wav2vec2-xls-r-300m",
    "xls-r-2b": "facebook/wav2vec2-xls-r-2b",
    "xlsr-53": "facebook/wav2vec2-large-xlsr-53",
    "phones": "facebook/wav2vec2-large-xlsr-53",
    "mms-1b": "facebook/mms-1b",
}
OTHERS = {"digits", "mini", "mini-phones"}


@pytest.fixture
def read(tmp_path):
    for name in ("train.jsonl", "dev.jsonl"):
        (tmp_path / name).write_text("")
    manifests = {f"data.{name}": str(tmp_path / f"{name}.jsonl") for name in ("train", "dev")}
    return lambda name: read_recipe(name, FinetuneRecipe, manifests)


def test_every_shipped_recipe_is_known_here() -> None:
    assert set(NAMES) == PUBLISHED.keys() | OTHERS


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_says_what_it_is_and_makes_a_network(read, name: str) -> None:
    recipe = read(name)
    assert (SHIPPED / f"{name}.toml").read_text("utf-8").startswith("# ")
    config = Wav2Vec2Config.from_dict(recipe.model.architecture)
    assert config.mask_time_prob > 0
    assert (recipe.model.start is None) == (name in OTHERS)
    assert (recipe.data.targets == "phones") == ("phones" in name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_fine_tuning_recipes_have_the_published_values(read, name: str) -> None:
    recipe = read(name)
    optim, data, model, network = recipe.optim, recipe.data, recipe.model, recipe.model.architecture
    assert PUBLISHED[name] == (
        optim.lr, optim.updates, data.batch_seconds, optim.accumulate, network["mask_time_prob"],
        network["mask_feature_prob"], network["layerdrop"], model.freeze_encoder_updates,
    )  # fmt: skip
    assert model.start == STARTS[name if name in STARTS else name.partition("-")[0]]
    assert (optim.schedule, optim.warmup, optim.hold, optim.final_lr_scale) == ("tri_stage", 0.1, 0.4, 0.05)
    assert (optim.betas, optim.eps, optim.weight_decay, optim.max_grad_norm) == ((0.9, 0.98), 1e-8, 0, 0)
    assert model.freeze_feature_encoder
    dropouts = {key: value for key, value in network.items() if key.endswith("_dropout")}
    assert dropouts.pop("activation_dropout") == 0.1
    assert len(dropouts) == 4
    assert not any(dropouts.values())
    spans = {key: network[f"mask_{key}"] for key in ("time_length", "time_min_masks", "feature_length")}
    assert spans == {"time_length": 10, "time_min_masks": 2, "feature_length": 64}


@pytest.mark.parametrize("name", ["mini", "mini-phones"])
def test_mini_is_small(read, name: str) -> None:
    from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

    config = Wav2Vec2Config.from_dict(read(name).model.architecture)
    assert (config.hidden_size, config.feat_extract_norm, config.field_samples) == (256, "layer", 400)
    assert config.num_frames(16_000) == 49
    assert sum(p.numel() for p in Wav2Vec2ForCTC(config).parameters()) < 6e6
