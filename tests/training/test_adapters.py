"""Adapters learn beside a frozen network, and peft and transformers read what a run leaves behind."""

from __future__ import annotations

import json

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

import xlsr
from tests.checkpoint.test_lora import SYMBOLS, with_peft
from tests.models import BASE, CONFORMER, LARGE, TINY, inputs_for, transformers_model
from tests.training.test_distributed import train
from tests.training.test_trainer import corpus, losses  # noqa: F401  (a fixture)
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import load_ctc, save
from xlsr.checkpoint.load import load_checkpoint
from xlsr.config import Wav2Vec2Config
from xlsr.errors import RecipeError, TrainingError
from xlsr.model.lora import merge_lora, restore_lora
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.tokenizer import Tokenizer
from xlsr.training.ctc import CTCTask
from xlsr.training.finetune import finetune
from xlsr.training.recipe import FinetuneRecipe, read_recipe
from xlsr.training.trainer import Trainer

TOKENIZER = Tokenizer.from_symbols(SYMBOLS)
LORA = {"adapter.kind": "lora", "adapter.rank": 4, "adapter.alpha": 8}
ATTENTION = {"adapter.kind": "attention", "adapter.language": "ton", "adapter.dim": 4}
OF_TRAIN = {"data.batch_seconds": 3, "run.log_every": 1, "model.architecture.layerdrop": 0.3}  # as `train` has them
KINDS = {"lora": LORA, "attention": ATTENTION}


def saved(keys, folder):
    """A folder with a network of random weights that spells in the letters of the tones."""
    torch.manual_seed(0)
    config = Wav2Vec2Config.from_dict(keys | {"pad_token_id": 0})
    network = Wav2Vec2ForCTC(config)
    save(Description(config, TOKENIZER), network, folder)
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return saved(TINY | LARGE, tmp_path_factory.mktemp("start"))


def recipe(corpus, start):  # noqa: F811
    """The tones' recipe on a start of its own architecture."""
    text = (corpus / "recipe.toml").read_text()
    head, _, rest = text.partition("[model.architecture]")
    path = corpus / f"{start.name}.toml"
    path.write_text(f"{head}[model]\nstart = {json.dumps(str(start))}\n[optim]{rest.partition('[optim]')[2]}")
    return path


def task_of(corpus, start, overrides) -> CTCTask:  # noqa: F811
    return CTCTask(read_recipe(recipe(corpus, start), FinetuneRecipe, overrides))


def stirred(network) -> None:
    """Move every adapter away from where it starts."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_adapter_and_the_head_move(corpus, start, tmp_path, kind: str) -> None:  # noqa: F811
    task = task_of(corpus, start, KINDS[kind] | {"optim.updates": 3})
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    learning = {p for group in task.parameter_groups() for p in group.parameters}
    Trainer(task, task.recipe, tmp_path).run()
    moved = {name for name, value in task.network.state_dict().items() if not torch.equal(value, before[name])}
    mark = {"lora": ".lora_", "attention": ".adapter_layer."}[kind]
    assert moved == {name for name in before if mark in name or name.startswith("lm_head.")}
    assert {name for name, p in task.network.named_parameters() if p in learning} == moved
    assert len(moved) == 2 + 2 * {"lora": 2 * 2, "attention": 6}[kind]
    stored = load_file(tmp_path / "best" / "model.safetensors")
    frozen = {
        name
        for name in before.keys() - moved
        if not (kind == "lora" and name.endswith(("q_proj.weight", "v_proj.weight")))
    }
    assert all(torch.equal(stored[name], before[name]) for name in frozen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_an_adapter_learns(corpus, start, tmp_path, kind: str) -> None:  # noqa: F811
    changes = {"optim.updates": 60, "optim.lr": 2e-2, "run.log_every": 1, "run.eval_every": 60}
    finetune(recipe(corpus, start), tmp_path, overrides=KINDS[kind] | changes)
    course = losses(tmp_path)
    assert sum(course[-5:]) < 0.6 * sum(course[:5])


def test_a_resumed_run_with_an_adapter_equals_an_uninterrupted_one(corpus, start, tmp_path) -> None:  # noqa: F811
    changes = LORA | {"adapter.dropout": 0.1, "optim.updates": 4, "run.eval_every": 2}
    finetune(recipe(corpus, start), tmp_path / "whole", overrides=changes)
    task = task_of(corpus, start, changes)
    step, calls = task.step, iter(range(100))

    def dying(network, batch, draw):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return step(network, batch, draw)

    task.step = dying
    with pytest.raises(KeyboardInterrupt):
        Trainer(task, task.recipe, tmp_path / "parts").run()
    finetune(recipe(corpus, start), tmp_path / "parts", overrides=changes, resume=True)
    first, second = (load_file(tmp_path / name / "state-4" / "rank-0-of-1.safetensors") for name in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_lora_starts_as_the_identity_and_merges_without_a_trace(corpus, start) -> None:  # noqa: F811
    modules = ["q_proj", "feed_forward.output_dense", "projection"]
    task = task_of(corpus, start, LORA | {"adapter.modules": modules})
    _, base = load_ctc(start)
    waveforms, lengths = inputs_for(TINY, 16000, 9000)
    network = task.network.eval()
    with torch.no_grad():
        assert torch.equal(network(waveforms, lengths)[0], base(waveforms, lengths)[0])
        stirred(network)
        adapted = network(waveforms, lengths)[0]
        assert (adapted - base(waveforms, lengths)[0]).abs().max() > 0.1
        base.load_state_dict(merge_lora(network, network.state_dict()), strict=True)
        # The same sums in another order.
        torch.testing.assert_close(base(waveforms, lengths)[0], adapted, rtol=0, atol=1e-5)
        network.load_state_dict(restore_lora(network, base.state_dict()), strict=True)
        assert torch.equal(network(waveforms, lengths)[0], base(waveforms, lengths)[0])


@pytest.mark.parametrize(
    ("keys", "modules"),
    [(TINY | LARGE, ["q_proj", "intermediate_dense"]), (CONFORMER, ["linear_q", "linear_v"])],
    ids=["large", "conformer"],
)
def test_peft_reads_our_adapter(corpus, tmp_path, keys, modules) -> None:  # noqa: F811
    start = saved(keys, tmp_path / "start")
    task = task_of(corpus, start, LORA | {"adapter.modules": modules, "adapter.dropout": 0.1})
    stirred(task.network)
    task.save(tmp_path / "best", task.network.state_dict(), {})
    base = transformers_model(keys, "ForCTC").from_pretrained(start)
    theirs = with_peft(peft.PeftModel.from_pretrained, base, tmp_path / "best" / "adapter")
    waveforms, _ = inputs_for(keys, 16000)
    with torch.no_grad():
        wanted = task.network.eval()(waveforms)[0]
        merged = load_ctc(tmp_path / "best")[1](waveforms)[0]
        added = load_checkpoint(start, adapter=tmp_path / "best" / "adapter").network(waveforms)[0]
        found = theirs(waveforms).logits
    torch.testing.assert_close(merged, wanted, rtol=0, atol=1e-5)  # the same sums in another order
    assert torch.equal(added, merged)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)  # two networks in fp32
    stored = load_file(tmp_path / "best" / "adapter" / "adapter_model.safetensors")
    assert stored.keys() == peft.get_peft_model_state_dict(theirs).keys()


def test_transformers_reads_the_adapter_of_a_language(corpus, start, tmp_path) -> None:  # noqa: F811
    best = finetune(recipe(corpus, start), tmp_path, overrides=ATTENTION | {"optim.updates": 3}).folder
    waveforms, _ = inputs_for(TINY, 16000)
    with torch.no_grad():
        wanted = load_ctc(best)[1](waveforms)[0]
        assert torch.equal(load_ctc(best, language="ton")[1](waveforms)[0], wanted)
        theirs = transformers.Wav2Vec2ForCTC.from_pretrained(best)
        torch.testing.assert_close(theirs(waveforms).logits, wanted, rtol=0, atol=1e-4)  # two networks in fp32
        for value in theirs._get_adapters().values():
            value.zero_()
        theirs.load_adapter("ton")
        torch.testing.assert_close(theirs(waveforms).logits, wanted, rtol=0, atol=1e-4)
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(best)
    tokenizer.set_target_lang("ton")
    assert tokenizer("ab c").input_ids == [5, 6, 4, 7] == load_ctc(best)[0].tokenizer.encode("ab c")
    assert json.loads((best / "vocab.json").read_text()) == {"ton": TOKENIZER.vocab}
    assert xlsr.load_model(best, language="ton").transcribe(corpus / "dev0.wav").text is not None


def test_fresh_adapters_begin_as_those_of_transformers(corpus, start) -> None:  # noqa: F811
    wide = ATTENTION | {"adapter.dim": 64}
    ours = task_of(corpus, start, wide).network.wav2vec2.encoder.layers[0].adapter_layer.state_dict()
    config = transformers.Wav2Vec2Config(**TINY | LARGE, adapter_attn_dim=64)
    theirs = transformers.Wav2Vec2ForCTC(config).wav2vec2.encoder.layers[0].adapter_layer.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name].shape == value.shape
        # 2048 draws: their deviation is known to 2 % of itself.
        assert float(ours[name].std()) == pytest.approx(float(value.std()), rel=0.1, abs=1e-9), name
        assert float(ours[name].mean()) == pytest.approx(float(value.mean()), abs=2e-3), name


def test_a_language_that_is_there_already_goes_on(corpus, start, tmp_path) -> None:  # noqa: F811
    first = finetune(recipe(corpus, start), tmp_path, overrides=ATTENTION | {"optim.updates": 2}).folder
    again = task_of(corpus, first, {"adapter.kind": "attention", "adapter.language": "ton"})
    stored = load_ctc(first, language="ton")[1].state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in again.network.state_dict().items())
    other = task_of(corpus, first, {"adapter.kind": "attention", "adapter.language": "other"})
    changed = {name for name, value in other.network.state_dict().items() if not torch.equal(value, stored[name])}
    assert changed == {name for name in stored if ".adapter_layer.linear_" in name or ".adapter_layer.norm" in name}
    assert other.description.tokenizer.language == "other"
    assert again.adapted.notes == ("goes on from adapter.ton with its head and vocabulary",)
    assert other.adapted.notes == ("the adapters of other are drawn afresh, 4 wide",)
    with pytest.raises(TrainingError, match="dim is 5; the model's adapters are 4 wide"):
        task_of(corpus, first, ATTENTION | {"adapter.dim": 5})


def test_a_network_without_a_place_for_the_adapter_is_refused(corpus, start, tmp_path) -> None:  # noqa: F811
    with pytest.raises(TrainingError, match=r"'to_q', .*; known: .*k_proj, out_proj, output_dense, .*q_proj, v_proj"):
        task_of(corpus, start, LORA | {"adapter.modules": ["q_proj", "to_q"]})
    with pytest.raises(TrainingError, match=r"adapter\.dim is wanted"):
        task_of(corpus, start, {"adapter.kind": "attention", "adapter.language": "ton"})
    with pytest.raises(TrainingError, match="pre-norm wav2vec2 layers"):
        task_of(corpus, saved(TINY | BASE, tmp_path), ATTENTION)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter.kind": "prefix"}, "one of none, lora, attention is wanted"),
        ({"adapter.rank": 4}, "adapter.rank is for adapter.kind lora; the kind is none"),
        (LORA | {"adapter.language": "ton"}, "adapter.language is for adapter.kind attention"),
        (LORA | {"adapter.modules": []}, "must name a layer"),
        (LORA | {"adapter.modules": "q_proj"}, "a list of strings is wanted"),
        (LORA | {"adapter.modules": ["q_proj", 3]}, "a list of strings is wanted"),
        (LORA | {"adapter.dropout": 1.0}, "dropout be below 1"),
        (LORA | {"adapter.rank": 0}, "more than 0 is wanted"),
        ({"adapter.kind": "attention"}, "adapter.language is None"),
        (ATTENTION | {"adapter.language": "../ton"}, "adapter.language is '../ton'"),
    ],
)
def test_a_wrong_adapter_table_is_named(corpus, start, changes, message: str) -> None:  # noqa: F811
    with pytest.raises(RecipeError, match=message):
        read_recipe(recipe(corpus, start), FinetuneRecipe, changes)


def test_an_adapter_needs_a_model_to_start_from(corpus) -> None:  # noqa: F811
    with pytest.raises(RecipeError, match=r"model\.start is wanted"):
        read_recipe(corpus / "recipe.toml", FinetuneRecipe, LORA)


@pytest.mark.slow
def test_two_ranks_share_a_run_with_an_adapter(corpus, start, tmp_path) -> None:  # noqa: F811
    changes = LORA | {"adapter.rank": 3, "optim.updates": 6, "run.eval_every": 3, "optim.accumulate": 2}
    path = recipe(corpus, start)
    finetune(path, tmp_path / "one", overrides=changes | OF_TRAIN)
    options = [part for key, value in changes.items() for part in (f"--{key}", str(value))]
    train(path, tmp_path / "two", *options, "--run.strategy", "fsdp", ranks=2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    name = "best/adapter/adapter_model.safetensors"
    one, two = load_file(tmp_path / "one" / name), load_file(tmp_path / "two" / name)
    assert one.keys() == two.keys()
    for key, value in one.items():  # sums of other shares
        torch.testing.assert_close(two[key], value, rtol=0, atol=1e-5)
