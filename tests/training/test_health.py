"""A guard names what it sees, once, and a dead codebook comes back to life."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models import ARCHITECTURES
from xlsr.config import Wav2Vec2Config
from xlsr.model.quantizer import Quantizer
from xlsr.training.health import Guard, Limits, revive

LIMITS = Limits(distractors=100, groups=2, patience=300)
HEALTHY = {"loss_bits": 5.0, "accuracy": 0.2, "alike": 0.04, "code_perplexity": 80.0, "input_std": 1.0}


def verdicts(*figures: dict[str, float], limits: Limits = LIMITS) -> list[tuple[int, str]]:
    guard = Guard(limits)
    found = ((update, guard.watch(update, row)) for update, row in enumerate(figures))
    return [(update, verdict.kind) for update, verdict in found if verdict is not None]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"input_std": 0.0, "alike": 1.0, "code_perplexity": 2.0}, "dead input"),
        ({"alike": 0.9, "accuracy": 0.98, "loss_bits": 0.1}, "codebook collapse"),
        ({"code_perplexity": 2.2}, "codebook collapse"),
        ({"loss_bits": 9.0}, "divergence"),
    ],
)
def test_a_failure_is_named_once_and_soon(change: dict[str, float], kind: str) -> None:
    found = verdicts(*[HEALTHY] * 50, *[HEALTHY | change] * 100)
    assert [name for _, name in found] == [kind]
    assert found[0][0] < 50 + 25


def test_a_plateau_is_named_when_patience_has_ended() -> None:
    stuck = HEALTHY | {"loss_bits": 6.62}
    assert verdicts(*[stuck] * 400) == [(300, "plateau")]
    assert verdicts(*[stuck] * 290, *[HEALTHY] * 110) == []


def test_one_strange_batch_is_no_failure() -> None:
    strange = {"loss_bits": 20.0, "accuracy": 1.0, "alike": 1.0, "code_perplexity": 2.0, "input_std": 0.0}
    assert verdicts(*[HEALTHY] * 30, HEALTHY | strange, *[HEALTHY] * 30) == []


def test_dead_entries_get_frames_of_their_own() -> None:
    torch.manual_seed(0)
    keys = {"codevector_dim": 8, "num_codevectors_per_group": 20}
    quantizer = Quantizer(Wav2Vec2Config.from_dict(ARCHITECTURES["large"] | keys)).eval()
    features = torch.nn.functional.layer_norm(torch.randn(400, 16), (16,))
    with torch.no_grad():
        quantizer.weight_proj.weight.zero_()
        quantizer.weight_proj.bias[[3, 20 + 7]] = 5.0
    alive = quantizer.codevectors[0, [3, 27]].clone()
    assert quantizer(features).code_perplexity.item() == pytest.approx(2.0)
    assert revive(quantizer, features, np.random.default_rng(0)) == 38
    assert quantizer(features).code_perplexity.item() > 20  # of 40
    assert torch.equal(quantizer.codevectors[0, [3, 27]], alive)
    assert revive(quantizer, features, np.random.default_rng(0)) < 10
