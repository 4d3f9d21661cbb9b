"""What a recipe can ask of a run: precision, memory, patience, averaging; and what a run leaves behind."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import xlsr
from tests.training.test_trainer import corpus, losses  # noqa: F401  (a fixture)
from xlsr.data.augment import AugmentRecipe
from xlsr.errors import AudioError, RecipeError, TrainingError
from xlsr.training.ctc import CTCTask, frames_needed
from xlsr.training.distributed import Ranks, settle_precision
from xlsr.training.finetune import finetune
from xlsr.training.recipe import FinetuneRecipe, read_recipe
from xlsr.training.schedule import lr_scale
from xlsr.training.tasks import Draw, Evaluation, standing
from xlsr.training.trainer import Trainer

SHORT = {"optim.updates": 4, "run.eval_every": 2, "run.log_every": 1}


def run(corpus, out, **options) -> list[float]:  # noqa: F811
    finetune(corpus / "recipe.toml", out, overrides=SHORT | options)
    return losses(out)


def test_gradient_checkpointing_changes_no_loss(corpus, tmp_path) -> None:  # noqa: F811
    plain = run(corpus, tmp_path / "plain")
    assert run(corpus, tmp_path / "saved", **{"model.gradient_checkpointing": True}) == pytest.approx(plain, rel=1e-6)


def test_bf16_follows_fp32(corpus, tmp_path) -> None:  # noqa: F811
    plain, half = run(corpus, tmp_path / "plain"), run(corpus, tmp_path / "half", **{"run.precision": "bf16"})
    assert half != plain
    assert half == pytest.approx(plain, rel=0.03)  # bf16 has 8 bits


@pytest.mark.parametrize(("capabilities", "wanted"), [({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32")])
def test_auto_is_what_the_processor_has(corpus, capabilities, wanted: str, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    recipe = read_recipe(corpus / "recipe.toml", FinetuneRecipe, {"run.precision": "auto"})
    assert settle_precision(recipe, "cpu").run.precision == wanted
    fixed = read_recipe(corpus / "recipe.toml", FinetuneRecipe, {"run.precision": "fp16"})
    assert settle_precision(fixed, "cpu") is fixed


def test_fp16_keeps_its_scale_when_it_is_resumed(corpus, tmp_path) -> None:  # noqa: F811
    whole = run(corpus, tmp_path / "whole", **{"run.precision": "fp16"})
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, SHORT | {"run.precision": "fp16"}))
    step = task.step

    def dying(network, batch, draw):
        if draw.update == 3:
            raise KeyboardInterrupt
        return step(network, batch, draw)

    task.step = dying
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, task.recipe, tmp_path / "parts").run()
    assert json.loads((tmp_path / "parts" / "progress.json").read_text())["scaler"]["scale"] > 1
    finetune(corpus / "recipe.toml", tmp_path / "parts", overrides=SHORT | {"run.precision": "fp16"}, resume=True)
    assert losses(tmp_path / "parts") == whole


def test_a_run_without_progress_ends_early(corpus, tmp_path) -> None:  # noqa: F811
    options = {"run.patience": 2, "optim.updates": 50, "optim.lr": 1e-12, "run.eval_every": 1}
    result = finetune(corpus / "recipe.toml", tmp_path, overrides=options)
    assert result.update == 1
    assert len(losses(tmp_path)) == 3


def test_the_last_weights_are_averaged_and_tried(corpus, tmp_path) -> None:  # noqa: F811
    run(corpus, tmp_path, **{"run.average_last": 2})
    first, last = (load_file(file) for file in sorted((tmp_path / "snapshots").iterdir()))
    mean = load_file(tmp_path / "averaged" / "model.safetensors")
    name = "lm_head.weight"
    torch.testing.assert_close(mean[name], (first[name] + last[name]) / 2)
    assert '"the mean of the weights of the last 2 evaluations:"' in (tmp_path / "log.jsonl").read_text()


def test_an_utterance_that_turns_out_too_short_is_left_out_by_name(corpus) -> None:  # noqa: F811
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe))
    batch = task.load(0, [0, 1, 2])
    batch.labels[1].extend([batch.labels[1][0]] * 100)
    draw = Draw(0, np.random.default_rng(0), np.random.default_rng(0))
    output = task.step(task.model, batch, draw)
    assert output.weight == 2
    assert torch.isfinite(output.loss)
    needed = frames_needed(batch.labels[1])
    assert output.notes == (
        f"{corpus / 'train1.wav'} is left out: its labels need {needed} frames, it has {batch.frames[1]}",
    )
    for row in batch.labels:
        row.extend([row[0]] * 100)
    nothing = task.step(task.model, batch, draw)
    assert (nothing.weight, nothing.loss.item()) == (0, 0.0)
    nothing.loss.backward()


def test_a_recording_that_cannot_be_read_is_left_out_by_name(corpus, tmp_path) -> None:  # noqa: F811
    rows = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()]
    for row in rows:
        row["audio"] = str(corpus / row["audio"])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    rows[5]["audio"] = str(tmp_path / "broken.wav")
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(corpus, tmp_path / "run", **{"data.train": str(tmp_path / "train.jsonl"), "optim.updates": 8})
    assert re.search(r"broken\.wav is left out: .*broken\.wav", (tmp_path / "run" / "log.jsonl").read_text())
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, {"data.train": str(tmp_path / "train.jsonl")}))
    assert len(task.load(0, [4, 5, 6]).labels) == 2
    with pytest.raises(AudioError, match="none of 1 recordings"):
        task.load(0, [5])


def test_a_loss_that_is_not_finite_stops_the_run_and_names_utterances(corpus, tmp_path) -> None:  # noqa: F811
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, SHORT))
    with torch.no_grad():
        task.network.lm_head.bias[3] = torch.nan
    with pytest.raises(TrainingError, match=r"not finite at update 0, which saw .*train\d+\.wav"):
        Trainer(task, task.recipe, tmp_path).run()


def test_ranks_must_share_the_batches_of_an_update_evenly(corpus, tmp_path) -> None:  # noqa: F811
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, {"optim.accumulate": 3}))
    with pytest.raises(TrainingError, match="3 batches an update, which 2 ranks cannot share"):
        Trainer(task, task.recipe, tmp_path, Ranks(0, 2))


def test_a_device_that_is_not_there_is_named(corpus, tmp_path) -> None:  # noqa: F811
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainingError, match="torch sees 0 GPUs"):
        finetune(corpus / "recipe.toml", tmp_path, overrides={"run.device": "cuda"})


def test_biases_and_norms_do_not_decay(corpus) -> None:  # noqa: F811
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, {"optim.head_lr": 0.5}))
    groups = task.parameter_groups()
    decaying = {id(p) for group in groups for p in group.parameters if group.weight_decay > 0}
    for name, p in task.model.named_parameters():
        assert (id(p) in decaying) == (p.ndim > 1 and not name.endswith("weight_g")), name
    assert {group.lr for group in groups} == {5e-3, 0.5}
    assert sum(len(group.parameters) for group in groups) == len(list(task.model.parameters()))


def test_a_report_and_a_card_are_left(corpus, tmp_path) -> None:  # noqa: F811
    run(corpus, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert "optim.lr" in page
    assert not re.findall(r'(?:src|href)="http', page)
    card = (tmp_path / "best" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "WER" in card
    assert xlsr.load_model(tmp_path / "best").transcribe(corpus / "dev0.wav").text is not None


def test_schedules(corpus) -> None:  # noqa: F811
    def recipe(name: str):
        options = {"optim.updates": 100, "optim.warmup": 0.1, "optim.schedule": name}
        return read_recipe(corpus / "recipe.toml", FinetuneRecipe, options).optim

    linear = recipe("linear")
    # Up over ten updates, then down to nothing in a straight line.
    assert [round(lr_scale(update, linear), 3) for update in (0, 9, 10, 55, 99)] == [0.1, 1.0, 1.0, 0.5, 0.011]
    assert [lr_scale(update, recipe("constant")) for update in (4, 10, 99)] == [0.5, 1.0, 1.0]


def test_extends_takes_the_keys_that_are_not_said_anew(corpus, tmp_path) -> None:  # noqa: F811
    child = corpus / "child.toml"
    child.write_text('extends = "recipe.toml"\n[optim]\nlr = 0.25\n[model.architecture]\nlayerdrop = 0.5\n')
    base, read = (read_recipe(corpus / name, FinetuneRecipe) for name in ("recipe.toml", "child.toml"))
    assert (read.optim.lr, read.optim.updates) == (0.25, base.optim.updates)
    assert read.model.architecture == base.model.architecture | {"layerdrop": 0.5}
    child.write_text('extends = "child.toml"\n')
    with pytest.raises(RecipeError, match="extends itself"):
        read_recipe(child, FinetuneRecipe)
    with pytest.raises(RecipeError, match=r"does not ship with xlsr; shipped: .*digits"):
        read_recipe("no-such-recipe", FinetuneRecipe)
    assert AugmentRecipe()


def test_tensorboard_gets_every_figure(corpus, tmp_path) -> None:  # noqa: F811
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = run(corpus, tmp_path)
    board = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"loss", "grad_norm", "dev_wer", "dev_cer"} <= set(board.Tags()["scalars"])
    assert [event.value for event in board.Scalars("loss")] == pytest.approx(found)


def test_augmentation_changes_what_is_learnt_and_is_repeatable(corpus, tmp_path) -> None:  # noqa: F811
    plain = run(corpus, tmp_path / "plain")
    varied = {"augment.speed_prob": 1.0, "augment.gain_prob": 0.5, "augment.telephone_prob": 0.5}
    assert run(corpus, tmp_path / "varied", **varied) != plain
    assert run(corpus, tmp_path / "again", **varied) == losses(tmp_path / "varied")
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, varied))
    first, second = (task.load(epoch, [3]) for epoch in (0, 1))
    assert first.seconds != second.seconds
    assert torch.equal(task.load(0, [3]).inputs, first.inputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
def test_a_compiled_network_learns_the_same(corpus, tmp_path) -> None:  # noqa: F811
    plain = run(corpus, tmp_path / "plain", **{"model.architecture.hidden_dropout": 0.0})
    compiled = run(corpus, tmp_path / "compiled", **{"model.architecture.hidden_dropout": 0.0, "run.compile": True})
    # The compiler adds in another order.
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_a_run_that_was_stopped_before_its_first_state_begins_anew(corpus, tmp_path) -> None:  # noqa: F811
    whole = run(corpus, tmp_path / "whole")
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, SHORT))
    task.step = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, task.recipe, tmp_path / "parts").run()
    finetune(corpus / "recipe.toml", tmp_path / "parts", overrides=SHORT, resume=True)
    assert losses(tmp_path / "parts") == whole


def test_an_evaluation_that_was_interrupted_is_made_up_for(corpus, tmp_path) -> None:  # noqa: F811
    whole = finetune(corpus / "recipe.toml", tmp_path / "whole", overrides=SHORT)
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, SHORT))
    task.evaluate = lambda ranks: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, task.recipe, tmp_path / "parts").run()
    resumed = finetune(corpus / "recipe.toml", tmp_path / "parts", overrides=SHORT, resume=True)
    assert resumed.figures == whole.figures
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_other_utterances_or_symbols_than_a_run_began_with_are_refused(corpus, tmp_path) -> None:  # noqa: F811
    rows = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()]
    for row in rows:
        row["audio"] = str(corpus / row["audio"])
    manifest, options = tmp_path / "train.jsonl", SHORT | {"data.train": str(tmp_path / "train.jsonl")}
    manifest.write_text("\n".join(map(json.dumps, rows)))
    finetune(corpus / "recipe.toml", tmp_path / "run", overrides=options)
    rows[3]["text"] = "abc"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(TrainingError, match="not those that it began with"):
        finetune(corpus / "recipe.toml", tmp_path / "run", overrides=options, resume=True)


def test_while_no_word_is_right_letters_choose_the_best_model(corpus, tmp_path) -> None:  # noqa: F811
    task = CTCTask(read_recipe(corpus / "recipe.toml", FinetuneRecipe, SHORT | {"run.eval_every": 1}))
    rates = iter([(0.97, 0.9), (1.03, 0.8), (0.99, 0.85), (1.0, 0.95)])
    task.evaluate = lambda ranks: Evaluation(dict(zip(("wer", "cer"), next(rates), strict=True)))
    assert Trainer(task, task.recipe, tmp_path).run().update == 2


def test_words_choose_the_best_model_once_some_are_right() -> None:
    assert standing({"wer": 0.5, "cer": 0.4}) < standing({"wer": 0.6, "cer": 0.3})
    assert standing({"wer": 0.5, "cer": 0.3}) < standing({"wer": 0.5, "cer": 0.4})
    assert standing({"loss_bits": 3.0, "accuracy": 0.1}) < standing({"loss_bits": 3.1, "accuracy": 0.0})


def test_a_device_nobody_has_is_named(corpus, tmp_path) -> None:  # noqa: F811
    with pytest.raises(TrainingError, match=r"run\.device is gpu, .* one of auto, cpu"):
        finetune(corpus / "recipe.toml", tmp_path, overrides={"run.device": "gpu"})
