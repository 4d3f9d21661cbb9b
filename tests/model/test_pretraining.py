"""Quantizer and contrastive loss: what training needs beyond transformers' evaluation figures."""

from __future__ import annotations

import math

import pytest
import torch

from tests.models import ARCHITECTURES, noise
from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError
from xlsr.model.losses import contrastive_logits, contrastive_loss
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.quantizer import Quantizer, perplexity

KEYS = {"codevector_dim": 8, "num_codevectors_per_group": 6, "proj_codevector_dim": 12}


def config(**changes) -> Wav2Vec2Config:
    return Wav2Vec2Config.from_dict(ARCHITECTURES["large"] | KEYS | changes)


@pytest.fixture
def quantizer() -> Quantizer:
    torch.manual_seed(0)
    return Quantizer(config())


def test_vectors_are_joined_codebook_entries(quantizer) -> None:
    for mode in (True, False):
        found = quantizer.train(mode)(torch.randn(2, 9, 16))
        book = quantizer.codevectors.view(2, 6, 4)
        joined = torch.stack([book[group, found.codes[..., group]] for group in range(2)], dim=2).flatten(2)
        torch.testing.assert_close(found.vectors, joined, rtol=0, atol=1e-6)


def test_evaluation_takes_the_likeliest_and_draws_nothing(quantizer) -> None:
    features = torch.randn(2, 9, 16)
    state = torch.get_rng_state()
    codes = quantizer.eval()(features).codes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(codes, quantizer.weight_proj(features).view(2, 9, 2, 6).argmax(-1))


def test_training_draws_entries_by_their_probability(quantizer) -> None:
    features = torch.randn(1, 1, 16).expand(1, 20000, 16)
    probs = quantizer.weight_proj(features[0, 0]).view(2, 6).softmax(-1)
    torch.manual_seed(1)
    codes = quantizer.train()(features, temperature=0.7).codes[0]
    for group in range(2):
        share = torch.bincount(codes[:, group], minlength=6) / 20000
        # Three standard deviations of a share of 20,000 draws are at most 0.011; the temperature does not matter.
        torch.testing.assert_close(share, probs[group], rtol=0, atol=0.015)


def test_gradients_pass_straight_through(quantizer) -> None:
    features, temperature = torch.randn(2, 3, 16), 0.9
    weights = torch.randn(2, 3, 8)
    torch.manual_seed(2)
    (quantizer.train()(features, temperature=temperature).vectors * weights).sum().backward()
    found = quantizer.weight_proj.weight.grad.clone()
    quantizer.weight_proj.weight.grad = None
    # The soft vectors of the same draw have this gradient.
    torch.manual_seed(2)
    logits = quantizer.weight_proj(features).view(2, 3, 2, 6)
    gumbel = -torch.empty_like(logits).exponential_().log()
    soft = ((logits + gumbel) / temperature).softmax(-1)
    vectors = torch.einsum("btgv,gvd->btgd", soft, quantizer.codevectors.detach().view(2, 6, 4)).flatten(2)
    (vectors * weights).sum().backward()
    torch.testing.assert_close(found, quantizer.weight_proj.weight.grad, rtol=1e-4, atol=1e-5)


def test_perplexity_counts_the_entries_in_use() -> None:
    even = torch.full((2, 5, 2, 6), 1 / 6)
    one = torch.zeros(2, 5, 2, 6)
    one[..., 0] = 1
    assert perplexity(even, None).item() == pytest.approx(12)
    assert perplexity(one, None).item() == pytest.approx(2)
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, 1] = mask[1, 3] = True
    one[1, 3, :, 0], one[1, 3, :, 5] = 0, 1
    assert perplexity(one, mask).item() == pytest.approx(4)


def test_a_distractor_equal_to_the_target_is_left_out() -> None:
    states, targets = torch.randn(3, 4), torch.randn(3, 4)
    negatives = torch.randn(3, 2, 4)
    negatives[1, 0] = targets[1]
    logits = contrastive_logits(states, targets, negatives, temperature=0.1)
    assert logits[1, 1] == -math.inf
    assert torch.isfinite(logits).sum() == 8
    by_hand = torch.cosine_similarity(states[2], negatives[2, 1], dim=0) / 0.1
    assert logits[2, 2].item() == pytest.approx(by_hand.item(), abs=1e-5)
    assert contrastive_loss(logits).item() == pytest.approx(-logits.log_softmax(-1)[:, 0].sum().item(), rel=1e-5)


def test_chance_is_the_logarithm_of_the_candidates() -> None:
    assert contrastive_loss(torch.zeros(7, 101)).item() == pytest.approx(7 * 4.615121, rel=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_learns(architecture: str) -> None:
    torch.manual_seed(0)
    model = Wav2Vec2ForPreTraining(Wav2Vec2Config.from_dict(ARCHITECTURES[architecture] | KEYS)).train()
    waveforms, lengths = noise(16000, 9000)
    mask = torch.zeros(2, 49, dtype=torch.bool)
    mask[0, 5:25] = mask[1, 3:13] = True
    rows = torch.arange(2).view(2, 1, 1) * 49
    negatives = rows + torch.randint(3, 13, (2, 49, 5))
    model(waveforms, lengths, time_mask=mask, negatives=negatives, temperature=1.5).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_losses_need_a_mask() -> None:
    model = Wav2Vec2ForPreTraining(config())
    with pytest.raises(ValueError, match="without time_mask"):
        model(noise(16000)[0], negatives=torch.zeros(1, 49, 2, dtype=torch.long))


@pytest.mark.parametrize("keys", [{"model_type": "wav2vec2-bert"}, {"add_adapter": True}])
def test_encoders_without_targets_are_refused(keys: dict) -> None:
    with pytest.raises(ConfigError, match="no contrastive pre-training"):
        Wav2Vec2ForPreTraining(Wav2Vec2Config.from_dict(keys | {"num_hidden_layers": 0}))
