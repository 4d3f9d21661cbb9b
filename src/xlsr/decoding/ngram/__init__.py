"""N-gram language models: back-off tries in flat arrays, their files, and their estimation from text. Floor 2.

`model` is what decoders use, `lookup` its compiled loops; `arpa` and `binary` are the files. Knows words or characters,
but no log-probabilities of a network and no search.
"""

from xlsr.decoding.ngram.lookup import NGramArrays, advance, find_child
from xlsr.decoding.ngram.model import NGram

__all__ = ["NGram", "NGramArrays", "advance", "find_child"]
