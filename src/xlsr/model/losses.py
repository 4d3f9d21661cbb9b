"""Training objectives over the network's outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xlsr.model.features import valid_mask


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


def contrastive_logits(
    states: Tensor, targets: Tensor, counts: Tensor, negatives: Tensor, alike: Tensor, *, temperature: float
) -> Tensor:
    """Cosine similarities of frames with their target and with distractors, over the temperature.

    All pairs within an utterance are compared by one matrix product, and the drawn ones taken from it: fewer pairs
    would do, but their vectors would have to be copied, a hundred for each frame.

    Args:
        states: (frames, dim), the context at masked frames, utterance after utterance.
        targets: (frames, dim), their quantized frames.
        counts: (batch,) int64, how many of the frames are each utterance's.
        negatives: (frames, distractors) int64, positions among the frames of the same utterance.
        alike: (frames, distractors) bool, distractors that cannot be told from the target.
        temperature: divides the similarities.

    Returns:
        (frames, 1 + distractors) fp32, the target first; minus infinity where `alike`.

    Source: wav2vec 2.0, arXiv 2006.11477, equation 3.
    """
    position, row = positions(counts, len(states))
    longest = int(counts.max())
    slot = row * longest + position
    with torch.autocast(states.device.type, enabled=False):
        # (frames, dim) -> (batch, longest, dim), with zeros where an utterance has fewer frames
        context, quantized = (
            torch.zeros(len(counts) * longest, x.shape[1], device=x.device)
            .index_copy(0, slot, F.normalize(x.float(), dim=-1, eps=1e-8))
            .view(len(counts), longest, x.shape[1])
            for x in (states, targets)
        )
        # (batch, longest, longest) -> (frames, longest)
        similar = torch.bmm(context, quantized.transpose(1, 2)).flatten(0, 1).index_select(0, slot) / temperature
    logits = similar.gather(1, torch.cat((position.unsqueeze(1), negatives), dim=1))
    return torch.cat((logits[:, :1], logits[:, 1:].masked_fill(alike, -torch.inf)), dim=1)


def positions(counts: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """(batch,) frames of each utterance -> for all frames in turn: position in the utterance, and which utterance."""
    row = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts, output_size=total)
    return torch.arange(total, device=counts.device) - (counts.cumsum(0) - counts)[row], row


def contrastive_loss(logits: Tensor) -> Tensor:
    """(frames, 1 + distractors), the true one first -> the sum of their cross-entropies, in nats."""
    return (logits.logsumexp(dim=-1) - logits[:, 0]).sum()


def feature_penalty(conv: Tensor, lengths: Tensor | None) -> Tensor:
    """Mean square of the feature encoder's output over valid frames, fp32: keeps a post-norm network's stem small.

    Args:
        conv: (batch, frames, channels), before the layer norm.
        lengths: (batch,) valid frames; None: all are valid.

    Source: fairseq's `features_pen`.
    """
    squares = conv.float().square().mean(dim=-1)
    if lengths is None:
        return squares.mean()
    valid = valid_mask(lengths, squares.shape[1])
    return torch.where(valid, squares, 0.0).sum() / valid.sum().clamp(min=1)
