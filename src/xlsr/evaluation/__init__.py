"""What a model makes of a manifest: error rates, and what its scores are worth; as text, JSON, a page. Floor 5.

    measure.py      `evaluate`: one or two models, one manifest -> `Report`
    runs.py         the utterances through a recognizer: each scored, or failed with its reason
    calibrating.py  scores to probabilities: fitted, proved on voices that were held out, stored in `xlsr.json`
    report.py       `Report`: tables, JSON, an HTML page

Both texts are normalised by one rule, which is printed. `metrics` counts and `report` draws; this folder knows which
figures belong together. Does not train, and reads no file but through the manifest.
"""

from xlsr.evaluation.measure import evaluate
from xlsr.evaluation.report import Report

__all__ = ["Report", "evaluate"]
