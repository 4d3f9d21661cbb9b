"""Dropout, and attention with dropout, that cost a CPU little.

torch draws a CPU's dropout masks one number at a time, a fifth of the training step of a small network. Here a CPU
takes sixteen random bits an element from a fast generator (SFC64), seeded by torch's own, so that a seed still settles
a run. The probability is rounded to a multiple of 2^-16, and kept elements are scaled by what it then is. On other
devices and in compiled graphs it is torch's dropout.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """torch's `Dropout`, faster on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Zero elements with probability `p` and scale the others, in training."""
        return dropout(input, self.p) if self.training and self.p else input


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element of `x` with probability `p`, in 0..1, and divide the others by 1 - p."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or p >= 1:
        return F.dropout(x, p)
    steps = round(p * (1 << 16))
    seed = int(torch.randint(1 << 62, ()))
    words = np.random.SFC64(seed).random_raw(-(-x.numel() // 4))
    drawn = torch.from_numpy(words.view(np.int16))[: x.numel()].view(x.shape)
    # Drawn from -2^15 to 2^15 - 1: the lowest `steps` values are dropped.
    kept = torch.ge(drawn, steps - (1 << 15), out=torch.empty(x.shape, dtype=x.dtype))
    return x * kept.mul_((1 << 16) / ((1 << 16) - steps))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, dropout_p: float) -> Tensor:
    """Scaled dot-product attention.

    Args:
        q, k, v: (batch, heads, frames, head size).
        mask: bool, True where keys may be seen, or float, added to the scores; broadcast over (batch, heads, frames,
            frames). None: every key may be seen.
        dropout_p: share of the attention weights that is dropped; 0 in inference.

    Returns:
        As `q`.
    """
    if not dropout_p or q.device.type != "cpu" or torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return dropout(scores.softmax(dim=-1), dropout_p) @ v
