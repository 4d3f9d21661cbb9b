"""The recorded vectors of the reference: weights and inputs by formula, outputs as transformers computed them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from xlsr.checkpoint.hf import file_name
from xlsr.config import Wav2Vec2Config
from xlsr.features import log_mel, log_mel_features
from xlsr.model.features import ValidGroupNorm
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC


@pytest.fixture(scope="module")
def golden(reference) -> dict:
    return json.loads((reference / "golden" / "wav2vec2_tiny_golden.json").read_text("utf-8"))


def formula(name: str, shape: torch.Size, index: int) -> torch.Tensor:
    """The recorded weights: a sine over the flat index, scaled by the kind of tensor."""
    flat = np.arange(math.prod(shape), dtype=np.float64)
    wave = np.sin(0.7 * flat + index)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("running_var"):
        values = 1 + 0.05 * wave
    elif name.endswith("weight_g") or ("norm" in name and name.endswith("weight")):
        values = 1 + 0.1 * wave
    elif name.endswith(("bias", "running_mean")):
        values = 0.05 * wave
    else:
        scale = 2.5 if "feature_extractor" in name and len(shape) == 3 else 1.0
        values = scale * wave / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else 1)
    return torch.from_numpy(values.reshape(tuple(shape)).astype(np.float32))


def signal() -> tuple[torch.Tensor, torch.Tensor]:
    t = np.arange(4000, dtype=np.float64)
    rows = np.stack([np.sin(0.01 * t) + 0.5 * np.sin(0.13 * t) + 0.25 * np.sin(1.7 * t),
                     np.cos(0.02 * t) + 0.3 * np.sin(0.9 * t)])  # fmt: skip
    rows[1, 2400:] = 0
    return torch.from_numpy(rows.astype(np.float32)), torch.tensor([4000, 2400])


@pytest.fixture(scope="module", params=["tiny_base", "tiny_large"])
def case(request, golden) -> tuple[Wav2Vec2ForCTC, dict, str]:
    entry = golden[request.param]
    model = filled(Wav2Vec2ForCTC(Wav2Vec2Config.from_dict(golden["cfg"] | entry["extra"])))
    assert names_of(model) == sorted(entry["ctc_names"])
    return model, entry, request.param


def filled(model):
    """The model with the recorded weights, in evaluation mode."""
    shapes = {file_name(name, model): value.shape for name, value in model.state_dict().items()}
    order = {name: index for index, name in enumerate(sorted(shapes))}
    model.load_state_dict(
        {
            # The rotary frequencies are no weights; they were left as they are.
            name: value if name.endswith("inv_freq") else formula(name, value.shape, order[file_name(name, model)])
            for name, value in model.state_dict().items()
        }
    )
    return model.eval()


def names_of(model) -> list[str]:
    return sorted(file_name(name, model) for name in model.state_dict())


def assert_recorded(found: torch.Tensor, recorded: dict) -> None:
    flat = found.detach().double().flatten()
    assert list(found.shape) == recorded["shape"]
    torch.testing.assert_close(flat[:8], torch.tensor(recorded["first8"], dtype=torch.double), rtol=0, atol=1e-4)
    torch.testing.assert_close(flat[-4:], torch.tensor(recorded["last4"], dtype=torch.double), rtol=0, atol=1e-4)
    # The sums were rounded to six digits (half of 1e-5 here) and add up terms that are each 1e-5 from exact.
    assert flat.abs().sum().item() == pytest.approx(recorded["abs_sum"], rel=2e-5)
    assert flat.sum().item() == pytest.approx(recorded["sum"], abs=1e-5 * recorded["abs_sum"])


@torch.no_grad()
def test_folded_positional_kernel(case) -> None:
    model, entry, _ = case
    assert_recorded(model.wav2vec2.encoder.pos_conv_embed.conv.weight, entry["weight_effective_posconv"])


@torch.no_grad()
def test_conv_output(case) -> None:
    model, entry, _ = case
    waveforms, _ = signal()
    features = model.wav2vec2.feature_extractor(waveforms[:1])[0]
    assert_recorded(features.transpose(1, 2), entry["conv_output_row0"])
    projected = model.wav2vec2.feature_projection(features)[0]
    assert_recorded(model.wav2vec2.encoder.pos_conv_embed(projected), entry["pos_conv_embed_of_extract_proj_row0"])


@torch.no_grad()
def test_hidden_states_and_logits(case) -> None:
    model, entry, _ = case
    encoded = model.wav2vec2(signal()[0])
    assert_recorded(encoded.hidden, entry["last_hidden_state_nomask"])
    assert_recorded(encoded.features, entry["extract_features_nomask"])
    for state, recorded in zip(encoded.states, entry["hidden_states_nomask"], strict=True):
        assert_recorded(state, recorded)
    assert_recorded(model(signal()[0])[0], entry["logits_nomask"])


@torch.no_grad()
def test_padded_logits(case) -> None:
    model, entry, name = case
    logits, frames = model(*signal())
    assert frames.tolist() == entry["frame_mask_lengths"]
    if name == "tiny_large":
        assert_recorded(logits[1, :7], entry["logits_mask_row1_valid7"])
    else:
        # transformers takes group-norm statistics over the padding too; ours equal the single utterance instead.
        waveforms, _ = signal()
        torch.testing.assert_close(logits[1, :7], model(waveforms[1:, :2400])[0][0], rtol=0, atol=1e-5)
        assert_recorded(logits[:1], {**entry["logits_nomask"], **_row(model)})


def _row(model: Wav2Vec2ForCTC) -> dict:
    """What row 0 alone gives: padding of a neighbour must not change it."""
    logits = model(signal()[0][:1])[0].double().flatten()
    return {"shape": [1, 12, 8], "first8": logits[:8].tolist(), "last4": logits[-4:].tolist(),
            "sum": logits.sum().item(), "abs_sum": logits.abs().sum().item()}  # fmt: skip


def test_frame_counts(reference) -> None:
    recorded = json.loads((reference / "golden" / "frames.json").read_text("utf-8"))
    config = Wav2Vec2Config()
    assert {int(n): config.num_frames(int(n)) for n in recorded} == {int(n): t for n, t in recorded.items()}
    assert (config.hop_samples, config.field_samples) == (320, 400)


@torch.no_grad()
@pytest.mark.parametrize("name", ["tiny_base", "tiny_large"])
def test_pretraining_losses(golden, name: str, monkeypatch) -> None:
    entry = golden[name]
    # The second row was padded, and transformers takes group-norm statistics over padding too.
    monkeypatch.setattr(ValidGroupNorm, "forward", lambda self, x, lengths=None: torch.nn.GroupNorm.forward(self, x))
    model = filled(Wav2Vec2ForPreTraining(Wav2Vec2Config.from_dict(golden["cfg"] | entry["extra"])))
    assert names_of(model) == sorted(entry["pretrain_names"])
    mask, negatives = torch.tensor(golden["pretrain_mask"]).bool(), torch.tensor(golden["pretrain_negatives"])
    # Recorded as indices of all frames of the batch; here they are places among the masked frames of one utterance.
    places = mask.long().cumsum(1).flatten() - 1
    found = model(*signal(), time_mask=mask, negatives=places[negatives[mask]])
    recorded = entry["pretrain_eval"]
    encoded = model.wav2vec2(*signal(), time_mask=mask)
    assert_recorded(model.project_hid(encoded.hidden), recorded["projected_states"])
    assert_recorded(model(*signal()).targets, recorded["projected_quantized_states"])
    torch.testing.assert_close(found.states, model.project_hid(encoded.hidden)[mask], rtol=0, atol=1e-6)
    assert int(mask.sum()) == len(found.logits) == recorded["masked_frames"]
    figures = {"loss": found.loss, "contrastive_loss": found.contrastive, "diversity_loss": found.diversity,
               "codevector_perplexity": found.quantized.perplexity}  # fmt: skip
    for key, value in figures.items():
        assert value.item() == pytest.approx(recorded[key], abs=1e-4), key


@torch.no_grad()
def test_attention_adapters(golden) -> None:
    entry = golden["tiny_large_adapter"]
    model = filled(Wav2Vec2ForCTC(Wav2Vec2Config.from_dict(entry["cfg"])))
    assert names_of(model) == sorted(entry["ctc_names"])
    assert_recorded(model(*signal())[0], entry["logits_mask"])


@torch.no_grad()
@pytest.mark.parametrize("name", ["conformer_relative", "conformer_rotary"])
def test_conformers(golden, name: str) -> None:
    entry = golden[name]
    model = filled(Wav2Vec2ForCTC(Wav2Vec2Config.from_dict({"model_type": "wav2vec2-conformer"} | entry["cfg"])))
    assert names_of(model) == sorted(entry["ctc_names"])
    assert_recorded(model(signal()[0])[0], entry["logits_nomask"])
    # transformers lets padding into the convolution; ours equals the single utterance instead.
    logits, frames = model(*signal())
    torch.testing.assert_close(logits[1, : frames[1]], model(signal()[0][1:, :2400])[0][0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_wav2vec2_bert(golden) -> None:
    entry = golden["w2vbert_tiny"]
    model = filled(Wav2Vec2ForCTC(Wav2Vec2Config.from_dict({"model_type": "wav2vec2-bert"} | entry["cfg"])))
    assert names_of(model) == sorted(entry["ctc_names"])
    features = torch.from_numpy(np.sin(0.05 * np.arange(3200)).reshape(2, 10, 160).astype(np.float32))
    assert_recorded(model(features)[0], entry["logits_nomask"])
    assert_recorded(model(features, torch.tensor([10, 6]))[0], entry["logits_mask"])


def test_log_mel_features(golden) -> None:
    entry = golden["w2vbert_fbank"]
    t = np.arange(16000, dtype=np.float64)
    tone = 0.3 * np.sin(2 * np.pi * 440 * t / 16000) + 0.1 * np.sin(2 * np.pi * 1500 * t / 16000 + 0.001 * t)
    bands = log_mel(tone.astype(np.float32))
    assert list(bands.shape) == entry["raw_logmel_shape"]
    np.testing.assert_allclose(bands[0, :8], entry["raw_first_frame_first8"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(bands[50, 20:28], entry["raw_frame50_mel20_27"], rtol=0, atol=1e-4)
    assert bands.sum() == pytest.approx(entry["raw_sum"], rel=1e-6)
    assert_recorded(torch.from_numpy(log_mel_features(tone)[None]), entry["input_features"] | {"sum": 0.0})
