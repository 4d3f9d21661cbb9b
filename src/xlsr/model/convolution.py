"""Convolution over frames whose channels lie side by side, (batch, time, channels).

A layer-norm stem normalises over channels after every convolution; with channels first, each norm costs two layout
copies of the largest tensors of the network. Here a CPU computes the convolution as one matrix product over strided
windows, forward and backward (`benchmarks/training_parts.py`: 0.7 of the time for a narrow stem); elsewhere and in
exported graphs it is torch's own convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx


def convolve_frames(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Convolve without padding.

    Args:
        x: (batch, time, inputs).
        weight: (outputs, inputs, kernel).
        bias: (outputs,) or None.
        stride: between windows.

    Returns:
        (batch, (time - kernel) // stride + 1, outputs).
    """
    if torch.is_autocast_enabled("cpu") and x.device.type == "cpu":
        x, weight = (value.to(torch.get_autocast_dtype("cpu")) for value in (x, weight))
    if torch.compiler.is_compiling() or not _is_plain(x, weight):
        return F.conv1d(x.transpose(1, 2), weight, bias, stride).transpose(1, 2)
    out: Tensor = _WindowProduct.apply(x.contiguous(), weight, stride)  # type: ignore[no-untyped-call]
    return out if bias is None else out + bias.to(out.dtype)


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """Whether the product over windows can be taken: on the CPU, and at least one window."""
    fits = x.shape[0] > 0 and x.shape[1] >= weight.shape[2]
    return fits and x.device.type == "cpu" and x.dtype == weight.dtype


class _WindowProduct(torch.autograd.Function):
    """Windows of frames, laid end to end, times the kernel."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride  # type: ignore[attr-defined]
        windows = _windows(x, weight.shape[2], stride)
        # (outputs, inputs, kernel) -> (kernel * inputs, outputs)
        kernel = weight.permute(2, 1, 0).reshape(windows.shape[1], -1)
        return (windows @ kernel).view(len(x), -1, len(weight))

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        stride: int = ctx.stride  # type: ignore[attr-defined]
        outputs, inputs, kernel = weight.shape
        frames = grad.shape[1]
        flat = grad.reshape(-1, outputs)
        # (outputs, kernel * inputs) -> (outputs, inputs, kernel)
        weight_grad = (flat.t() @ _windows(x, kernel, stride)).view(outputs, kernel, inputs).transpose(1, 2)
        if not ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            return None, weight_grad, None
        spread = (flat @ weight.transpose(1, 2).reshape(outputs, -1)).view(len(x), frames, kernel * inputs)
        x_grad = torch.zeros_like(x)
        for tap in range(0, kernel, stride):
            # Windows overlap; runs of one stride of their taps do not.
            width = min(stride, kernel - tap) * inputs
            size, steps = (len(x), frames, width), (x.stride(0), stride * inputs, 1)
            x_grad.as_strided(size, steps, tap * inputs).add_(spread[..., tap * inputs : tap * inputs + width])
        return x_grad, weight_grad, None


def _windows(x: Tensor, kernel: int, stride: int) -> Tensor:
    """(batch, time, channels) -> (batch * windows, kernel * channels), a copy."""
    batch, time, channels = x.shape
    size = (batch, (time - kernel) // stride + 1, kernel * channels)
    return x.as_strided(size, (time * channels, stride * channels, 1)).reshape(-1, kernel * channels)
