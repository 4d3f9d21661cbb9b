"""Training objectives over the network's outputs."""

from __future__ import annotations

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
