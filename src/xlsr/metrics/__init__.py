"""How far hypotheses are from their references, and how sure that is. Floor 1.

    edits.py        two texts -> their edits, counts and confusions; WER, CER, PER
    resampling.py   counts of many utterances -> intervals, and the difference of two systems
    summary.py      scored utterances -> `ErrorSummary`: rates, breakdowns, worst utterances, confusions

Texts are taken as they come: `normalize` is called before. Knows no audio, model or manifest (`evaluation` does), so
that training can score its development set with it.
"""

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
    per,
    token_errors,
    wer,
    word_errors,
)
from xlsr.metrics.resampling import Difference, Interval, bootstrap_interval, paired_difference
from xlsr.metrics.summary import ErrorSummary, Key, Part, Rate, Scored, Tokens, compare_corpora, score_corpus

__all__ = [
    "Confusion",
    "Difference",
    "Edit",
    "ErrorCounts",
    "ErrorSummary",
    "Interval",
    "Key",
    "Part",
    "Rate",
    "Scored",
    "Tokens",
    "align",
    "align_chars",
    "align_words",
    "bootstrap_interval",
    "cer",
    "char_errors",
    "compare_corpora",
    "confusions",
    "count_edits",
    "paired_difference",
    "per",
    "score_corpus",
    "token_errors",
    "wer",
    "word_errors",
]
