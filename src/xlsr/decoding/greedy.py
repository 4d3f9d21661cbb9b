"""The best path: the likeliest symbol of every frame, repetitions merged, blanks dropped. Floor 2.

Needs no language model, lexicon or search, and is what the released models are scored with. Equal to a beam of one
only over paths: it does not add up the paths of one text.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xlsr.decoding.hypothesis import Hypothesis, TokenSpan


class GreedyDecoder:
    """Decode log-probabilities by their best path.

    Source: Graves et al. 2006, section 3.2, "best path decoding".
    """

    def __init__(self, blank_id: int) -> None:
        if blank_id < 0:
            raise ValueError(f"blank_id is {blank_id}; wanted a column of the log-probabilities, from 0")
        self.blank_id = blank_id

    @property
    def nbest(self) -> int:
        """How many hypotheses it returns: the best path alone."""
        return 1

    @property
    def names_words(self) -> bool:
        """Whether a lexicon names the words of its hypotheses."""
        return False

    def decode(self, log_probs: npt.NDArray[np.floating]) -> list[Hypothesis]:
        """Return the best path as a list of one hypothesis.

        Args:
            log_probs: (frames, vocab) natural log-probabilities; no frames give a hypothesis without tokens.

        Returns:
            One hypothesis; its score is the log-probability of the path, in nats.

        Raises:
            ValueError: not two axes, no column for the blank, or NaN among the values.
        """
        if log_probs.ndim != 2 or log_probs.shape[1] <= self.blank_id:
            raise ValueError(
                f"log_probs have shape {log_probs.shape}; wanted (frames, vocab) with a column {self.blank_id}, "
                "the blank"
            )
        if log_probs.shape[0] == 0:
            return [Hypothesis(spans=(), score=0.0)]
        best = log_probs.max(axis=1).astype(np.float64)  # (frames,)
        if np.isnan(best).any():
            raise ValueError(f"log_probs are NaN in {int(np.isnan(best).sum())} of {len(best)} frames")
        ids = log_probs.argmax(axis=1)  # (frames,)
        starts = np.concatenate(([0], np.flatnonzero(np.diff(ids)) + 1))  # (runs,)
        ends = np.append(starts[1:], len(ids))
        scores = np.add.reduceat(best, starts) / (ends - starts)
        runs = zip(ids[starts].tolist(), starts.tolist(), ends.tolist(), scores.tolist(), strict=True)
        spans = tuple(TokenSpan(*run) for run in runs if run[0] != self.blank_id)
        return [Hypothesis(spans=spans, score=float(best.sum()))]
