"""Training objectives over the network's outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def ctc_losses(logits: Tensor, frames: Tensor, labels: Tensor, label_lengths: Tensor, *, blank: int) -> Tensor:
    """CTC loss of each utterance, in nats.

    Args:
        logits: (batch, frames, vocab).
        frames: (batch,) valid frames.
        labels: (batch, longest) or flat (sum of lengths,) class ids without blanks.
        label_lengths: (batch,).
        blank: class id of the blank.

    Returns:
        (batch,) fp32; infinite where the labels cannot fit into the frames.

    Source: Graves et al. 2006. The log-softmax is taken in fp32; cuDNN's kernel, limited in length, is not used.
    """
    # (batch, frames, vocab) -> (frames, batch, vocab)
    log_probs = F.log_softmax(logits.float(), dim=-1).transpose(0, 1)
    # Lengths on the CPU and int64 labels select torch's own kernel.
    return F.ctc_loss(log_probs, labels.long(), frames.cpu(), label_lengths.cpu(), blank=blank, reduction="none")


def contrastive_logits(states: Tensor, targets: Tensor, negatives: Tensor, *, temperature: float) -> Tensor:
    """Cosine similarities of frames with their target and with distractors, over the temperature.

    Args:
        states: (frames, dim), the context at masked frames.
        targets: (frames, dim), their quantized frames.
        negatives: (frames, distractors, dim), other frames' quantized vectors.
        temperature: divides the similarities.

    Returns:
        (frames, 1 + distractors) fp32, the target first. A distractor that equals the target cannot be told from it
        and gets minus infinity.

    Source: wav2vec 2.0, arXiv 2006.11477, equation 3.
    """
    candidates = torch.cat((targets.unsqueeze(1), negatives), dim=1)
    logits = F.cosine_similarity(states.unsqueeze(1).float(), candidates.float(), dim=-1) / temperature
    is_target = (candidates[:, 1:] == candidates[:, :1]).all(dim=-1)
    return torch.cat((logits[:, :1], logits[:, 1:].masked_fill(is_target, -torch.inf)), dim=1)


def contrastive_loss(logits: Tensor) -> Tensor:
    """(frames, 1 + distractors), the true one first -> the sum of their cross-entropies, in nats."""
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device), reduction="sum")
