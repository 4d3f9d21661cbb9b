"""The product quantizer of pre-training: frames -> entries of two learnt codebooks.

(..., feature_size) -> (..., codevector_dim), frame by frame. In training the entries are drawn by Gumbel noise,
hard in the forward pass and soft in the backward pass; in evaluation the likeliest are taken. Knows no schedule: the
temperature comes with each call, so that a resumed run has the right one.

Source: wav2vec 2.0, arXiv 2006.11477, section 2 and equation 1; Gumbel-softmax, arXiv 1611.01144; names as in
transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError


@dataclass(frozen=True)
class Quantized:
    """Frames by their codebook entries.

    Attributes:
        vectors: (..., codevector_dim).
        codes: (..., groups) int64, the entries taken.
        logits: (..., groups, entries) fp32, of the entries.
        perplexity: effective number of entries in use, summed over groups: of the mean distribution (without noise)
            in training, of the entries taken in evaluation. Enters the diversity loss.
        code_perplexity: the same of the entries that are likeliest; the figure to watch.
    """

    vectors: Tensor
    codes: Tensor
    logits: Tensor
    perplexity: Tensor
    code_perplexity: Tensor


class Quantizer(nn.Module):
    """Codebooks of `num_codevectors_per_group` entries each, one a group; the chosen entries are joined."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.groups, self.entries = config.num_codevector_groups, config.num_codevectors_per_group
        if config.codevector_dim % self.groups:
            raise ConfigError(
                f"codevector_dim {config.codevector_dim} is not a multiple of num_codevector_groups {self.groups}"
            )
        self.codevectors = nn.Parameter(torch.rand(1, self.groups * self.entries, config.codevector_dim // self.groups))
        self.weight_proj = nn.Linear(config.feature_size, self.groups * self.entries)

    def forward(self, features: Tensor, *, temperature: float = 2.0) -> Quantized:
        """Quantize frames.

        Args:
            features: (..., feature_size), normed and unmasked; the perplexities count all of them.
            temperature: of the Gumbel-softmax, in training only.
        """
        # (..., groups * entries) -> (..., groups, entries), fp32
        logits = self.weight_proj(features).unflatten(-1, (self.groups, self.entries)).float()
        codes = logits.argmax(dim=-1)
        usage = F.one_hot(codes, self.entries).to(logits.dtype)
        code_perplexity = soft_perplexity = perplexity(usage)
        chosen = usage
        if self.training:
            chosen = F.gumbel_softmax(logits, tau=temperature, hard=True)
            soft_perplexity, codes = perplexity(logits.softmax(dim=-1)), chosen.argmax(dim=-1)
        book = self.codevectors.view(self.groups, self.entries, -1)
        vectors = torch.einsum("...gv,gvd->...gd", chosen.to(book.dtype), book).flatten(-2)
        return Quantized(vectors, codes, logits, soft_perplexity, code_perplexity)


def perplexity(probs: Tensor) -> Tensor:
    """(..., groups, entries) -> scalar: sum over groups of exp(entropy of the mean over all frames).

    As fairseq has it, with 1e-7 inside the logarithm: an entry whose probability has become zero would otherwise have
    an infinite gradient.
    """
    flat = probs.flatten(0, -3)
    mean = flat.sum(dim=0) / max(len(flat), 1)
    return torch.exp(-(mean * torch.log(mean + 1e-7)).sum(dim=-1)).sum()
