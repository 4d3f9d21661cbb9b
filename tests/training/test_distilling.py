"""The task of distillation: valid frames count and padding does not, and features are cut with the waveform."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers

from tests.models import BERT, TINY, tiny, transformers_model
from tests.training.lessons import PLAIN, STORED, make, stored
from xlsr.audio import normalize_waveform
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import load, save
from xlsr.errors import AudioError, ConfigError, RecipeError, TrainingError
from xlsr.training.distill_recipe import DistillRecipe
from xlsr.training.distilling import DistillTask
from xlsr.training.distributed import Ranks
from xlsr.training.recipe import read_recipe
from xlsr.training.tasks import Draw
from xlsr.training.trainer import Trainer


def draw(task: DistillTask, update: int = 0) -> Draw:
    trainer = Trainer.__new__(Trainer)
    trainer.recipe, trainer.update = task.recipe, update
    return trainer._draw(0)


def step(task: DistillTask, *indices: int):
    return task.step(task.network, task.load(0, indices), draw(task))


@pytest.mark.parametrize("architecture", ["large", "base"])
def test_the_loss_is_the_formula_over_single_utterances(lessons, tmp_path, architecture: str) -> None:
    """The teacher is transformers', the student hears one utterance at a time, and sums are NumPy's."""
    model = tiny(architecture, seed=1)
    save(Description(model.config), model, tmp_path / "teacher")
    theirs = transformers.Wav2Vec2Model.from_pretrained(tmp_path / "teacher").eval()
    weights = {"teacher.model": str(tmp_path / "teacher"), "teacher.l1": 0.7, "teacher.cosine": 1.5}
    task = make(lessons, **PLAIN, **weights, **{"teacher.student_layers": [2, 3], "data.max_seconds": 2.0})
    output = step(task, 0, 3, 16, 5)
    total, frames = 0.0, 0
    for index in (0, 3, 16, 5):
        wave = torch.from_numpy(normalize_waveform(task.waveform(task.train[index])))[None]
        with torch.no_grad():
            encoded = task.network.wav2vec2(wave)
            heard = theirs(wave, output_hidden_states=True)
        taught = (heard.hidden_states[1], heard.last_hidden_state)
        for head, own, given in zip(task.network.heads, (encoded.states[2], encoded.hidden), taught, strict=True):
            found = head.linear(own)[0].detach().double().numpy()
            wanted = ((given[0] - head.mean) / head.deviation).double().numpy()
            lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
            cosine = (found * wanted).sum(axis=1) / lengths
            total += (0.7 * np.abs(found - wanted).mean(axis=1) + 1.5 * (1 - cosine)).sum() / 2
        frames += len(found)
    assert output.weight == frames
    assert output.loss.item() == pytest.approx(total, rel=1e-4)  # fp32 against fp64


def test_a_batch_has_the_loss_of_its_utterances(lessons) -> None:
    task = make(lessons, **PLAIN, **{"data.max_seconds": 2.0})
    together, single = step(task, 0, 3, 16, 5), [step(task, index) for index in (0, 3, 16, 5)]
    assert together.weight == sum(one.weight for one in single)
    assert together.loss.item() == pytest.approx(sum(one.loss.item() for one in single), rel=1e-4)


def test_stored_features_give_the_loss_of_the_live_teacher(lessons) -> None:
    plain = PLAIN | {"data.max_seconds": 2.0}
    live, taught = make(lessons, **plain, **{"teacher.layers": []}), make(lessons, **plain, **stored(lessons))
    assert taught.teacher.sizes == live.teacher.sizes == (32,)
    for indices in live.plan(0)[:3]:
        one, two = step(live, *indices), step(taught, *indices)
        assert one.weight == two.weight
        assert two.loss.item() == pytest.approx(one.loss.item(), rel=1e-4)  # other batches, other rounding


def test_gradients_reach_the_student_only(lessons, tmp_path) -> None:
    task = make(lessons)
    before = {name: value.clone() for name, value in task.teacher.encoder.state_dict().items()}
    student = {name: value.clone() for name, value in task.network.state_dict().items()}
    step(task, 0, 1, 2).loss.backward()
    assert all(p.grad is None for p in task.teacher.encoder.parameters())
    silent = {name for name, p in task.network.named_parameters() if p.grad is None}
    assert all(name.startswith("wav2vec2.encoder.layers") for name in silent)  # left out by LayerDrop
    Trainer(task, task.recipe, tmp_path).run()
    assert all(torch.equal(value, before[name]) for name, value in task.teacher.encoder.state_dict().items())
    moved = {name for name, value in task.network.state_dict().items() if not torch.equal(value, student[name])}
    assert moved == set(student)


def test_layers_above_the_last_one_wanted_are_not_computed(lessons) -> None:
    task = make(lessons, **{"teacher.layers": 1})
    batch = task.load(0, [0, 1])
    full = make(lessons).teacher.frames(batch.taught, batch.taught_lengths)[0]
    task.teacher.encoder.encoder.layers[1] = torch.nn.Identity()  # which takes no mask
    (found,) = task.teacher.frames(batch.taught, batch.taught_lengths)
    assert torch.equal(found, full)


def test_the_student_is_masked_and_varied_and_the_teacher_hears_all(lessons) -> None:
    plain, varied = make(lessons), make(lessons, **{"augment.clip_prob": 1.0})
    one, two = plain.load(0, [0, 3]), varied.load(0, [0, 3])
    assert torch.equal(one.taught, two.taught)
    assert not torch.equal(one.inputs, two.inputs)
    assert one.inputs.shape == two.inputs.shape
    assert (
        step(plain, 0).loss.item() != step(make(lessons, **{"model.architecture.mask_time_prob": 0.0}), 0).loss.item()
    )


def test_batches_repeat_and_epochs_differ(lessons) -> None:
    task = make(lessons)
    plan = task.plan(3)
    assert plan == task.plan(3) != task.plan(4)
    for indices in plan:
        assert len(indices) * max(task.speech.seconds[index] for index in indices) <= 4.0
    long = next(index for index, u in enumerate(task.train) if u.duration > 1.2)
    assert torch.equal(task.load(3, [long]).inputs, task.load(3, [long]).inputs)
    assert not torch.equal(task.load(3, [long]).inputs, task.load(4, [long]).inputs)
    assert task.load(3, [long]).inputs.shape[1] <= 16_000


def ramps(tmp_path: Path, lessons: Path, extra: int = 0) -> DistillTask:
    """A task whose waveform and features count: sample n is n / 65536, frame f holds f and 1."""
    samples, rows = 40_000, []
    soundfile.write(tmp_path / "ramp.wav", np.arange(samples, dtype="float32") / 65_536, 16_000, subtype="FLOAT")
    frames = np.arange((samples - 400) // 320 + 1 + extra, dtype="float32")
    np.save(tmp_path / "ramp.npy", np.stack([frames, np.ones_like(frames)], axis=1))
    rows = [{"audio": "ramp.wav", "duration": samples / 16_000, "features": "ramp.npy"}]
    (tmp_path / "ramp.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ramp = str(tmp_path / "ramp.jsonl")
    return make(
        lessons, **STORED, **{"data.train": ramp, "data.dev": ramp, "data.normalize": False, "teacher.normalize": 0}
    )


@pytest.mark.parametrize("extra", [-3, 0, 3])
def test_features_are_cut_with_the_waveform_at_a_frame(lessons, tmp_path, extra: int) -> None:
    task = ramps(tmp_path, lessons, extra)
    starts = set()
    for epoch in range(12):
        batch = task.load(epoch, [0])
        first = round(batch.inputs[0, 0].item() * 65_536)
        assert first % 320 == 0
        assert batch.inputs.shape == (1, 48 * 320 + 400)  # 1 s holds 49 frames
        assert batch.compared.tolist() == [49]
        assert batch.taught[0, :, 0].tolist() == list(range(first // 320, first // 320 + 49))
        starts.add(first)
    assert len(starts) > 6


def test_a_teacher_of_another_pace_is_refused_by_name(lessons, tmp_path) -> None:
    with pytest.raises(AudioError, match=r"ramp\.wav has 128 frames of its teacher and 124 of the student"):
        ramps(tmp_path, lessons, 4).load(0, [0])


def test_dimensions_are_measured_on_the_first_utterances(lessons, tmp_path) -> None:
    task = make(lessons, **stored(lessons), **{"data.max_seconds": 2.0})
    frames = np.concatenate([task.teacher.read(u) for u in task.train[:8]]).astype(np.float64)
    task.evaluate(Ranks())
    head = task.network.heads[0]
    np.testing.assert_allclose(head.mean, frames.mean(axis=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(head.deviation, frames.std(axis=0), rtol=1e-4)
    still = ramps(tmp_path, lessons)
    still.recipe = replace(still.recipe, teacher=replace(still.recipe.teacher, normalize=1))
    still.network.heads[0].deviation.zero_()
    still.evaluate(Ranks())
    assert still.network.heads[0].deviation[1] == 1  # a dimension that does not move
    assert still.network.heads[0].mean[1] == 1


def test_evaluation_repeats(lessons) -> None:
    task = make(lessons)
    task.network.eval()
    assert task.evaluate(Ranks()) == task.evaluate(Ranks())


@pytest.mark.parametrize("family", ["large-thinned", "bert"])
def test_any_family_teaches(lessons, tmp_path, family: str) -> None:
    keys = BERT if family == "bert" else TINY | {"add_adapter": True, "num_adapter_layers": 2}
    transformers_model(keys, "Model").save_pretrained(tmp_path / "teacher")
    task = make(lessons, **{"teacher.model": str(tmp_path / "teacher")})
    batch = task.load(0, [0, 3, 5])
    frames = [task.network.config.num_encoder_frames(n) for n in batch.lengths.tolist()]
    given = task.teacher.frames(batch.taught, batch.taught_lengths)
    assert [x.shape[1:] for x in given] == [(max(batch.compared), 32)] * 2
    assert all(0 <= most - count <= 1 for most, count in zip(frames, batch.compared.tolist(), strict=True))
    assert torch.isfinite(step(task, 0, 3, 5).loss)


def with_architecture(lessons: Path, keys: dict[str, object], **overrides) -> DistillTask:
    """A task whose student has this architecture and nothing of the recipe's."""
    recipe = (lessons / "recipe.toml").read_text()
    head, tail = recipe[: recipe.index("[model.architecture]")], recipe[recipe.index("[teacher]") :]
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    (lessons / "other.toml").write_text(f"{head}[model.architecture]\n{lines}\n{tail}")
    return DistillTask(read_recipe(lessons / "other.toml", DistillRecipe, overrides))


def test_a_student_of_log_mel_features_learns_too(lessons) -> None:
    output = step(with_architecture(lessons, BERT), *range(6))
    output.loss.backward()
    assert output.weight > 0
    assert torch.isfinite(output.loss)


def test_a_ctc_model_can_be_the_student_without_its_head(lessons) -> None:
    task = with_architecture(lessons, {"mask_time_prob": 0.1}, **{"model.start": str(lessons / "teacher")})
    theirs = load(lessons / "teacher")[1].wav2vec2.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in task.network.wav2vec2.state_dict().items())
    assert task.notes[1:] == ("left aside of it: lm_head", "drawn afresh: heads")


def test_rows_without_features_are_named(lessons) -> None:
    with pytest.raises(
        TrainingError, match=r"25 of 25 utterances name no features, such as .*eng0\.wav.*teacher\.model"
    ):
        make(lessons, **STORED)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ({"augment.speed_prob": 0.5}, RecipeError, r"augment\.speed_prob is 0\.5; 0 is wanted"),
        ({"teacher.model": None}, RecipeError, r"teacher\.layers are of teacher\.model"),
        ({"teacher.l1": 0.0, "teacher.cosine": 0.0}, RecipeError, "both 0"),
        ({"teacher.student_layers": [1, 2, 3]}, RecipeError, "3 for 2 of the teacher"),
        ({"teacher.layers": [0]}, RecipeError, "the first layer is 1"),
        ({"teacher.layers": ["last"]}, RecipeError, "a whole number is wanted"),
        ({"data.min_seconds": 9.0}, RecipeError, r"more than data\.max_seconds"),
        ({"data.train": "nowhere.jsonl"}, RecipeError, "which is not there"),
        ({"teacher.normalise": 3}, RecipeError, "did you mean normalize"),
        ({"teacher.layers": [3]}, ConfigError, "layer 3 of the teacher is wanted; it has 1 to 2"),
        ({"teacher.student_layers": 4}, ConfigError, "layer 4 of the student is wanted; it has 1 to 3"),
        ({"model.architecture.add_adapter": True}, ConfigError, "add_adapter thins out"),
        ({"model.architecture.conv_stride": [10, 4, 4, 1]}, ConfigError, "a frame of the student is 160 samples"),
    ],
)
def test_a_wrong_key_or_value_is_named(lessons, overrides, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make(lessons, **overrides)
