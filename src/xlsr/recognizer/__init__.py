"""The facade: audio in, transcripts out. Floor 4.

`facade` is the path of the data from a recording to a transcript, `opening` turns a model folder into an engine.
"""

from xlsr.recognizer.facade import Failure, Recognizer, load_model

__all__ = ["Failure", "Recognizer", "load_model"]
