"""How to search: what users choose of a beam search, by the names of torchaudio's `ctc_decoder`. Floor 2.

Plain data without compiled code, so that reading the options costs nothing; `beam` does what they say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from xlsr.errors import ConfigError

if TYPE_CHECKING:
    from xlsr.decoding.lexicon import Lexicon
    from xlsr.decoding.ngram import NGram


@dataclass(frozen=True)
class BeamOptions:
    """The options of a beam search; every score is in nats, and added to the log-probabilities of the network.

    Attributes:
        lexicon: the words that can be heard and their spellings, as a file or in memory; None: any.
        lm: n-gram model of words or of characters, as a file or in memory; None: none.
        nbest: hypotheses to return.
        beam_size: prefixes kept in a frame.
        beam_size_token: likeliest tokens tried in a frame; None: all.
        beam_threshold: prefixes so far below the best are dropped.
        lm_weight: factor of the language model's log-probabilities.
        score_boundary: whether the language model counts the start and the end of the recording as those of a sentence.
        word_score: added for each word.
        unk_score: added for each word outside the lexicon, or outside a model of words where there is no lexicon, and
            as much again for every six tokens beyond its first six; -inf forbids them. None: -inf with a lexicon, else
            -10.
        sil_score: added for each frame of the word delimiter.
        log_add: add up the paths of a hypothesis; False: take the best one.
        hotwords: words or phrases to listen for, also such that lexicon and model do not know; phones of a phone model
            without a lexicon.
        hotword_score: added for each token of a hotword that is heard to its end.
    """

    lexicon: str | Path | Lexicon | None = None
    lm: str | Path | NGram | None = None
    nbest: int = 1
    beam_size: int = 100
    beam_size_token: int | None = None
    beam_threshold: float = 50.0
    lm_weight: float = 0.7
    score_boundary: bool = True
    word_score: float = 0.0
    unk_score: float | None = None
    sil_score: float = 0.0
    log_add: bool = True
    hotwords: tuple[str, ...] = ()
    hotword_score: float = 2.0

    def with_lm(self, lm: str | Path | NGram | None) -> BeamOptions:
        """Return the same search with another language model, without the numbers that were found for the old one."""
        return replace(self, lm=lm, lm_weight=BeamOptions.lm_weight, word_score=0.0, unk_score=None)

    def __post_init__(self) -> None:
        for name in ("nbest", "beam_size", "beam_size_token"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; wanted at least 1")
        for name in ("beam_threshold", "lm_weight", "hotword_score"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; wanted at least 0")
        for name in ("lm_weight", "word_score", "sil_score", "hotword_score"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} is {getattr(self, name)}; wanted a finite number")
        if self.unk_score is not None and not self.unk_score < math.inf:
            raise ConfigError(f"unk_score is {self.unk_score}; wanted a number, or -inf to forbid unknown words")
        if self.nbest > self.beam_size:
            raise ConfigError(f"nbest is {self.nbest} and beam_size {self.beam_size}; wanted at most as many")
