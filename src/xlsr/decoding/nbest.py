"""The best readings of the stretches of a recording -> those of the whole. Floor 2.

Stretches are read by themselves, so that the score of a reading of the whole is the sum of its parts' and the best few
of the whole are made of the best few of each. Knows no times.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from operator import attrgetter

from xlsr.decoding.hypothesis import Hypothesis, words_of
from xlsr.results import Alternative
from xlsr.tokenizer import Tokenizer


class NBest:
    """Gathers the hypotheses of one stretch after the other.

    Args:
        count: of the whole, keep so many.
        joiner: between two words of a text.
    """

    def __init__(self, count: int, joiner: str = " ") -> None:
        self._count, self._joiner = count, joiner
        self._found = [Alternative("", 0.0, 0.0, 0.0)]

    def add(self, hypotheses: Sequence[Hypothesis], tokenizer: Tokenizer) -> None:
        """Take the hypotheses of the next stretch, best first."""
        parts = [self._alternative(hypothesis, tokenizer) for hypothesis in hypotheses]
        joined = (self._joined(a, b) for a in self._found for b in parts)
        self._found = heapq.nlargest(self._count, joined, key=attrgetter("score"))  # equal ones stay in their order

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """The readings of all that came, best first; none where only one is wanted."""
        return tuple(self._found) if self._count > 1 else ()

    def _alternative(self, hypothesis: Hypothesis, tokenizer: Tokenizer) -> Alternative:
        text = self._joiner.join(word.text for word in words_of(hypothesis, tokenizer))
        return Alternative(text, hypothesis.score, hypothesis.acoustic_score or 0.0, hypothesis.lm_score or 0.0)

    def _joined(self, a: Alternative, b: Alternative) -> Alternative:
        return Alternative(
            self._joiner.join(text for text in (a.text, b.text) if text),
            a.score + b.score,
            a.acoustic_score + b.acoustic_score,
            a.lm_score + b.lm_score,
        )
