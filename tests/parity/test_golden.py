"""The recorded vectors of the reference: weights and inputs by formula, outputs as transformers computed them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from xlsr.config import Wav2Vec2Config
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC


@pytest.fixture(scope="module")
def golden(reference) -> dict:
    return json.loads((reference / "golden" / "wav2vec2_tiny_golden.json").read_text("utf-8"))


def formula(name: str, shape: torch.Size, index: int) -> torch.Tensor:
    """The recorded weights: a sine over the flat index, scaled by the kind of tensor."""
    flat = np.arange(math.prod(shape), dtype=np.float64)
    wave = np.sin(0.7 * flat + index)
    if name.endswith("weight_g") or ("norm" in name and name.endswith("weight")):
        values = 1 + 0.1 * wave
    elif name.endswith("bias"):
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
    model = Wav2Vec2ForCTC(Wav2Vec2Config.from_dict(golden["cfg"] | entry["extra"])).eval()
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert sorted(shapes) == sorted(entry["ctc_names"])
    model.load_state_dict({name: formula(name, shapes[name], i) for i, name in enumerate(sorted(shapes))})
    return model, entry, request.param


def assert_recorded(found: torch.Tensor, recorded: dict) -> None:
    flat = found.detach().double().flatten()
    assert list(found.shape) == recorded["shape"]
    torch.testing.assert_close(flat[:8], torch.tensor(recorded["first8"], dtype=torch.double), rtol=0, atol=1e-4)
    torch.testing.assert_close(flat[-4:], torch.tensor(recorded["last4"], dtype=torch.double), rtol=0, atol=1e-4)
    # The sums were rounded to six digits and add up thousands of terms.
    assert flat.abs().sum().item() == pytest.approx(recorded["abs_sum"], rel=1e-5)
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
