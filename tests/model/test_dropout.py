"""Our dropout drops what it should, and attention with it is attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from xlsr.model.dropout import Dropout, attend, dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(3,), (7, 1001), (2, 3, 333, 100)])
def test_it_drops_a_share_and_scales_the_rest(p: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape, requires_grad=True)
    out = dropout(x, p)
    kept = out != 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / (1 - p)), rtol=2e-4, atol=0)
    # Five standard deviations of a binomial share.
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=5 * (p * (1 - p) / x.numel()) ** 0.5)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_a_seed_settles_the_mask_and_the_next_one_differs() -> None:
    x = torch.ones(1000)
    torch.manual_seed(5)
    first, second = dropout(x, 0.3), dropout(x, 0.3)
    torch.manual_seed(5)
    assert torch.equal(dropout(x, 0.3), first)
    assert not torch.equal(first, second)


def test_in_evaluation_and_at_the_ends_it_is_torchs() -> None:
    x = torch.randn(50)
    layer = Dropout(0.5)
    assert layer.eval()(x) is x
    assert torch.equal(dropout(x, 1.0), torch.zeros(50))
    assert Dropout(0.0).train()(x) is x


@pytest.mark.parametrize("kind", [None, "bool", "float"])
def test_attention_without_luck_is_torchs_attention(kind: str | None, monkeypatch) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 11, 8) for _ in range(3))
    mask = None
    if kind is not None:
        mask = (torch.arange(11) < torch.tensor([11, 6])[:, None])[:, None, None, :]
        mask = mask if kind == "bool" else torch.randn(2, 3, 11, 11).masked_fill(~mask, -torch.inf)
    monkeypatch.setattr("xlsr.model.dropout.dropout", lambda x, p: x)
    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # The same sums in another order.
    torch.testing.assert_close(attend(q, k, v, mask, dropout_p=0.1), wanted, rtol=1e-5, atol=1e-6)


def test_the_mean_over_many_masks_is_attention_without_dropout() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, 5, 4) for _ in range(3))
    mean = torch.stack([attend(q, k, v, None, dropout_p=0.2) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, attend(q, k, v, None, dropout_p=0.0), rtol=0, atol=0.05)
