"""Pre-training learns, resumes, saves what transformers reads, and tells when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file

import xlsr
from tests.models import noise, tiny, transformers_negatives
from tests.training.test_distributed import losses
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import load, save
from xlsr.errors import CheckpointError, RecipeError, TrainingError
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.training.distributed import Ranks
from xlsr.training.pretrain import pretrain
from xlsr.training.pretrain_recipe import PretrainRecipe
from xlsr.training.pretraining import PretrainTask
from xlsr.training.recipe import SHIPPED, read_recipe
from xlsr.training.trainer import Trainer

RECIPE = """
[data]
train = ["eng.jsonl", "deu.jsonl"]
dev = "dev.jsonl"
alpha = 0.5
min_seconds = 0.5
max_seconds = 1.5
batch_seconds = 9.0
[model]
mask_length = 4
mask_prob = 0.5
[model.architecture]
conv_dim = [16, 32, 32, 32]
conv_kernel = [30, 10, 4, 2]
conv_stride = [10, 4, 4, 2]
conv_bias = true
feat_extract_norm = "layer"
do_stable_layer_norm = true
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 64
num_conv_pos_embeddings = 8
num_conv_pos_embedding_groups = 4
hidden_dropout = 0.1
layerdrop = 0.2
initializer_range = 0.08
codevector_dim = 16
proj_codevector_dim = 16
num_codevectors_per_group = 16
num_negatives = 20
[optim]
lr = 3e-3
schedule = "constant"
warmup = 0.1
updates = 12
accumulate = 2
[run]
threads = 1
log_every = 1
eval_every = 6
device = "cpu"
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two languages of tones that last 60 to 160 ms, each with its own scale."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for name, count, scale in (("eng", 40, 300), ("deu", 10, 420), ("dev", 6, 300)):
        rows = []
        for index in range(count):
            tones = [
                np.sin(2 * np.pi * scale * 1.3 ** rng.integers(0, 9) * np.arange(rng.integers(960, 2560)) / 16_000)
                for _ in range(rng.integers(10, 24))
            ]
            wave = np.concatenate(tones)
            wave = (0.3 * wave + 0.02 * rng.standard_normal(len(wave))).astype("float32")
            soundfile.write(folder / f"{name}{index}.wav", wave, 16_000)
            language = "deu" if name == "deu" or index % 2 else "eng"
            language = language if name == "dev" else name
            rows.append(json.dumps(
                {"audio": f"{name}{index}.wav", "duration": len(wave) / 16_000, "language": language}
            ))  # fmt: skip
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def make(corpus, **overrides) -> PretrainTask:
    return PretrainTask(read_recipe(corpus / "recipe.toml", PretrainRecipe, overrides))


def figures(run) -> list[dict]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "loss_bits" in row]


def notes(run) -> list[str]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row["note"] for row in rows if "note" in row]


def test_the_best_model_is_one_that_transformers_loads(corpus, tmp_path, capfd) -> None:
    result = pretrain(corpus / "recipe.toml", tmp_path / "run")
    shown = capfd.readouterr().err
    assert "of an epoch (alpha 0.5)" in shown
    assert "deu.jsonl" in shown
    assert result.folder == tmp_path / "run" / "best"
    assert list(result.figures) == ["loss_bits", "accuracy", "code_perplexity", "prob_perplexity"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {"dev_loss_bits_deu", "dev_accuracy_eng", "dev_prob_perplexity_eng"} <= set(rows[-1])
    expected = {"loss_bits", "accuracy", "code_perplexity", "prob_perplexity", "temperature", "features_pen", "masked"}
    assert expected <= set(rows[0])
    for name in ("best", "last"):
        theirs = transformers.Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "run" / name).eval()
        ours = load(tmp_path / "run" / name)[1]
        assert isinstance(ours, Wav2Vec2ForPreTraining)
        mask = torch.zeros(1, 49, dtype=torch.bool)
        mask[0, 4:19] = True
        negatives = torch.randint(1, 14, (15, 7))
        with torch.no_grad():
            found = ours(noise(16000)[0], time_mask=mask, negatives=negatives)
            wanted = theirs(
                noise(16000)[0], mask_time_indices=mask,
                sampled_negative_indices=transformers_negatives(mask, negatives),
            )  # fmt: skip
        torch.testing.assert_close(found.states, wanted.projected_states[mask], rtol=0, atol=1e-4)
        torch.testing.assert_close(found.targets, wanted.projected_quantized_states[mask], rtol=0, atol=1e-4)


def test_a_resumed_run_equals_an_uninterrupted_one(corpus, tmp_path) -> None:
    whole = pretrain(corpus / "recipe.toml", tmp_path / "whole")
    task = make(corpus)
    step, calls = task.step, iter(range(100))

    def dying(network, batch, draw):
        if next(calls) == 17:
            raise KeyboardInterrupt
        return step(network, batch, draw)

    task.step = dying
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, task.recipe, tmp_path / "parts").run()
    assert len(figures(tmp_path / "parts")) == 8
    resumed = pretrain(corpus / "recipe.toml", tmp_path / "parts", resume=True)
    assert resumed.figures == whole.figures
    one, two = (
        [{k: v for k, v in row.items() if not k.endswith("_per_second")} for row in figures(tmp_path / name)]
        for name in ("whole", "parts")
    )
    assert one == two  # bit for bit, the noise's temperature included
    first, second = (load_file(tmp_path / name / "state-12" / "rank-0-of-1.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def run_on(corpus, out, *options: str, ranks: int) -> dict[str, float]:
    """Pre-train by the command line; returns the best figures."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks), "-m"] if ranks > 1 else []
    command = [sys.executable, "-m", *launcher, "xlsr", "pretrain", str(corpus / "recipe.toml"), "--out", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(done.stdout.split()) == {str(out / "best")}
    return json.loads((out / "progress.json").read_text())["best"]


@pytest.fixture(scope="module")
def one_rank(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks") / "one"
    return out, run_on(corpus, out, ranks=1)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_give_the_losses_of_one(corpus, one_rank, tmp_path, strategy: str) -> None:
    figures_of_two = run_on(corpus, tmp_path / "two", "--run.strategy", strategy, ranks=2)
    assert len(losses(one_rank[0])) == 12
    assert losses(tmp_path / "two") == pytest.approx(losses(one_rank[0]), rel=1e-5)
    assert figures_of_two == pytest.approx(one_rank[1], rel=1e-4)


def test_batches_are_parts_of_one_length_and_repeat(corpus) -> None:
    task = make(corpus)
    plan = task.plan(3)
    assert plan == task.plan(3) != task.plan(4)
    for indices in plan:
        seconds = [task.speech.seconds[index] for index in indices]
        assert max(seconds) <= 1.25 * min(seconds)
        assert len(seconds) * max(seconds) <= 9.0
        batch = task.load(3, indices)
        assert batch.inputs.shape[1] / 16_000 == pytest.approx(min(seconds), abs=1e-3)
        assert torch.equal(batch.inputs, task.load(3, indices).inputs)
    long = next(indices for indices in plan if len(indices) > 1)
    assert not torch.equal(task.load(3, long).inputs, task.load(4, long).inputs)  # another part, another epoch


def test_short_recordings_are_dropped(corpus) -> None:
    task = make(corpus, **{"data.min_seconds": 1.4})
    assert 0 < task.speech.dropped[0] == 50 - len(task.train)
    assert min(u.duration for u in task.train) >= 1.4
    with pytest.raises(TrainingError, match=r"no recording of at least 60\.0 s"):
        make(corpus, **{"data.min_seconds": 60.0, "data.max_seconds": 70.0})


@pytest.mark.parametrize(("update", "wanted"), [(0, 2.0), (100_000, 2 * 0.999995**100_000), (277_259, 0.5)])
def test_the_temperature_is_a_function_of_the_update(corpus, update: int, wanted: float) -> None:
    assert make(corpus).temperature(update) == pytest.approx(wanted)


def test_the_penalty_enters_the_loss_times_the_masked_frames(corpus) -> None:
    outputs = []
    for weight in (0.0, 10.0):
        task = make(corpus, **{"model.features_pen": weight})
        trainer = Trainer.__new__(Trainer)
        trainer.recipe, trainer.update = task.recipe, 0
        outputs.append(task.step(task.network, task.load(0, task.plan(0)[0]), trainer._draw(0)))
    extra = 10 * outputs[1].metrics["features_pen"]
    torch.testing.assert_close(outputs[1].loss - outputs[0].loss, extra, rtol=1e-4, atol=1e-3)
    assert outputs[0].weight == outputs[1].weight > 0


def test_a_batch_without_masked_frames_takes_part_without_weight(corpus) -> None:
    task = make(corpus, **{"model.mask_length": 200})
    trainer = Trainer.__new__(Trainer)
    trainer.recipe, trainer.update = task.recipe, 0
    output = task.step(task.network, task.load(0, task.plan(0)[0]), trainer._draw(0))
    output.loss.backward()
    assert output.weight == 0
    assert output.loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in task.network.parameters())


def test_a_run_goes_on_from_a_checkpoint(corpus, tmp_path) -> None:
    first = pretrain(corpus / "recipe.toml", tmp_path / "first", overrides={"optim.updates": 2})
    start = {"model.start": str(first.folder), "model.architecture": {"hidden_dropout": 0.0}}
    task = make(corpus, **start)
    stored = load(first.folder)[1].state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in task.network.state_dict().items())
    assert task.fresh == ()
    assert task.network.config.hidden_dropout == 0
    changed = start | {"model.architecture.num_attention_heads": 4}
    with pytest.raises(TrainingError, match="num_attention_heads cannot change"):
        make(corpus, **changed)
    with pytest.raises(CheckpointError, match="nowhere"):
        make(corpus, **{"model.start": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("mask_time_prob", [0.05, 0.0])
def test_an_encoder_without_a_quantizer_gets_fresh_heads_and_it_is_said(
    corpus, tmp_path, capfd, mask_time_prob: float
) -> None:
    model = tiny("large", mask_time_prob=mask_time_prob)
    save(Description(model.config), model, tmp_path / "ctc")
    recipe = (corpus / "recipe.toml").read_text()
    head, tail = recipe[: recipe.index("[model.architecture]")], recipe[recipe.index("[optim]") :]
    (corpus / "bare.toml").write_text(head + "[model.architecture]\nnum_negatives = 10\ncodevector_dim = 8\n" + tail)
    overrides = {"model.start": str(tmp_path / "ctc"), "optim.updates": 1}
    folder = pretrain(corpus / "bare.toml", tmp_path / "run", overrides=overrides).folder
    shown = " ".join(capfd.readouterr().err.split())
    assert "drawn afresh: project_hid, project_q, quantizer" in shown
    assert load(folder)[1].wav2vec2.masked_spec_embed.requires_grad
    transformers.Wav2Vec2ForPreTraining.from_pretrained(folder)


def test_evaluation_repeats_and_no_language_is_lost(corpus) -> None:
    task = make(corpus)
    task.network.eval()
    first, second = task.evaluate(Ranks()), task.evaluate(Ranks())
    assert first == second
    means = [first.details[f"loss_bits_{name}"] for name in ("deu", "eng")]
    assert min(means) <= first.figures["loss_bits"] <= max(means)


def test_a_collapsed_codebook_is_never_the_best_model(corpus) -> None:
    task = make(corpus)
    task.network.eval()
    with torch.no_grad():
        task.network.quantizer.weight_proj.weight.zero_()
        task.network.quantizer.weight_proj.bias[::16] = 9.0
    found = task.evaluate(Ranks()).figures
    assert found["loss_bits"] == pytest.approx(np.log2(21))
    assert (found["accuracy"], found["code_perplexity"]) == (0.0, 2.0)


def sabotaged(corpus, kind: str, seed: int) -> PretrainTask:
    """A task of 200 updates that goes wrong, or does not."""
    changes = {
        "none": {},
        "rate": {"optim.lr": 3e-3 * 50},
        "diversity": {"model.architecture.diversity_loss_weight": 0.0,
                      "model.architecture.num_codevectors_per_group": 2},
        "silence": {},
    }[kind]  # fmt: skip
    task = make(corpus, **{"run.seed": seed, "optim.updates": 200, "optim.accumulate": 1, "run.eval_every": 1000,
                           "run.log_every": 20, "model.architecture.hidden_dropout": 0.0,
                           "model.architecture.layerdrop": 0.0, **changes})  # fmt: skip
    if kind == "silence":
        load_batch = task.load
        task.load = lambda epoch, indices: (lambda b: replace(b, inputs=0 * b.inputs))(load_batch(epoch, indices))
    return task


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("rate", "divergence|codebook collapse"),
        ("diversity", "codebook collapse"),
        ("silence", "dead input"),
        ("none", None),
    ],
)
def test_sabotage_is_caught_and_named_within_200_updates(corpus, tmp_path, kind: str, name: str | None) -> None:
    task = sabotaged(corpus, kind, seed=3)
    trainer = Trainer(task, task.recipe, tmp_path)
    if name is None:
        trainer.run()
        bits = [row["loss_bits"] for row in figures(tmp_path)]
        assert bits[-1] < 0.97 * np.log2(21)
        return
    with pytest.raises(TrainingError, match=f"^({name}): "):
        trainer.run()


def test_a_failing_run_is_repaired_at_half_the_rate(corpus, tmp_path) -> None:
    recipe = {"run.on_alarm": "repair", "optim.updates": 4, "run.eval_every": 2, "optim.accumulate": 1}
    task = make(corpus, **recipe)
    step, count = task.step, iter(range(100))

    def exploding(network, batch, draw):
        output = step(network, batch, draw)
        return replace(output, loss=output.loss * float("nan")) if next(count) == 3 else output

    task.step = exploding
    Trainer(task, task.recipe, tmp_path).run()
    note = notes(tmp_path)[0]
    assert "divergence at update 3: the loss is not finite" in note
    assert "Back at update 2: the learning rate is 0.5 of the recipe's" in note
    assert json.loads((tmp_path / "progress.json").read_text())["repairs"] == 1
    assert [row["update"] for row in figures(tmp_path)] == [1, 2, 3, 3, 4]
    # What fails again and again is given up.
    task = make(corpus, **recipe)
    task.step = lambda network, batch, draw: replace(o := step(network, batch, draw), loss=o.loss * float("nan"))
    with pytest.raises(TrainingError, match="3 repairs did not help"):
        Trainer(task, task.recipe, tmp_path / "again").run()


def test_shipped_recipes_are_read_and_have_the_released_sizes(corpus) -> None:
    sizes = {
        "pretrain-base": 95_044_608, "pretrain-large": 317_390_592, "pretrain-xlsr-53": 317_390_592,
        "pretrain-robust": 317_390_592, "pretrain-mini": None, "continue-xlsr-53": None,
    }  # fmt: skip
    assert sizes.keys() <= {path.stem for path in SHIPPED.glob("*.toml")}
    manifests = {"data.train": str(corpus / "eng.jsonl"), "data.dev": str(corpus / "dev.jsonl")}
    for name, parameters in sizes.items():
        recipe = read_recipe(name, PretrainRecipe, manifests)
        with torch.device("meta"):
            model = Wav2Vec2ForPreTraining(xlsr.Wav2Vec2Config.from_dict(recipe.model.architecture))
        found = sum(p.numel() for p in model.parameters())
        assert found == parameters if parameters else name != "pretrain-mini" or found < 20e6
    assert recipe.model.start == "facebook/wav2vec2-large-xlsr-53"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.train": "nowhere.jsonl"}, "which is not there"),
        ({"data.train": []}, "data.train is missing"),
        ({"model.temperature": [0.1, 2.0]}, "from high to low"),
        ({"model.temperature_decay": 1.1}, "at most 1"),
        ({"data.min_seconds": 9.0}, "more than data.max_seconds"),
        ({"model.mask_probability": 0.5}, "did you mean mask_prob"),
        ({"data.train": [3]}, "a path is wanted"),
    ],
)
def test_a_wrong_key_or_value_is_named(corpus, overrides, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(corpus / "recipe.toml", PretrainRecipe, overrides)
