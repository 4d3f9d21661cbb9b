"""How far a hypothesis is from its reference: word and character errors. Floor 1.

Counts over tokens that are already normalised: case and punctuation count, as in jiwer. Does not know audio,
manifests or reports (`evaluation` does).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorCounts:
    """The edits from reference to hypothesis; add them up over utterances.

    Attributes:
        substitutions: reference tokens that became others.
        deletions: reference tokens that are gone.
        insertions: hypothesis tokens that no reference token stands for.
        hits: reference tokens that are right.
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    hits: int = 0

    @property
    def length(self) -> int:
        """Tokens of the reference."""
        return self.substitutions + self.deletions + self.hits

    @property
    def errors(self) -> int:
        """All edits."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors by reference token; may exceed 1.

        An empty reference counts as one token, as in jiwer: the rate is then the number of insertions.
        """
        return self.errors / max(self.length, 1)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.hits + other.hits,
        )


def token_errors(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> ErrorCounts:
    """Count the edits of a shortest way from one sequence to another (Levenshtein)."""
    from rapidfuzz.distance import Levenshtein

    counts = {"replace": 0, "delete": 0, "insert": 0}
    for edit in Levenshtein.editops(reference, hypothesis):
        counts[edit.tag] += 1
    substitutions, deletions, insertions = counts["replace"], counts["delete"], counts["insert"]
    return ErrorCounts(substitutions, deletions, insertions, len(reference) - substitutions - deletions)


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count errors over words, which white space separates."""
    return token_errors(reference.split(), hypothesis.split())


def char_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count errors over code points; spaces between words count, those around the text do not."""
    return token_errors(reference.strip(), hypothesis.strip())


def wer(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> float:
    """Return the word error rate of a corpus: all errors by all reference words.

    Args:
        references: a text, or one for each utterance.
        hypotheses: as many, in the same order.

    Raises:
        ValueError: the numbers of texts differ.
    """
    return _corpus_counts(word_errors, references, hypotheses).rate


def cer(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> float:
    """Return the character error rate of a corpus: all errors by all reference characters.

    Args:
        references: a text, or one for each utterance.
        hypotheses: as many, in the same order.

    Raises:
        ValueError: the numbers of texts differ.
    """
    return _corpus_counts(char_errors, references, hypotheses).rate


def _corpus_counts(
    count: Callable[[str, str], ErrorCounts], references: str | Sequence[str], hypotheses: str | Sequence[str]
) -> ErrorCounts:
    references = [references] if isinstance(references, str) else references
    hypotheses = [hypotheses] if isinstance(hypotheses, str) else hypotheses
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses: wanted one for each")
    return sum((count(*pair) for pair in zip(references, hypotheses, strict=True)), ErrorCounts())
