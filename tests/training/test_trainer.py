"""The loop learns, stops, resumes and saves what transformers reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import xlsr
from tests.models import LARGE, TINY
from xlsr.errors import TrainingError
from xlsr.tokenizer import Tokenizer
from xlsr.training.ctc import CTCTask
from xlsr.training.finetune import finetune
from xlsr.training.recipe import FinetuneRecipe, read_recipe
from xlsr.training.trainer import Trainer

TONES = {"a": 400.0, "b": 1500.0, "c": 3000.0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Words spelt in tones of 120 ms, which a tiny network learns in seconds."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("dev", 6)):
        rows = []
        for index in range(count):
            text = "".join(rng.choice(list(TONES), size=rng.integers(2, 6)))
            parts = [np.sin(2 * np.pi * TONES[letter] * np.arange(1920) / 16_000) for letter in text]
            gap = np.zeros(640)
            wave = np.concatenate([gap, *(part for tone in parts for part in (tone, gap))])
            name = f"{split}{index}.wav"
            soundfile.write(
                folder / name, (0.3 * wave + 0.01 * rng.standard_normal(len(wave))).astype("float32"), 16_000
            )
            rows.append(json.dumps({"audio": name, "text": text, "duration": len(wave) / 16_000}))
        (folder / f"{split}.jsonl").write_text("\n".join(rows))
    architecture = TINY | LARGE | {
        "num_conv_pos_embeddings": 8, "hidden_dropout": 0.1, "layerdrop": 0.1, "mask_time_prob": 0.1,
        "mask_time_length": 2, "mask_time_min_masks": 0,
    }  # fmt: skip
    architecture.pop("vocab_size")
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in architecture.items())
    (folder / "recipe.toml").write_text(
        '[data]\ntrain = "train.jsonl"\ndev = "dev.jsonl"\nbatch_seconds = 8\n'
        f"[model.architecture]\n{keys}\n[optim]\nlr = 5e-3\nupdates = 12\nweight_decay = 0.01\n"
        "[run]\neval_every = 6\nthreads = 1\n"
    )
    return folder


def losses(run) -> list[float]:
    return [row["loss"] for line in (run / "log.jsonl").read_text().splitlines() if "loss" in (row := json.loads(line))]


@pytest.mark.slow
def test_it_learns_and_the_best_model_transcribes(corpus, tmp_path) -> None:
    result = finetune(corpus / "recipe.toml", tmp_path, overrides={"optim.updates": 500, "run.eval_every": 100})
    assert result.figures["cer"] < 0.2
    model = xlsr.load_model(result.folder)
    rows = [json.loads(line) for line in (corpus / "dev.jsonl").read_text().splitlines()]
    texts = [model.transcribe(corpus / row["audio"]).text for row in rows]
    assert xlsr.cer([row["text"] for row in rows], texts) == pytest.approx(result.figures["cer"], abs=1e-6)


def test_a_resumed_run_equals_an_uninterrupted_one(corpus, tmp_path) -> None:
    whole = finetune(corpus / "recipe.toml", tmp_path / "whole")
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe))
    step, calls = task.step, iter(range(100))

    def dying(network, batch, draw):
        if next(calls) == 8:
            raise KeyboardInterrupt
        return step(network, batch, draw)

    task.step = dying
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, task.recipe, tmp_path / "parts").run()
    resumed = finetune(corpus / "recipe.toml", tmp_path / "parts", resume=True)
    assert resumed.figures == whole.figures
    assert losses(tmp_path / "parts")[-1] == pytest.approx(losses(tmp_path / "whole")[-1], rel=0.5)
    first, second = (load_file(tmp_path / name / "state-12" / "rank-0-of-1.safetensors") for name in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_run_is_not_overwritten_or_mixed_up(corpus, tmp_path) -> None:
    finetune(corpus / "recipe.toml", tmp_path, overrides={"optim.updates": 2})
    with pytest.raises(TrainingError, match="already holds a run"):
        finetune(corpus / "recipe.toml", tmp_path)
    with pytest.raises(TrainingError, match=r"another recipe: optim\.updates differs"):
        finetune(corpus / "recipe.toml", tmp_path, overrides={"optim.updates": 3}, resume=True)
    with pytest.raises(TrainingError, match="nothing to resume"):
        finetune(corpus / "recipe.toml", tmp_path / "nowhere", resume=True)
    next(tmp_path.glob("state-*/*.safetensors")).write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="damaged"):
        finetune(corpus / "recipe.toml", tmp_path, overrides={"optim.updates": 2}, resume=True)


def test_unusable_utterances_are_dropped_by_name_of_the_reason(corpus, tmp_path) -> None:
    rows = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()[:3]]
    for row in rows:
        row["audio"] = str(corpus / row["audio"])
    rows[0]["text"], rows[1]["text"], rows[2]["duration"] = None, "a" * 200, 99.0
    rows.append(rows[2] | {"text": "A?", "duration": 1.0})
    extra = [json.loads(line) | {"audio": str(corpus / f"train{i}.wav")}
             for i, line in enumerate((corpus / "train.jsonl").read_text().splitlines())]  # fmt: skip
    manifest = tmp_path / "train.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows + extra))
    Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"]).to_folder(tmp_path / "letters")
    overrides = {"data.train": str(manifest), "data.vocabulary": str(tmp_path / "letters" / "vocab.json")}
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, overrides))
    assert task.dropped == {
        "no text": 1,
        "more labels than frames": 1,
        "not between 0.1 and 30.0 s": 1,
        "symbols outside the vocabulary": 1,
    }


def test_a_model_to_start_from_keeps_its_weights_and_takes_other_masks(corpus, tmp_path) -> None:
    first = finetune(corpus / "recipe.toml", tmp_path / "first", overrides={"optim.updates": 2})
    start = {"model.start": str(first.folder), "model.architecture": {"mask_time_prob": 0.3, "hidden_dropout": 0.2}}
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, start))
    assert (task.network.config.mask_time_prob, task.network.config.hidden_dropout) == (0.3, 0.2)
    stored = xlsr.load_model(first.folder, engine="torch").engine.model.state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in task.network.state_dict().items())
    with pytest.raises(TrainingError, match="num_attention_heads"):
        CTCTask(
            read_recipe(
                corpus / "recipe.toml", FinetuneRecipe, start | {"model.architecture": {"num_attention_heads": 2}}
            )
        )


def test_the_word_delimiter_is_never_lost_between_symbols_of_whole_words(corpus, tmp_path) -> None:
    tokenizer = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "up", "down"])
    tokenizer.to_folder(tmp_path)
    rows = (corpus / "train.jsonl").read_text().splitlines()
    row = json.loads(rows[0]) | {"audio": str(corpus / "train0.wav"), "text": "up down down"}
    (tmp_path / "words.jsonl").write_text(json.dumps(row))
    words = str(tmp_path / "words.jsonl")
    overrides = {"data.vocabulary": str(tmp_path), "data.train": words, "data.dev": words}
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, overrides))
    labels = task.load(0, [0]).labels[0]
    assert labels == [5, 4, 6, 4, 6]
    assert tokenizer.decode(labels, group=False) == "up down down"


def test_frozen_parts_do_not_move(corpus, tmp_path) -> None:
    overrides = {"optim.updates": 3, "model.freeze_feature_encoder": True, "model.freeze_encoder_updates": 2,
                 "model.architecture.layerdrop": 0.0}  # fmt: skip
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, overrides))
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    Trainer(task, task.recipe, tmp_path).run()
    moved = {name for name, value in task.network.state_dict().items() if not torch.equal(value, before[name])}
    assert "lm_head.weight" in moved
    assert "wav2vec2.encoder.layers.0.attention.q_proj.weight" in moved
    assert not {name for name in moved if "feature_extractor" in name}
