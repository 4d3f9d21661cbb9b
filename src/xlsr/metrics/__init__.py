"""How far hypotheses are from their references, and how sure that is. Floor 1.

    edits.py        two texts -> their edits, counts and confusions; WER, CER, PER
    phones.py       transcriptions of phones -> errors weighed by articulatory features; PFER
    resampling.py   counts of many utterances -> intervals, and the difference of two systems
    summary.py      scored utterances -> `ErrorSummary`: rates, breakdowns, worst utterances, confusions
    confidence.py   scored words -> `Confidence`: calibration error, reliability, risk by coverage

Texts are taken as they come: `normalize` is called before. Knows no audio, model or manifest (`evaluation` does), so
that training can score its development set with it.
"""

from xlsr.metrics.confidence import (
    Bin,
    Confidence,
    RiskCoverage,
    calibration_error,
    measure_confidence,
    reliability,
    risk_coverage,
)
from xlsr.metrics.edits import (
    Confusion,
    Edit,
    ErrorCounts,
    align,
    align_chars,
    align_words,
    cer,
    char_errors,
    confusions,
    count_edits,
    judge,
    per,
    token_errors,
    wer,
    word_errors,
)
from xlsr.metrics.phones import FeatureErrors, feature_errors, pfer, without_features
from xlsr.metrics.resampling import Counts, Difference, Interval, Unit, bootstrap_interval, paired_difference, units_of
from xlsr.metrics.summary import (
    ErrorSummary,
    Key,
    Part,
    Rate,
    Scored,
    ScoredWord,
    Tokens,
    compare_corpora,
    score_corpus,
)

__all__ = [
    "Bin",
    "Confidence",
    "Confusion",
    "Counts",
    "Difference",
    "Edit",
    "ErrorCounts",
    "ErrorSummary",
    "FeatureErrors",
    "Interval",
    "Key",
    "Part",
    "Rate",
    "RiskCoverage",
    "Scored",
    "ScoredWord",
    "Tokens",
    "Unit",
    "align",
    "align_chars",
    "align_words",
    "bootstrap_interval",
    "calibration_error",
    "cer",
    "char_errors",
    "compare_corpora",
    "confusions",
    "count_edits",
    "feature_errors",
    "judge",
    "measure_confidence",
    "paired_difference",
    "per",
    "pfer",
    "reliability",
    "risk_coverage",
    "score_corpus",
    "token_errors",
    "units_of",
    "wer",
    "without_features",
    "word_errors",
]
