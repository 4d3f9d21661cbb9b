"""LoRA adapters that peft wrote are read as peft reads them, or refused by name."""

from __future__ import annotations

import json
import warnings

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import ARCHITECTURES, CONFORMER, inputs_for, transformers_model
from xlsr.checkpoint.folder import read_description
from xlsr.checkpoint.hf import load_ctc
from xlsr.checkpoint.load import import_model, load_checkpoint
from xlsr.checkpoint.lora import load_lora
from xlsr.errors import CheckpointError
from xlsr.tokenizer import Tokenizer

SYMBOLS = ["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"]
EVERY = ["q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense", "projection"]


def with_peft(wrap, *arguments, **options):
    """Call peft, which asks transformers by a name that is about to go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        return wrap(*arguments, **options).eval()


def theirs(keys, folder, **settings):
    """A saved model and beside it an adapter of random weights; returns peft's network."""
    base = transformers_model(keys, "ForCTC")
    base.save_pretrained(folder)
    Tokenizer.from_symbols(SYMBOLS).to_folder(folder)
    settings = {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["q_proj", "v_proj"],
        "modules_to_save": ["lm_head"],
    } | settings
    network = with_peft(peft.get_peft_model, base, peft.LoraConfig(**settings))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    network.save_pretrained(folder / "adapter")
    return network


@pytest.fixture
def folder(tmp_path):
    theirs(ARCHITECTURES["large"], tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        (ARCHITECTURES["large"], {}),
        (ARCHITECTURES["base"], {"use_rslora": True, "modules_to_save": None}),
        (ARCHITECTURES["base"], {"target_modules": EVERY, "modules_to_save": None}),
        (ARCHITECTURES["large"], {"target_modules": r".*\.0\..*_dense", "modules_to_save": ["feature_projection"]}),
        (CONFORMER, {"target_modules": ["linear_q", "linear_pos"]}),
    ],
    ids=["large", "rank-stabilised", "every-layer", "pattern", "conformer"],
)  # fmt: skip
def test_an_adapter_of_peft_gives_its_logits(tmp_path, keys, settings) -> None:
    network = theirs(keys, tmp_path, **settings)
    waveforms, _ = inputs_for(keys, 16000)
    description, ours = load_ctc(tmp_path)
    with torch.no_grad():
        before = ours(waveforms)[0]
        load_lora(description, ours, tmp_path / "adapter")
        found = ours(waveforms)[0]
        torch.testing.assert_close(found, network(waveforms).logits, rtol=0, atol=1e-4)  # two networks in fp32
    assert (found - before).abs().max() > 0.01


def test_an_import_adds_the_adapter(folder) -> None:
    (folder / "xlsr.json").write_text('{"license": "MIT", "calibration": {"of": "the scores before"}}')
    import_model(folder, folder / "merged", adapter=folder / "adapter")
    wanted = load_checkpoint(folder, adapter=folder / "adapter").network.state_dict()
    found = load_ctc(folder / "merged")[1].state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())
    assert not torch.equal(found["lm_head.weight"], load_ctc(folder)[1].lm_head.weight)
    assert read_description(folder / "merged").extras.keys() == {"license", "origin"}


def test_the_vocabulary_beside_an_adapter_is_that_of_its_head(folder) -> None:
    path = folder / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {f"base_model.model.lm_head.{name}": torch.zeros(9, *rest) for name, rest in
                         (("weight", (32,)), ("bias", ()))}, path)  # fmt: skip
    description, model = load_ctc(folder)
    with pytest.raises(CheckpointError, match=r"lm_head\.bias: file \(9,\), network \(8,\)"):
        load_lora(description, model, folder / "adapter")
    Tokenizer.from_symbols([*SYMBOLS[1:], "d", "<pad>"]).to_folder(folder / "adapter")
    found = load_lora(description, model, folder / "adapter")
    assert (found.config.vocab_size, found.config.pad_token_id, model.lm_head.out_features) == (9, 8, 9)
    assert found.tokenizer.vocab["d"] == 7
    Tokenizer.from_symbols([*SYMBOLS, "d", "e"]).to_folder(folder / "adapter")
    with pytest.raises(CheckpointError, match="9 classes; the vocabulary needs 10"):
        load_lora(*load_ctc(folder), folder / "adapter")


def test_every_tensor_of_an_adapter_is_needed_and_known(folder) -> None:
    path = folder / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    assert len(tensors) == 2 * 2 * 2 + 2
    name = "base_model.model.wav2vec2.encoder.layers.1.attention.q_proj.lora_B.weight"
    rest, value = {key: value for key, value in tensors.items() if key != name}, tensors[name]
    extra = {name.replace("lora_B", "lora_C"): value.clone()}, {name.replace("q_proj", "x_proj"): value.clone()}
    for broken in (rest, rest | {name: torch.zeros(4, 32)}, tensors | extra[0], tensors | extra[1]):
        save_file(broken, path)
        description, model = load_ctc(folder)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.raises(CheckpointError, match=r"layers\.1\.attention\.[qx]_proj\.lora_[BC]"):
            load_lora(description, model, folder / "adapter")
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("use_dora", True, "use_dora is True"),
        ("rank_pattern", {"q_proj": 2}, "rank_pattern is"),
        ("a_key_of_tomorrow", "on", "a_key_of_tomorrow is 'on'"),
        ("init_lora_weights", "pissa", "init_lora_weights is 'pissa'"),
        ("bias", "all", "bias is 'all'"),
        ("peft_type", "IA3", "peft_type is 'IA3'"),
        ("r", 0, "no rank r"),
        ("r", True, "no rank r"),
        ("lora_alpha", None, "no lora_alpha"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_name(folder, key: str, value, message: str) -> None:
    path = folder / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CheckpointError, match=message):
        load_lora(*load_ctc(folder), folder / "adapter")


def test_a_folder_without_an_adapter_is_named(folder) -> None:
    with pytest.raises(CheckpointError, match="is no adapter as peft saves it"):
        load_checkpoint(folder, adapter=folder)
