"""From what speaks for a word to the probability that it is right, as a corpus taught it. Floor 2, NumPy only.

Words: logistic regression on the evidence of `confidence`, a handful of weights. Tokens: one temperature, by which
log-probabilities are divided. Both are found by exact, deterministic searches. `xlsr.json` keeps them; `evaluation` has
the corpus and says how good they are where they were not fitted.

Source: Platt, "Probabilistic outputs for support vector machines", 1999 (targets that are not quite 0 and 1); Guo et
al., "On calibration of modern neural networks", ICML 2017 (temperature).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xlsr.config import JsonObject
from xlsr.decoding.confidence import EVIDENCE, token_log_probs, word_evidence
from xlsr.decoding.hypothesis import Hypothesis, word_spans
from xlsr.errors import ConfigError
from xlsr.results import Word
from xlsr.tokenizer import Tokenizer

Floats = npt.NDArray[np.float64]

KEY = "calibration"
"""The key of `xlsr.json`."""
VERSION = 1
TEMPERATURES = tuple(np.geomspace(1 / 8, 8, 49).tolist())
"""Those that are tried: steps of nine percent; the middle one is 1."""
# Strength of the prior on the weights of standardised evidence (normal, variance 1): decides where words are few.
_RIDGE = 1.0


class WordScorer(Protocol):
    """What a recognizer asks for the scores of words."""

    def __call__(
        self,
        words: Sequence[Word],
        hypotheses: Sequence[Hypothesis],
        log_probs: npt.NDArray[np.floating],
        tokenizer: Tokenizer,
    ) -> list[Word]:
        """Return the words of the best hypothesis with the scores that they shall have."""


@dataclass(frozen=True)
class Calibration:
    """How the scores of one model become probabilities.

    Attributes:
        bias: log-odds of a word whose evidence is all 0.
        weights: of the evidence, by its name; what is not named does not count.
        temperature: of the scores of characters.
        searched: whether it was fitted to what a search found, rather than to best paths: they err differently.
        language: of the vocabulary, for models of several.
        fitted_on: where it comes from and how good it is, for those who read the file.
    """

    bias: float
    weights: Mapping[str, float]
    temperature: float = 1.0
    searched: bool = False
    language: str | None = None
    fitted_on: JsonObject = field(default_factory=dict)

    def word_probabilities(self, evidence: Floats) -> Floats:
        """Return the probability that each word is right: (words, len(EVIDENCE)) -> (words,)."""
        return _logistic(self.bias + evidence @ np.array([self.weights.get(name, 0.0) for name in EVIDENCE]))

    def __call__(
        self,
        words: Sequence[Word],
        hypotheses: Sequence[Hypothesis],
        log_probs: npt.NDArray[np.floating],
        tokenizer: Tokenizer,
    ) -> list[Word]:
        """Return the words of the best hypothesis with calibrated scores, their characters' too.

        Words of another language, or of another kind of decoder, keep their scores: nothing is known of them.
        """
        if is_searched(hypotheses) != self.searched or tokenizer.language != self.language:
            return list(words)
        spans = [span for group in word_spans(hypotheses[0], tokenizer) for span in group]
        tokens = iter(np.exp(token_log_probs(spans, log_probs, [self.temperature])[:, 0]).tolist())
        scores = self.word_probabilities(word_evidence(hypotheses, log_probs, tokenizer)).tolist()
        return [
            replace(
                word,
                score=score,
                characters=tuple(replace(character, score=next(tokens)) for character in word.characters),
            )
            for word, score in zip(words, scores, strict=True)
        ]

    def to_dict(self) -> JsonObject:
        """Return the value of the key in `xlsr.json`."""
        return {
            "version": VERSION,
            "bias": self.bias,
            "weights": dict(self.weights),
            "temperature": self.temperature,
            "searched": self.searched,
            "language": self.language,
            "fitted_on": self.fitted_on,
        }

    @classmethod
    def from_extras(cls, extras: JsonObject, model: str) -> Calibration | None:
        """Read what `to_dict` wrote from the keys of `xlsr.json`; None where there is none.

        Raises:
            ConfigError: it is of another version, or damaged.
        """
        if KEY not in extras:
            return None
        match extras[KEY]:
            case {
                "version": 1,
                "bias": int() | float() as bias,
                "weights": dict() as weights,
                "temperature": int() | float() as temperature,
                "searched": bool() as searched,
                "language": str() | None as language,
                "fitted_on": dict() as fitted_on,
            } if _is_number(bias) and _is_number(temperature) and temperature > 0 and _are_weights(weights):
                return cls(bias, weights, temperature, searched, language, fitted_on)
        raise ConfigError(
            f"{model}: the key {KEY} of xlsr.json is not one that this xlsr reads (version {VERSION}); "
            "remove it, and fit another: xlsr evaluate MANIFEST --calibrate"
        )


def is_searched(hypotheses: Sequence[Hypothesis]) -> bool:
    """Whether a search gave these hypotheses: its scores have parts, those of a best path have none."""
    return hypotheses[0].acoustic_score is not None


def fit_words(evidence: Floats, right: npt.NDArray[np.bool_]) -> tuple[float, dict[str, float]]:
    """Find how evidence tells right words from wrong ones, by regularised logistic regression.

    Newton's method on standardised columns; a step that does not lower the loss is halved. The loss is strictly convex,
    so that there is one answer. Columns that do not vary get no weight.

    Args:
        evidence: (words, len(EVIDENCE)).
        right: (words,).

    Returns:
        Bias and weights by name, for evidence as it is.
    """
    spread = evidence.std(axis=0)
    varies = spread > 1e-9
    scale = np.where(varies, spread, 1.0)
    center = evidence.mean(axis=0)
    columns = np.concatenate([np.ones((len(evidence), 1)), ((evidence - center) / scale)[:, varies]], axis=1)
    solution = _minimise(columns, _targets(right))
    weights = np.zeros(evidence.shape[1])
    weights[varies] = solution[1:] / scale[varies]
    return float(solution[0] - weights @ center), {
        name: float(weight) for name, weight, told in zip(EVIDENCE, weights, varies, strict=True) if told
    }


def fit_temperature(log_probs: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Return that of `TEMPERATURES` at which the probabilities of tokens tell best which of them are right.

    Args:
        log_probs: (tokens, len(TEMPERATURES)), of `token_log_probs`; no tokens leave them as they are.
        right: (tokens,).
    """
    if not len(right):
        return 1.0
    logs = np.minimum(log_probs, -1e-6)
    targets = _targets(right)[:, None]
    losses = -(targets * logs + (1 - targets) * np.log(-np.expm1(logs))).sum(axis=0)
    return float(TEMPERATURES[int(losses.argmin())])


def _minimise(columns: Floats, targets: Floats) -> Floats:
    """The weights of least regularised log loss; the first column, the bias, is free."""
    ridge = np.full(columns.shape[1], _RIDGE)
    ridge[0] = 0.0

    def loss(weights: Floats) -> float:
        odds = columns @ weights
        return float((np.logaddexp(0, odds) - targets * odds).sum() + (ridge * weights**2).sum() / 2)

    weights = np.zeros(columns.shape[1])
    best = loss(weights)
    for _ in range(100):
        chances = _logistic(columns @ weights)
        gradient = columns.T @ (chances - targets) + ridge * weights
        curvature = (columns * (chances * (1 - chances))[:, None]).T @ columns + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        while (found := loss(weights - step)) > best and np.abs(step).max() > 1e-12:
            step /= 2
        weights, best = weights - step, found
        if np.abs(step).max() <= 1e-9:
            break
    return weights


def _targets(right: npt.NDArray[np.bool_]) -> Floats:
    """What the fit aims at: as if one more of each kind had been seen, so that no corpus makes a word certain."""
    good = int(np.count_nonzero(right))
    return np.where(right, (good + 1) / (good + 2), 1 / (len(right) - good + 2))


def _logistic(odds: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -odds))


def _are_weights(weights: Mapping[object, object]) -> bool:
    return all(name in EVIDENCE and _is_number(weight) for name, weight in weights.items())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9  # neither NaN nor infinite
