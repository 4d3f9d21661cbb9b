"""Quantizer and contrastive loss, in training too: transformers is the oracle, and what the paper says beyond it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import ARCHITECTURES, noise, transformers_model, transformers_negatives
from xlsr.checkpoint.hf import build
from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError
from xlsr.model.losses import contrastive_logits, contrastive_loss, feature_penalty
from xlsr.model.masking import draw_negatives, span_mask
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.quantizer import Quantizer, perplexity

KEYS = {"codevector_dim": 8, "num_codevectors_per_group": 6, "proj_codevector_dim": 12}
STILL = {
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
}  # fmt: skip


def config(**changes) -> Wav2Vec2Config:
    return Wav2Vec2Config.from_dict(ARCHITECTURES["large"] | KEYS | changes)


def drawn(frames: list[int], *, count: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A mask, and distractors."""
    rng = np.random.default_rng(seed)
    mask = span_mask(frames, max(frames), prob=0.65, span=5, min_spans=2, rng=rng)
    return torch.from_numpy(mask), torch.from_numpy(draw_negatives(mask, count, rng=rng))


@pytest.fixture
def quantizer() -> Quantizer:
    torch.manual_seed(0)
    return Quantizer(config())


def test_vectors_are_joined_codebook_entries(quantizer) -> None:
    for mode in (True, False):
        found = quantizer.train(mode)(torch.randn(2, 9, 16))
        book = quantizer.codevectors.view(2, 6, 4)
        joined = torch.stack([book[group, found.codes[..., group]] for group in range(2)], dim=2).flatten(2)
        torch.testing.assert_close(found.vectors, joined, rtol=0, atol=0)


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
    assert perplexity(even).item() == pytest.approx(12)
    assert perplexity(one).item() == pytest.approx(2)
    half = one[:, :4].clone()
    half[1, :, :, 0], half[1, :, :, 5] = 0, 1
    assert perplexity(half).item() == pytest.approx(4)


def test_an_entry_that_nothing_takes_has_a_finite_gradient() -> None:
    logits = torch.zeros(3, 1, 4)
    logits[..., 0] = -200  # its probability is zero in single precision
    logits.requires_grad_()
    perplexity(logits.softmax(dim=-1)).backward()
    assert torch.isfinite(logits.grad).all()


def by_hand(states, targets, counts, negatives, alike, temperature) -> torch.Tensor:
    """The same logits, frame by frame as the paper writes them."""
    rows, first = [], 0
    for count in counts.tolist():
        for frame in range(first, first + count):
            others = targets[first + negatives[frame]]
            candidates = torch.cat((targets[frame : frame + 1], others))
            logits = F.cosine_similarity(states[frame : frame + 1], candidates, dim=-1) / temperature
            rows.append(torch.cat((logits[:1], logits[1:].masked_fill(alike[frame], -math.inf))))
        first += count
    return torch.stack(rows)


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.sampled_from([0, 2, 3, 17]), min_size=1, max_size=4).filter(any),
    distractors=st.integers(1, 9), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_contrastive_logits_and_gradients_are_the_papers(counts, distractors, seed) -> None:
    rng, total = np.random.default_rng(seed), sum(counts)
    mask = np.arange(max(counts)) < np.array(counts)[:, None]
    negatives = torch.from_numpy(draw_negatives(mask, distractors, rng=rng))
    alike = torch.from_numpy(rng.random(negatives.shape) < 0.2)
    states, targets = (torch.from_numpy(rng.standard_normal((total, 6))).float().requires_grad_() for _ in range(2))
    counts = torch.tensor(counts)
    found = contrastive_logits(states, targets, counts, negatives, alike, temperature=0.1)
    wanted = by_hand(states, targets, counts, negatives, alike, 0.1)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)
    gradients = (
        torch.autograd.grad(contrastive_loss(logits), (states, targets), retain_graph=True)
        for logits in (found, wanted)
    )
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_a_distractor_equal_to_the_target_is_left_out() -> None:
    torch.manual_seed(0)
    model = Wav2Vec2ForPreTraining(config(num_codevectors_per_group=2)).eval()
    mask, negatives = drawn([49, 40], count=20)
    seen = model(*noise(16000, 13000), time_mask=mask, negatives=negatives)
    first = torch.tensor([0, int(mask[0].sum())]).repeat_interleave(mask.sum(1))
    alike = (seen.quantized.codes[negatives + first[:, None]] == seen.quantized.codes[:, None]).all(-1)
    assert alike.any()
    assert torch.equal(seen.logits[:, 1:] == -math.inf, alike)
    assert torch.isfinite(seen.logits[:, 0]).all()


def test_chance_is_the_logarithm_of_the_candidates() -> None:
    assert contrastive_loss(torch.zeros(7, 101)).item() == pytest.approx(7 * 4.615121, rel=1e-5)


def twins(architecture: str, **changes):
    """transformers' network and ours with the same weights, without dropout."""
    theirs = transformers_model(ARCHITECTURES[architecture] | KEYS | STILL | changes, "ForPreTraining")
    ours_config = Wav2Vec2Config.from_dict(theirs.config.to_dict() | {"architectures": ["Wav2Vec2ForPreTraining"]})
    weights = {name: value.clone() for name, value in theirs.state_dict().items()}
    for new, old in (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    ):
        weights = {name.replace(new, old): value for name, value in weights.items()}
    return theirs, build(ours_config, weights, source="transformers")


def set_gumbel(monkeypatch, mask: torch.Tensor) -> None:
    """The same Gumbel noise for the masked frames of both, whether or not the others are quantized as well."""
    fixed = -torch.empty(mask.numel(), 2, KEYS["num_codevectors_per_group"]).exponential_().log()

    def softmax(logits, tau=1.0, hard=False, **_):
        frames = logits.reshape(-1, 2, KEYS["num_codevectors_per_group"])
        noise = fixed if len(frames) == len(fixed) else fixed[mask.flatten()]
        soft = ((frames + noise) / tau).softmax(-1)
        one = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
        return (one - soft.detach() + soft).view(logits.shape)

    def theirs(logits, tau=1.0, hard=False, **_):
        frames, groups = mask.numel(), 2  # transformers lays frames and groups in one row
        return softmax(logits.view(frames, groups, -1), tau).view(logits.shape)

    monkeypatch.setattr(F, "gumbel_softmax", lambda x, **k: theirs(x, **k) if x.ndim == 2 else softmax(x, **k))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_losses_and_gradients_equal_transformers(monkeypatch, architecture: str, training: bool) -> None:
    theirs, ours = twins(architecture)
    for model in (theirs, ours):
        model.train(training)
    mask, negatives = drawn([49, 49])
    set_gumbel(monkeypatch, mask)
    theirs.set_gumbel_temperature(1.3)
    waveforms, _ = noise(16000, 16000)
    wanted = theirs(waveforms, mask_time_indices=mask, sampled_negative_indices=transformers_negatives(mask, negatives))
    found = ours(waveforms, time_mask=mask, negatives=negatives, temperature=1.3)
    # Sums over tens of frames: the tolerance is relative.
    for mine, other in ((found.loss, wanted.loss), (found.contrastive, wanted.contrastive_loss),
                        (found.diversity, wanted.diversity_loss),
                        (found.quantized.perplexity, wanted.codevector_perplexity)):  # fmt: skip
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-4)
    found.loss.backward()
    wanted.loss.backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        other = name.replace("conv.weight_g", "conv.parametrizations.weight.original0")
        other = other.replace("conv.weight_v", "conv.parametrizations.weight.original1")
        if gradients[other] is None:
            assert parameter.grad is None or not parameter.grad.any(), name
            continue
        # A key's bias moves all of a query's scores alike: its gradient is zero but for rounding.
        scale = max(gradients[other].abs().max().item(), 1.0)
        torch.testing.assert_close(parameter.grad / scale, gradients[other] / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_padded_batch_has_the_losses_of_its_utterances(architecture: str) -> None:
    torch.manual_seed(0)
    model = Wav2Vec2ForPreTraining(Wav2Vec2Config.from_dict(ARCHITECTURES[architecture] | KEYS)).eval()
    sizes = (16000, 9000, 12345)
    waveforms, lengths = noise(*sizes)
    frames = [model.config.num_frames(size) for size in sizes]
    mask, negatives = drawn(frames)
    batch = model(waveforms, lengths, time_mask=mask, negatives=negatives)
    parts = negatives.split(mask.sum(1).tolist())
    singles = [
        model(waveforms[row : row + 1, :size], time_mask=mask[row : row + 1, :count], negatives=part)
        for row, (size, count, part) in enumerate(zip(sizes, frames, parts, strict=True))
    ]
    torch.testing.assert_close(batch.logits, torch.cat([one.logits for one in singles]), rtol=0, atol=1e-4)
    torch.testing.assert_close(batch.contrastive, sum(one.contrastive for one in singles), rtol=1e-5, atol=1e-4)
    penalty = feature_penalty(batch.encoded.conv, batch.encoded.conv_lengths)
    alone = sum(feature_penalty(one.encoded.conv, None) * count for one, count in zip(singles, frames, strict=True))
    torch.testing.assert_close(penalty, alone / sum(frames), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_learns(architecture: str) -> None:
    torch.manual_seed(0)
    model = Wav2Vec2ForPreTraining(Wav2Vec2Config.from_dict(ARCHITECTURES[architecture] | KEYS)).train()
    waveforms, lengths = noise(16000, 9000)
    mask, negatives = drawn([49, 27])
    model(waveforms, lengths, time_mask=mask, negatives=negatives, temperature=1.5).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_gradient_into_the_feature_encoder_is_scaled_and_no_other() -> None:
    mask, negatives = drawn([49])
    gradients = []
    for scale in (1.0, 0.1):
        torch.manual_seed(0)
        model = Wav2Vec2ForPreTraining(config(**STILL)).train()
        seen = model(noise(16000)[0], time_mask=mask, negatives=negatives, feature_grad_mult=scale)
        # The penalty is of the scaled stem too, as in fairseq.
        (seen.loss + 10 * feature_penalty(seen.encoded.conv, None)).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        scale = 0.1 if "feature_extractor" in name else 1.0
        torch.testing.assert_close(gradients[1][name], gradient * scale, rtol=1e-4, atol=1e-6)


def test_the_penalty_is_the_mean_square_of_the_convolutions() -> None:
    conv = torch.randn(2, 9, 4)
    assert feature_penalty(conv, None).item() == pytest.approx(conv.pow(2).mean().item(), rel=1e-6)
    wanted = torch.cat((conv[0], conv[1, :3])).pow(2).mean().item()
    assert feature_penalty(conv, torch.tensor([9, 3])).item() == pytest.approx(wanted, rel=1e-6)


def test_losses_need_a_mask() -> None:
    model = Wav2Vec2ForPreTraining(config())
    with pytest.raises(ValueError, match="without time_mask"):
        model(noise(16000)[0], negatives=torch.zeros(1, 2, dtype=torch.long))


@pytest.mark.parametrize("keys", [{"model_type": "wav2vec2-bert"}, {"add_adapter": True}])
def test_encoders_without_targets_are_refused(keys: dict) -> None:
    with pytest.raises(ConfigError, match="no contrastive pre-training"):
        Wav2Vec2ForPreTraining(Wav2Vec2Config.from_dict(keys | {"num_hidden_layers": 0}))
