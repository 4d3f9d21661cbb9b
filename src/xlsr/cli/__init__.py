"""The command line: one verb, one public function. Results go to stdout, everything else to stderr.

Exit status 0: all well; 1: something failed, the other inputs are done; 2: the call itself was wrong. The heavy
modules are imported inside the verbs, so that `xlsr --help` answers at once. A module holds the verbs of one kind of
work; importing it puts them into the application. Floor 7.
"""

from xlsr.cli import alignment, analysis, checkpoints, corpora, doctor, evaluation, recognition, training
from xlsr.cli.app import app, main

__all__ = [
    "alignment",
    "analysis",
    "app",
    "checkpoints",
    "corpora",
    "doctor",
    "evaluation",
    "main",
    "recognition",
    "training",
]
