"""The facade: audio in, transcripts out. Floor 4.

`facade` is the path of the data from a recording to a transcript, `reading` its second half, from log-probabilities on;
`gathering` makes one transcript of what comes, `opening` turns a model folder into an engine and a decoder.
"""

from xlsr.recognizer.facade import Recognizer, load_model
from xlsr.recognizer.gathering import Failure

__all__ = ["Failure", "Recognizer", "load_model"]
