"""The edits that lead from a reference to a hypothesis, one by one and counted.

Tokens are already normalised: case and punctuation count, as in jiwer. Knows one pair of texts at a time; corpora with
speakers and durations are `summary`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

EditKind = Literal["hit", "substitution", "deletion", "insertion"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One step from reference to hypothesis; the token that is not there is None.

    Attributes:
        reference: the token that was said; None for an insertion.
        hypothesis: the token that was heard; None for a deletion.
    """

    reference: str | None
    hypothesis: str | None

    @property
    def kind(self) -> EditKind:
        """What was done."""
        if self.reference is None:
            return "insertion"
        if self.hypothesis is None:
            return "deletion"
        return "hit" if self.reference == self.hypothesis else "substitution"


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


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[Edit, ...]:
    """Return a shortest way from one sequence of tokens to another (Levenshtein), in their order.

    Args:
        reference: words, phones, or a text for its characters.
        hypothesis: as the reference.
    """
    from rapidfuzz.distance import Levenshtein

    edits: list[Edit] = []
    for step in Levenshtein.opcodes(reference, hypothesis):
        said: Sequence[str | None] = reference[step.src_start : step.src_end]
        heard: Sequence[str | None] = hypothesis[step.dest_start : step.dest_end]
        width = max(len(said), len(heard))  # equal, or one of them empty
        edits += map(Edit, said or [None] * width, heard or [None] * width)
    return tuple(edits)


def align_words(reference: str, hypothesis: str) -> tuple[Edit, ...]:
    """Align words, which white space separates; so are the phones of a transcription."""
    return align(reference.split(), hypothesis.split())


def align_chars(reference: str, hypothesis: str) -> tuple[Edit, ...]:
    """Align code points; spaces between words count, those around the text do not."""
    return align(reference.strip(), hypothesis.strip())


def judge(reference: Sequence[str], parts: Sequence[Sequence[str]]) -> list[bool | None]:
    """Return of each part of a hypothesis whether the reference has all its tokens there; None of an empty part.

    Args:
        reference: words, phones, or a text for its characters.
        parts: the hypothesis, cut into pieces of any number of tokens.
    """
    edits = align(reference, [token for part in parts for token in part])
    hits = (edit.kind == "hit" for edit in edits if edit.hypothesis is not None)
    verdicts = [list(islice(hits, len(part))) for part in parts]
    return [all(verdict) if verdict else None for verdict in verdicts]


def count_edits(edits: Iterable[Edit]) -> ErrorCounts:
    """Count edits by their kind."""
    kinds = Counter(edit.kind for edit in edits)
    return ErrorCounts(kinds["substitution"], kinds["deletion"], kinds["insertion"], kinds["hit"])


def token_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """Count the edits of a shortest way from one sequence of tokens to another."""
    return count_edits(align(reference, hypothesis))


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count errors over words, which white space separates."""
    return count_edits(align_words(reference, hypothesis))


def char_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count errors over code points; spaces between words count, those around the text do not."""
    return count_edits(align_chars(reference, hypothesis))


@dataclass(frozen=True)
class Confusion:
    """How often one token became another; None stands where a token was lost or invented."""

    reference: str | None
    hypothesis: str | None
    count: int


def confusions(edits: Iterable[Edit]) -> tuple[Confusion, ...]:
    """Count which token became which, most frequent first, then by spelling; hits are left out."""
    counts = Counter((edit.reference, edit.hypothesis) for edit in edits if edit.kind != "hit")
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""))
    return tuple(Confusion(reference, hypothesis, count) for (reference, hypothesis), count in ordered)


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


def per(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> float:
    """Return the phone error rate of a corpus, over phones that white space separates.

    Args:
        references: the phones of an utterance, or of each utterance.
        hypotheses: as many, in the same order.

    Raises:
        ValueError: the numbers of transcriptions differ.
    """
    return wer(references, hypotheses)


def _corpus_counts(
    count: Callable[[str, str], ErrorCounts], references: str | Sequence[str], hypotheses: str | Sequence[str]
) -> ErrorCounts:
    references = [references] if isinstance(references, str) else references
    hypotheses = [hypotheses] if isinstance(hypotheses, str) else hypotheses
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses: wanted one for each")
    return sum((count(*pair) for pair in zip(references, hypotheses, strict=True)), ErrorCounts())
