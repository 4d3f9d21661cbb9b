"""Every architecture of the family against transformers, on the same weights, through a folder in both directions.

The tolerance 1e-4 is the project's promise; fp32 rounding alone stays below 1e-5 on these networks.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from tests.models import (
    ARCHITECTURES,
    CHECKPOINTS,
    MORE,
    inputs_for,
    shrunk,
    transformers_model,
    transformers_negatives,
)
from xlsr.checkpoint.hf import _spelt, file_name, load, save
from xlsr.config import Wav2Vec2Config
from xlsr.model.masking import draw_negatives
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, Wav2Vec2Model

TOLERANCE = {"rtol": 0.0, "atol": 1e-4}
TINIES = {name: {"model_type": "wav2vec2"} | keys for name, keys in (ARCHITECTURES | MORE).items()}


def kinds(keys: dict) -> list[str]:
    """The classes that an architecture can have."""
    found = ["Model", "ForCTC"]
    if not keys.get("add_adapter"):
        found += ["ForSequenceClassification"] + ["ForPreTraining"] * (keys["model_type"] != "wav2vec2-bert")
    return found


CASES = [(name, kind) for name, keys in TINIES.items() for kind in kinds(keys)]


def through_folder(theirs, folder):
    """Ours with the weights of theirs, and proof that our folder holds the same tensors and the same keys."""
    theirs.save_pretrained(folder / "theirs")
    description, ours = load(folder / "theirs")
    save(description, ours, folder / "ours")
    before, after = (_spelt(load_file(folder / name / "model.safetensors")) for name in ("theirs", "ours"))
    assert sorted(before) == sorted(after)
    for name, value in before.items():
        assert value.dtype == after[name].dtype
        assert torch.equal(value, after[name]), name
    again, report = type(theirs).from_pretrained(folder / "ours", output_loading_info=True)
    assert not report["missing_keys"] | report["unexpected_keys"] | report["mismatched_keys"]
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in again.state_dict().items())
    assert transformers.AutoConfig.from_pretrained(folder / "ours").to_dict() == theirs.config.to_dict() | {
        "_name_or_path": str(folder / "ours")
    }
    written, read = (json.loads((folder / name / "config.json").read_text()) for name in ("ours", "theirs"))
    assert {key: written[key] for key in read} == read
    assert set(written) <= set(theirs.config.to_dict()) | set(read)
    return description, ours


@torch.no_grad()
def assert_equal(theirs, ours, inputs: torch.Tensor) -> None:
    """All that the networks give for an input without padding."""
    encoder = getattr(theirs, theirs.base_model_prefix, theirs)
    wanted = encoder(inputs, output_hidden_states=True)
    found = (ours if isinstance(ours, Wav2Vec2Model) else ours.wav2vec2)(inputs)
    torch.testing.assert_close(found.hidden, wanted.last_hidden_state, **TOLERANCE)
    torch.testing.assert_close(found.features, wanted.extract_features, **TOLERANCE)
    assert len(found.states) == len(wanted.hidden_states)
    for mine, other in zip(found.states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, **TOLERANCE)
    if isinstance(ours, Wav2Vec2ForCTC):
        torch.testing.assert_close(ours(inputs)[0], theirs(inputs).logits, **TOLERANCE)
    elif isinstance(ours, Wav2Vec2ForSequenceClassification):
        torch.testing.assert_close(ours(inputs), theirs(inputs).logits, **TOLERANCE)
    elif isinstance(ours, Wav2Vec2ForPreTraining):
        assert_equal_losses(theirs, ours, inputs)


def assert_equal_losses(theirs, ours, inputs: torch.Tensor) -> None:
    rows, frames = len(inputs), ours.config.num_frames(inputs.shape[1])
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(rows, frames, generator=generator) < 0.5
    negatives = torch.from_numpy(draw_negatives(mask.numpy(), 5, rng=np.random.default_rng(1)))
    wanted = theirs(inputs, mask_time_indices=mask, sampled_negative_indices=transformers_negatives(mask, negatives))
    found = ours(inputs, time_mask=mask, negatives=negatives)
    torch.testing.assert_close(found.states, wanted.projected_states[mask], **TOLERANCE)
    torch.testing.assert_close(found.targets, wanted.projected_quantized_states[mask], **TOLERANCE)
    torch.testing.assert_close(ours(inputs).targets, wanted.projected_quantized_states, **TOLERANCE)
    # Sums over tens of frames: the tolerance is relative.
    torch.testing.assert_close(found.contrastive, wanted.contrastive_loss, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.diversity, wanted.diversity_loss, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.loss, wanted.loss, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.quantized.perplexity, wanted.codevector_perplexity, **TOLERANCE)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_architectures_equal_transformers(tmp_path, name: str, kind: str) -> None:
    keys = TINIES[name]
    extra = {"use_weighted_layer_sum": True, "num_labels": 5} if kind == "ForSequenceClassification" else {}
    theirs = transformers_model(keys, kind, **extra)
    _, ours = through_folder(theirs, tmp_path)
    assert type(ours).__name__ == "Wav2Vec2" + kind
    assert_equal(theirs, ours, inputs_for(keys, 16000, 16000)[0])


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_tiny_twins_of_public_checkpoints_equal_transformers(tmp_path, reference, name: str) -> None:
    keys = shrunk(json.loads((reference / "configs" / f"{name}.json").read_text("utf-8"))["config"])
    kind = keys["architectures"][0].removeprefix("Wav2Vec2").removeprefix("Conformer").removeprefix("Bert")
    theirs = transformers_model(keys, kind)
    description, ours = through_folder(theirs, tmp_path)
    assert Wav2Vec2Config.from_dict(description.config.to_dict()) == description.config
    assert_equal(theirs, ours, inputs_for(keys, 16000, 16000)[0])


@torch.no_grad()
@pytest.mark.parametrize("name", TINIES)
def test_padding_does_not_change_valid_frames(tmp_path, name: str) -> None:
    keys = TINIES[name]
    transformers_model(keys, "ForCTC").save_pretrained(tmp_path)
    _, ours = load(tmp_path)
    inputs, lengths = inputs_for(keys, 16000, 9000, 3000)
    logits, frames = ours(inputs, lengths)
    for row, size in enumerate(lengths.tolist()):
        single, _ = ours(inputs[row : row + 1, :size])
        assert single.shape[1] == frames[row]
        # Batched and single matrix products round differently.
        torch.testing.assert_close(logits[row, : frames[row]], single[0], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["large", "conformer-relative", "bert"])
@pytest.mark.parametrize("weighted", [True, False])
def test_padding_does_not_change_the_class(tmp_path, name: str, weighted: bool) -> None:
    keys = TINIES[name]
    transformers_model(keys, "ForSequenceClassification", use_weighted_layer_sum=weighted).save_pretrained(tmp_path)
    _, ours = load(tmp_path)
    inputs, lengths = inputs_for(keys, 16000, 9000)
    logits = ours(inputs, lengths)
    torch.testing.assert_close(logits[1:], ours(inputs[1:, : lengths[1]]), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["large", "mms", "bert", "bert-relative", "bert-rotary"])
def test_padded_logits_equal_those_of_transformers(name: str, tmp_path) -> None:
    keys = TINIES[name]
    theirs = transformers_model(keys, "ForCTC")
    theirs.save_pretrained(tmp_path)
    _, ours = load(tmp_path)
    inputs, lengths = inputs_for(keys, 16000, 9000)
    attention = (torch.arange(inputs.shape[1]) < lengths.unsqueeze(1)).long()
    wanted = theirs(inputs, attention_mask=attention).logits
    logits, frames = ours(inputs, lengths)
    for row, count in enumerate(frames.tolist()):
        torch.testing.assert_close(logits[row, :count], wanted[row, :count], **TOLERANCE)


@pytest.mark.parametrize("name", ["large", "conformer-relative", "conformer-rotary", "bert", "bert-thinned-wider"])
def test_gradients_equal_those_of_transformers(name: str, tmp_path) -> None:
    keys = TINIES[name]
    theirs = transformers_model(keys, "ForCTC")
    theirs.save_pretrained(tmp_path)
    _, ours = load(tmp_path)
    inputs, _ = inputs_for(keys, 8000)
    theirs(inputs).logits.square().sum().backward()
    ours(inputs)[0].square().sum().backward()
    wanted = _spelt({name: value.grad for name, value in theirs.named_parameters()})
    for name, mine in ours.named_parameters():
        other = wanted[file_name(name, ours)]
        if other is None:
            assert mine.grad is None, name
        else:
            # Sums over all frames; relative to the largest entry.
            assert (mine.grad - other).abs().max() <= 1e-4 * max(1.0, other.abs().max()), name
