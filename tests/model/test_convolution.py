"""The product over windows is torch's convolution, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.model.convolution import convolve_frames


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3), st.integers(0, 30), st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.integers(1, 7),
    st.booleans(),
)  # fmt: skip
def test_it_equals_torchs_convolution(batch, more, inputs, outputs, kernel, stride, has_bias) -> None:
    torch.manual_seed(batch * 1000 + more)
    x = torch.randn(batch, kernel + more, inputs, requires_grad=True)
    weight = torch.randn(outputs, inputs, kernel, requires_grad=True)
    bias = torch.randn(outputs, requires_grad=True) if has_bias else None
    leaves = [x, weight, *([bias] if bias is not None else [])]
    ours = convolve_frames(x, weight, bias, stride)
    theirs = F.conv1d(x.transpose(1, 2), weight, bias, stride).transpose(1, 2)
    # Sums of at most 35 products in another order.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    toward = torch.randn_like(ours)
    for mine, wanted in zip(
        torch.autograd.grad(ours, leaves, toward), torch.autograd.grad(theirs, leaves, toward), strict=True
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)


def test_too_short_an_input_is_refused_as_torch_does() -> None:
    with pytest.raises(RuntimeError, match="Kernel size"):
        convolve_frames(torch.zeros(1, 2, 1), torch.zeros(1, 1, 3), None, 1)


def test_under_autocast_gradients_have_their_parameters_type() -> None:
    weight = torch.randn(4, 2, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = convolve_frames(torch.randn(2, 9, 2), weight, None, 2)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
