"""Transcriptions of phones to errors that are the smaller, the closer the wrong phone is to the right one.

The phone feature error rate (PFER) is an edit distance in which a substitution costs the share of articulatory features
in which two phones differ, an insertion or deletion 1, by the phones of the reference. It is never above PER, and a
phone without known features counts as in PER. Knows what `phones` knows of a phone, and no audio.

Source: Mortensen et al., "PanPhon: a resource for mapping IPA segments to articulatory feature vectors", COLING 2016
(the Hamming feature edit distance); Taguchi et al., "Universal automatic phonetic transcription into the International
Phonetic Alphabet", Interspeech 2023 (as an error rate).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xlsr.phones import distances, features


@dataclass(frozen=True)
class FeatureErrors:
    """What leads from the phones of a reference to those of a hypothesis, by features; add them up over utterances.

    Attributes:
        errors: the edits, a substitution as the share of features in which its phones differ.
        length: phones of the reference.
    """

    errors: float = 0.0
    length: int = 0

    @property
    def rate(self) -> float:
        """Errors by reference phone; an empty reference counts as one phone, as in `ErrorCounts`."""
        return self.errors / max(self.length, 1)

    def __add__(self, other: FeatureErrors) -> FeatureErrors:
        return FeatureErrors(self.errors + other.errors, self.length + other.length)


def feature_errors(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[FeatureErrors, ...]:
    """Return the errors of each utterance of a corpus, weighed by articulatory features.

    Args:
        references: the phones of each utterance in IPA, separated by white space.
        hypotheses: as many, in the same order.

    Raises:
        ValueError: the numbers of transcriptions differ.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses: wanted one for each")
    said, heard = _Numbered(references), _Numbered(hypotheses)
    saved = 2 - distances(said.phones, heard.phones)
    return tuple(
        FeatureErrors(len(one) + len(other) - _most_saved(saved[np.ix_(one, other)]), len(one))
        for one, other in zip(said.texts, heard.texts, strict=True)
    )


def pfer(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> float:
    """Return the phone feature error rate of a corpus, over phones that white space separates.

    Args:
        references: the phones of an utterance, or of each utterance, in IPA.
        hypotheses: as many, in the same order.

    Raises:
        ValueError: the numbers of transcriptions differ.
    """
    references = [references] if isinstance(references, str) else references
    hypotheses = [hypotheses] if isinstance(hypotheses, str) else hypotheses
    return sum(feature_errors(references, hypotheses), FeatureErrors()).rate


def without_features(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the phones of transcriptions that have no known features, sorted."""
    return tuple(
        sorted(phone for phone in {phone for text in texts for phone in text.split()} if features(phone) is None)
    )


class _Numbered:
    """Transcriptions as numbers of their phones."""

    def __init__(self, texts: Sequence[str]) -> None:
        split = [text.split() for text in texts]
        self.phones = sorted({phone for text in split for phone in text})
        places = {phone: place for place, phone in enumerate(self.phones)}
        self.texts = [[places[phone] for phone in text] for text in split]


def _most_saved(saved: NDArray[np.float64]) -> float:
    """What an alignment saves of deleting all of the reference and inserting all of the hypothesis.

    A pair of phones saves both edits and costs its substitution, so that the least distance is the number of phones on
    both sides less the most that pairs in order can save.

    Args:
        saved: (reference, hypothesis) what each pair saves, 0 or more.
    """
    best = np.zeros(saved.shape[1] + 1)  # by how much of the hypothesis is read
    for row in saved:
        np.maximum(best[1:], best[:-1] + row, out=best[1:])
        np.maximum.accumulate(best, out=best)
    return float(best[-1])
