"""Runs of distillation: they resume, and what they save loads in transformers and starts a fine-tuning."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

import xlsr
from tests.conftest import REPOSITORY
from tests.training.lessons import PLAIN, make, stored
from tests.training.test_distributed import losses
from xlsr.checkpoint.hf import load
from xlsr.cli.training import _parse_overrides
from xlsr.data.manifest import read_manifest, write_manifest
from xlsr.data.stored_features import read_features
from xlsr.errors import TrainingError
from xlsr.model.wav2vec2 import Wav2Vec2Model
from xlsr.training.distill import distill
from xlsr.training.distill_recipe import DistillRecipe
from xlsr.training.finetune import finetune
from xlsr.training.recipe import SHIPPED, FinetuneRecipe, read_recipe
from xlsr.training.trainer import Trainer


def notes(run: Path) -> list[str]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row["note"] for row in rows if "note" in row]


@pytest.mark.parametrize("mask", [0.2, 0.0])
def test_the_best_encoder_is_one_that_transformers_loads(lessons, tmp_path, capfd, mask: float) -> None:
    overrides = {"model.architecture.mask_time_prob": mask, "optim.updates": 6}
    result = distill(lessons / "recipe.toml", tmp_path / "run", overrides=overrides)
    shown = " ".join(capfd.readouterr().err.split())
    assert "layer 1, 2 of 2" in shown
    assert "20 recordings (0.01 h) to learn from, 5 (0.00 h) to choose by" in shown
    assert "deu.jsonl" in shown
    assert result.folder == tmp_path / "run" / "best"
    assert list(result.figures) == ["frame_loss"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {"l1", "cosine", "loss"} <= set(rows[0])
    assert {"dev_frame_loss", "dev_l1", "dev_cosine"} <= set(rows[-1])
    wave = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 9_000)).astype("float32"))
    for name in ("best", "last"):
        theirs, told = transformers.Wav2Vec2Model.from_pretrained(tmp_path / "run" / name, output_loading_info=True)
        assert not told["missing_keys"]
        assert not told["unexpected_keys"]
        ours = load(tmp_path / "run" / name)[1]
        assert isinstance(ours, Wav2Vec2Model)
        with torch.no_grad():
            found, wanted = ours(wave), theirs.eval()(wave, output_hidden_states=True)
        torch.testing.assert_close(found.hidden, wanted.last_hidden_state, rtol=0, atol=1e-5)
        for mine, other in zip(found.states, wanted.hidden_states, strict=True):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    extras = json.loads((tmp_path / "run" / "last" / "xlsr.json").read_text())
    assert extras["figures"]["dev_frame_loss"] == pytest.approx(rows[-1]["dev_frame_loss"], abs=1e-5)
    assert extras["teacher"] == "teacher"


def test_it_learns(lessons, tmp_path) -> None:
    options = (
        PLAIN | stored(lessons) | {"optim.updates": 40, "run.eval_every": 20, "data.train": stored(lessons)["data.dev"]}
    )
    result = distill(lessons / "recipe.toml", tmp_path, overrides=options)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["loss"]
    assert result.figures["frame_loss"] < 0.7 * first


@pytest.mark.parametrize("source", ["live", "stored"])
def test_a_resumed_run_equals_an_uninterrupted_one(lessons, tmp_path, source: str) -> None:
    options = stored(lessons) if source == "stored" else {}
    whole = distill(lessons / "recipe.toml", tmp_path / "whole", overrides=options)
    task = make(lessons, **options)
    plain, calls = task.step, iter(range(100))

    def dying(network, batch, draw):
        if next(calls) == 17:
            raise KeyboardInterrupt
        return plain(network, batch, draw)

    task.step = dying
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, task.recipe, tmp_path / "parts").run()
    resumed = distill(lessons / "recipe.toml", tmp_path / "parts", overrides=options, resume=True)
    assert resumed.figures == whole.figures
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")  # bit for bit
    first, second = (load_file(tmp_path / name / "state-12" / "rank-0-of-1.safetensors") for name in ("whole", "parts"))
    assert "model/heads.0.deviation" in first
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def run_on(lessons: Path, out: Path, *options: str, ranks: int) -> dict[str, float]:
    """Distill by the command line; returns the best figures."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks), "-m"] if ranks > 1 else []
    command = [sys.executable, "-m", *launcher, "xlsr", "distill", str(lessons / "recipe.toml"), "--out", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(done.stdout.split()) == {str(out / "best")}
    return json.loads((out / "progress.json").read_text())["best"]


@pytest.fixture(scope="module")
def one_rank(lessons, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks") / "one"
    return out, run_on(lessons, out, ranks=1)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_give_the_losses_of_one(lessons, one_rank, tmp_path, strategy: str) -> None:
    figures_of_two = run_on(lessons, tmp_path / "two", "--run.strategy", strategy, ranks=2)
    assert len(losses(one_rank[0])) == 12
    assert losses(tmp_path / "two") == pytest.approx(losses(one_rank[0]), rel=1e-5)
    assert figures_of_two == pytest.approx(one_rank[1], rel=1e-4)


def test_a_teacher_of_another_pace_is_left_out_by_name(lessons, tmp_path) -> None:
    options = stored(lessons)
    rows = read_manifest(options["data.train"][0])
    np.save(tmp_path / "half.npy", np.zeros((12, 32), np.float16))
    np.save(tmp_path / "wide.npy", np.zeros((int(50 * rows[4].duration), 33), np.float16))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    rows[3], rows[4], rows[5] = (
        replace(rows[place], features=tmp_path / f"{name}.npy")
        for place, name in ((3, "half"), (4, "wide"), (5, "broken"))
    )
    write_manifest(rows, tmp_path / "list.jsonl")
    options |= {"data.train": str(tmp_path / "list.jsonl"), "optim.updates": 4, "run.eval_every": 4}
    distill(lessons / "recipe.toml", tmp_path / "run", overrides=options)
    said = " ".join(notes(tmp_path / "run"))
    assert "has 12 frames of its teacher" in said
    assert "has 33 numbers a frame; others have 32" in said
    assert "broken.npy of" in said


def test_a_student_starts_from_a_checkpoint_and_fine_tuning_from_a_student(lessons, tmp_path, capfd) -> None:
    first = distill(lessons / "recipe.toml", tmp_path / "first", overrides={"optim.updates": 2, "run.eval_every": 2})
    task = make(lessons, **{"model.start": str(first.folder), "model.architecture": {"hidden_dropout": 0.0}})
    stored_weights = load(first.folder)[1].state_dict()
    assert all(torch.equal(value, stored_weights[name]) for name, value in task.network.wav2vec2.state_dict().items())
    assert task.network.config.hidden_dropout == 0
    with pytest.raises(TrainingError, match="num_attention_heads cannot change"):
        make(lessons, **{"model.start": str(first.folder), "model.architecture.num_attention_heads": 4})
    (tmp_path / "tune.toml").write_text(
        f'[data]\ntrain = "{lessons / "eng.jsonl"}"\ndev = "{lessons / "dev.jsonl"}"\n[model]\nstart = "first/best"\n'
        "[optim]\nupdates = 1\n[run]\neval_every = 1\nthreads = 1\n"
    )
    tuned = finetune(tmp_path / "tune.toml", tmp_path / "tuned")
    assert "drawn afresh: lm_head" in capfd.readouterr().err
    assert load(tuned.folder)[0].extras["start"] == "best"


def test_shipped_recipes_are_read_and_small(lessons) -> None:
    manifests = {"data.train": str(lessons / "eng.jsonl"), "data.dev": str(lessons / "dev.jsonl")}
    names = {path.stem for path in SHIPPED.glob("distill-*.toml")}
    assert names == {"distill-mini", "distill-phone"}
    sizes = {}
    for name in names:
        recipe = read_recipe(name, DistillRecipe, manifests)
        assert (SHIPPED / f"{name}.toml").read_text("utf-8").startswith("# ")
        with torch.device("meta"):
            model = Wav2Vec2Model(xlsr.Wav2Vec2Config.from_dict(recipe.model.architecture))
        sizes[name] = sum(p.numel() for p in model.parameters()) / 1e6
    assert sizes["distill-mini"] < 6
    assert 13 < sizes["distill-phone"] < 15
    mini = read_recipe("mini", FinetuneRecipe, manifests)
    taught = read_recipe("distill-mini", DistillRecipe, manifests).model.architecture
    changed = {key for key, value in mini.model.architecture.items() if taught[key] != value}
    assert changed == {"mask_time_prob"}  # which `finetune mini --model.start` may change


def section() -> str:
    """What docs/training.md says of distillation."""
    text = (REPOSITORY / "docs" / "training.md").read_text("utf-8")
    return text.partition("## Make XLSR-300M fit a phone")[2].partition("\n## ")[0]


def test_recipes_and_commands_of_the_documents_are_understood(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("speech", "speech-dev", "radio", "clean", "dev", "taught/manifest", "taught-dev/manifest"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jsonl").write_text("")
    (tmp_path / "doc.toml").write_text(re.search(r"```toml\n(.*?)```", section(), re.DOTALL)[1])
    recipe = read_recipe(tmp_path / "doc.toml", DistillRecipe)
    assert recipe.teacher.layers == (6, 12, 18)
    assert recipe.model.architecture["hidden_size"] == 320
    found = []
    for line in re.findall(r"^    (xlsr .*)$", section().replace("\\\n", ""), re.MULTILINE):
        verb, name, *options = shlex.split(line)[1:]
        found.append(verb)
        kinds = {"distill": DistillRecipe, "finetune": FinetuneRecipe}
        if verb in kinds:
            place = options.index("-o")
            del options[place : place + 2]
            read_recipe(name, kinds[verb], _parse_overrides(tuple(options)))
    assert found == ["distill", "finetune", "features", "features", "distill"]


def test_the_script_of_the_documents_stores_what_another_encoder_hears(lessons, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = read_manifest(lessons / "dev.jsonl")
    write_manifest(rows, tmp_path / "speech.jsonl")
    code = re.search(r"```python\n(.*?)```", section(), re.DOTALL)[1]
    exec(code, {"whisper_encoder": lambda waveform: np.full((1500, 8), waveform[0])})
    found = read_manifest(tmp_path / "taught" / "manifest.jsonl")
    assert [len(read_features(row)) for row in found] == [-(-round(row.duration * 16_000) // 320) for row in rows]
