"""Folders of weights: what is missing, left over or misshapen is named; nothing is made up."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import ARCHITECTURES, MORE, inputs_for, transformers_model
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import build, build_ctc, load, load_ctc, read_weights, save
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError, ConfigError
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC, Wav2Vec2Model

KEYS = {name: {"model_type": "wav2vec2"} | keys for name, keys in (ARCHITECTURES | MORE).items()}
CASES = [
    ("base", "ForCTC"), ("mms", "ForCTC"), ("large", "ForPreTraining"), ("large", "Model"),
    ("conformer-relative", "ForPreTraining"), ("conformer-rotary", "ForSequenceClassification"), ("bert", "Model"),
    ("bert-thinned-wider", "ForCTC"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_tensor_is_needed_by_name_and_shape(tmp_path, name: str, kind: str) -> None:
    one = {key: 1 for key in ("num_hidden_layers", "num_adapter_layers") if key in KEYS[name]}
    transformers_model(KEYS[name], kind, **one).save_pretrained(tmp_path)
    config = Wav2Vec2Config.from_json(tmp_path / "config.json")
    weights = read_weights(tmp_path)
    build(config, weights, source="whole")
    for key, value in weights.items():
        rest = {other: tensor for other, tensor in weights.items() if other != key}
        for broken, named in (
            (rest, key),
            (rest | {key + "_2": value}, key + "_2"),
            (rest | {key: torch.zeros(*value.shape, 2, dtype=value.dtype)}, key),
        ):
            with pytest.raises(CheckpointError) as raised:
                build(config, broken, source="broken")
            assert f"{named} " in str(raised.value) or f"{named}:" in str(raised.value)


def test_a_tensor_of_another_kind_is_an_error(tmp_path) -> None:
    transformers_model(KEYS["conformer-rotary"], "Model").save_pretrained(tmp_path)
    config = Wav2Vec2Config.from_json(tmp_path / "config.json")
    weights = read_weights(tmp_path)
    (name,) = (key for key in weights if key.endswith("layers.1.conv_module.batch_norm.num_batches_tracked"))
    with pytest.raises(CheckpointError, match=r"layers\.1\..*_tracked of x is torch.float32; torch.int64 is wanted"):
        build(config, weights | {name: weights[name].float()}, source="x")
    with pytest.raises(
        CheckpointError, match=r"encoder\.layer_norm\.weight of x is torch.int32; torch.float32 is wanted"
    ):
        build(config, weights | {"encoder.layer_norm.weight": torch.ones(32, dtype=torch.int32)}, source="x")


@pytest.mark.parametrize("architecture", ["base", "large", "conformer-relative"])
def test_both_spellings_of_the_positional_kernel_fold_alike(tmp_path, architecture: str) -> None:
    theirs = transformers_model(KEYS[architecture], "ForCTC")
    theirs.save_pretrained(tmp_path)
    wanted = getattr(theirs, theirs.base_model_prefix).encoder.pos_conv_embed.conv.weight.detach()
    weights = load_file(tmp_path / "model.safetensors")
    (g,) = (key for key in weights if key.endswith(("weight_g", "original0")))
    (v,) = (key for key in weights if key.endswith(("weight_v", "original1")))
    stem = g.removesuffix("weight_g").removesuffix("parametrizations.weight.original0")
    for new_g, new_v in (("weight_g", "weight_v"),
                         ("parametrizations.weight.original0", "parametrizations.weight.original1")):  # fmt: skip
        renamed = {key: value for key, value in weights.items() if key not in (g, v)}
        save_file(renamed | {stem + new_g: weights[g], stem + new_v: weights[v]}, tmp_path / "model.safetensors")
        _, ours = load_ctc(tmp_path)
        # No forward pass has run; both fold in fp32.
        torch.testing.assert_close(ours.wav2vec2.encoder.pos_conv_embed.conv.weight, wanted, rtol=0, atol=1e-6)


def test_a_half_precision_file_is_computed_in_fp32(tmp_path) -> None:
    theirs = transformers_model(KEYS["conformer-rotary"], "ForCTC").half()
    theirs.save_pretrained(tmp_path)
    _, ours = load_ctc(tmp_path)
    kinds = {value.dtype for value in ours.state_dict().values()}
    assert kinds == {torch.float32, torch.int64}
    assert torch.equal(ours.lm_head.weight, theirs.lm_head.weight.float())


def test_a_pickled_file_reads_as_the_other(tmp_path) -> None:
    transformers_model(KEYS["bert"], "ForCTC").save_pretrained(tmp_path)
    _, first = load_ctc(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    _, second = load_ctc(tmp_path)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_without_architectures_the_head_tells_the_class(tmp_path, name: str, kind: str) -> None:
    transformers_model(KEYS[name], kind).save_pretrained(tmp_path)
    config = dataclasses.replace(Wav2Vec2Config.from_json(tmp_path / "config.json"), architectures=())
    assert type(build(config, read_weights(tmp_path), source="x")).__name__ == "Wav2Vec2" + kind


def test_an_encoder_with_a_prefix_is_the_encoder(tmp_path) -> None:
    transformers_model(KEYS["bert"], "Model").save_pretrained(tmp_path)
    config = Wav2Vec2Config.from_json(tmp_path / "config.json")
    prefixed = {f"wav2vec2_bert.{name}": value for name, value in read_weights(tmp_path).items()}
    model = build(config, prefixed, source="x")
    assert isinstance(model, Wav2Vec2Model)
    save(Description(config), model, tmp_path / "again")
    assert sorted(load_file(tmp_path / "again" / "model.safetensors")) == sorted(read_weights(tmp_path))


def test_an_architecture_that_is_not_computed_is_refused_by_name(tmp_path) -> None:
    transformers_model(KEYS["base"], "ForXVector").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a Wav2Vec2ForXVector; wav2vec2 is supported as Wav2Vec2ForCTC"):
        load(tmp_path)


def test_a_ctc_network_is_not_made_of_an_encoder(tmp_path) -> None:
    transformers_model(KEYS["large"], "ForPreTraining").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a Wav2Vec2ForPreTraining, which has no lm_head"):
        load_ctc(tmp_path)
    with pytest.raises(CheckpointError, match=r"2 missing in the file: lm_head\.weight \(8, 32\), lm_head\.bias"):
        build_ctc(Wav2Vec2Config.from_json(tmp_path / "config.json"), read_weights(tmp_path), source="it")


def test_a_pretraining_file_with_a_head_gives_the_ctc_network(tmp_path) -> None:
    transformers_model(KEYS["large"], "ForPreTraining").save_pretrained(tmp_path)
    weights = read_weights(tmp_path) | {"lm_head.weight": torch.ones(8, 32), "lm_head.bias": torch.ones(8)}
    config = Wav2Vec2Config.from_json(tmp_path / "config.json")
    assert isinstance(build_ctc(config, weights, source="x"), Wav2Vec2ForCTC)
    with pytest.raises(CheckpointError, match=r"unknown to the network: lm_head"):
        build(config, weights, source="x")


def test_a_network_without_vocabulary_has_no_ctc_head() -> None:
    with pytest.raises(ConfigError, match="vocab_size is null"):
        Wav2Vec2ForCTC(Wav2Vec2Config.from_dict(KEYS["bert"] | {"vocab_size": None}))


@pytest.mark.parametrize("name", ["large", "bert"])
def test_a_network_that_never_masks_does_without_its_embedding(tmp_path, name: str) -> None:
    theirs = transformers_model(KEYS[name], "ForCTC", mask_time_prob=0.0, mask_feature_prob=0.0)
    theirs.save_pretrained(tmp_path)
    description, ours = load_ctc(tmp_path)
    inputs, _ = inputs_for(KEYS[name], 16000)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs)[0], theirs(inputs).logits, rtol=0, atol=1e-4)
        assert torch.isfinite(ours(inputs, time_mask=torch.ones(1, 49, dtype=torch.bool))[0]).all()
    save(description, ours, tmp_path / "again")
    assert sorted(load_file(tmp_path / "again" / "model.safetensors")) == sorted(read_weights(tmp_path))


def test_an_embedding_that_is_there_is_kept(tmp_path) -> None:
    transformers_model(KEYS["large"], "ForCTC").save_pretrained(tmp_path)
    keys = json.loads((tmp_path / "config.json").read_text()) | {"mask_time_prob": 0.0}
    (tmp_path / "config.json").write_text(json.dumps(keys))
    _, ours = load_ctc(tmp_path)
    assert torch.equal(ours.wav2vec2.masked_spec_embed, read_weights(tmp_path)["wav2vec2.masked_spec_embed"])


def test_saving_another_class_says_so(tmp_path) -> None:
    config = Wav2Vec2Config.from_dict(KEYS["large"] | {"architectures": ["Wav2Vec2ForPreTraining"]})
    save(Description(config), Wav2Vec2ForCTC(config), tmp_path)
    assert Wav2Vec2Config.from_json(tmp_path / "config.json").architectures == ("Wav2Vec2ForCTC",)
    save(Description(config), Wav2Vec2ForPreTraining(config), tmp_path)
    assert isinstance(load(tmp_path)[1], Wav2Vec2ForPreTraining)
