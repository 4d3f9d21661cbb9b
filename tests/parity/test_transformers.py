"""Stage by stage against transformers, on the same weights: tiny networks always, full sizes in the slow suite.

The tolerance 1e-4 is the project's promise; fp32 rounding alone stays below 1e-5 on these networks.
"""

from __future__ import annotations

import pytest
import torch
import transformers

from tests.models import ARCHITECTURES, BASE, LARGE, noise
from xlsr.checkpoint.hf import _spelt
from xlsr.config import Wav2Vec2Config
from xlsr.model.losses import ctc_losses
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

TOLERANCE = {"rtol": 0.0, "atol": 1e-4}


def twins(keys: dict) -> tuple[transformers.Wav2Vec2ForCTC, Wav2Vec2ForCTC]:
    """Theirs with random weights, and ours with the same."""
    torch.manual_seed(0)
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**keys)).eval()
    with torch.device("meta"):
        ours = Wav2Vec2ForCTC(Wav2Vec2Config.from_dict(theirs.config.to_dict()))
    ours.load_state_dict(_spelt(theirs.state_dict()), assign=True)
    return theirs, ours.eval()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def pair(request):
    return twins(ARCHITECTURES[request.param])


@torch.no_grad()
def test_conv_features_agree(pair) -> None:
    theirs, ours = pair
    waveforms, _ = noise(16000, 16000)
    wanted = theirs.wav2vec2.feature_extractor(waveforms).transpose(1, 2)
    torch.testing.assert_close(ours.wav2vec2.feature_extractor(waveforms)[0], wanted, **TOLERANCE)


@torch.no_grad()
def test_projection_and_quantizer_input_agree(pair) -> None:
    theirs, ours = pair
    features = torch.randn(2, 49, 16)
    for mine, wanted in zip(
        ours.wav2vec2.feature_projection(features), theirs.wav2vec2.feature_projection(features), strict=True
    ):
        torch.testing.assert_close(mine, wanted, **TOLERANCE)


@torch.no_grad()
def test_positional_convolution_agrees(pair) -> None:
    theirs, ours = pair
    frames = torch.randn(2, 49, 32)
    wanted = theirs.wav2vec2.encoder.pos_conv_embed(frames)
    torch.testing.assert_close(ours.wav2vec2.encoder.pos_conv_embed(frames), wanted, **TOLERANCE)
    folded = theirs.wav2vec2.encoder.pos_conv_embed.conv.weight
    torch.testing.assert_close(ours.wav2vec2.encoder.pos_conv_embed.conv.weight, folded, **TOLERANCE)


@torch.no_grad()
def test_every_hidden_state_agrees(pair) -> None:
    theirs, ours = pair
    waveforms, _ = noise(16000, 16000)
    wanted = theirs.wav2vec2(waveforms, output_hidden_states=True)
    found = ours.wav2vec2(waveforms)
    assert len(found.states) == len(wanted.hidden_states) == 3
    for mine, other in zip(found.states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, **TOLERANCE)
    torch.testing.assert_close(found.hidden, wanted.last_hidden_state, **TOLERANCE)
    torch.testing.assert_close(found.features, wanted.extract_features, **TOLERANCE)


@torch.no_grad()
def test_masked_frames_agree(pair) -> None:
    theirs, ours = pair
    waveforms, _ = noise(16000, 16000)
    mask = torch.zeros(2, 49, dtype=torch.bool)
    mask[0, 3:13] = mask[1, 20:30] = True
    wanted = theirs.wav2vec2(waveforms, mask_time_indices=mask).last_hidden_state
    torch.testing.assert_close(ours.wav2vec2(waveforms, time_mask=mask).hidden, wanted, **TOLERANCE)


@torch.no_grad()
def test_padded_logits_of_layer_norm_models_agree() -> None:
    theirs, ours = twins(ARCHITECTURES["large"])
    waveforms, lengths = noise(16000, 9000, 400)
    attention = (torch.arange(16000) < lengths.unsqueeze(1)).long()
    logits, frames = ours(waveforms, lengths)
    wanted = theirs(waveforms, attention_mask=attention).logits
    for row, count in enumerate(frames.tolist()):
        torch.testing.assert_close(logits[row, :count], wanted[row, :count], **TOLERANCE)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_ctc_loss_agrees(pair, reduction: str) -> None:
    theirs, ours = pair
    waveforms, _ = noise(16000, 16000)
    labels = torch.tensor([[1, 2, 2, 3, 5], [4, 4, 1, -100, -100]])
    theirs.config.ctc_loss_reduction = reduction
    wanted = theirs(waveforms, labels=labels).loss
    logits, _ = ours(waveforms)
    label_lengths = (labels >= 0).sum(-1)
    losses = ctc_losses(logits, torch.full((2,), 49), labels[labels >= 0], label_lengths, blank=0)
    found = losses.sum() if reduction == "sum" else (losses / label_lengths).mean()
    torch.testing.assert_close(found, wanted, **TOLERANCE)


@pytest.mark.slow
@pytest.mark.xdist_group("memory")
@pytest.mark.parametrize(
    ("keys", "parameters"),
    [
        (BASE, 94_396_320),
        (LARGE | {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
         315_471_520),
    ],
    ids=["base", "large"],
)  # fmt: skip
@torch.no_grad()
def test_full_size_networks_agree(keys: dict, parameters: int) -> None:
    theirs, ours = twins(keys)
    assert sum(p.numel() for p in ours.parameters()) == parameters
    waveforms, _ = noise(32000)
    wanted = theirs.wav2vec2(waveforms, output_hidden_states=True)
    found = ours.wav2vec2(waveforms)
    for mine, other in zip(found.states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ours(waveforms)[0], theirs.lm_head(wanted.last_hidden_state), **TOLERANCE)
