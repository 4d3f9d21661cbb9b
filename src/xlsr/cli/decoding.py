"""The options of decoding, which several verbs share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

if TYPE_CHECKING:
    from xlsr.recognizer import Recognizer

NO_LM = "none"


@Parameter(name="*")  # its fields are options themselves
@dataclass(frozen=True)
class Decoding:
    """How log-probabilities become words; what is not given is as the model's folder says.

    Attributes:
        beam_size: prefixes that a beam search keeps; 1 takes the best path, without a language model.
        lm: n-gram model of words or characters (.arpa, .arpa.gz, .ngram), in place of the folder's own; none: none.
        lm_weight: factor of the language model's log-probabilities.
        word_score: added for each word, in nats.
        unk_score: added for each word that lexicon or language model do not know; -inf forbids them.
        lexicon: file of the words that can be heard, each with its spelling or without.
        hotwords: words or phrases to listen for, separated by commas.
        hotword_score: added for each token of a hotword that is heard to its end.
        nbest: readings to return; json has them as alternatives.
        beam_size_token: likeliest tokens tried in a frame.
        beam_threshold: prefixes so far below the best are dropped.
        sil_score: added for each frame of the word delimiter.
    """

    beam_size: int | None = None
    lm: str | None = None
    lm_weight: float | None = None
    word_score: float | None = None
    unk_score: float | None = None
    lexicon: Path | None = None
    hotwords: str | None = None
    hotword_score: float | None = None
    nbest: int | None = None
    beam_size_token: int | None = None
    beam_threshold: float | None = None
    sil_score: float | None = None

    def wrong(self) -> str:
        """Why the options do not go together; empty where they do."""
        others = [field.name for field in fields(self) if field.name != "beam_size" and self._is_given(field.name)]
        if self.beam_size == 1 and others:
            return f"--beam_size 1 takes the best path, which knows no --{others[0]}; leave one of them out"
        return ""

    def of(self, recognizer: Recognizer) -> Recognizer:
        """Return the recognizer, which was loaded with the best path, with the decoder that was asked for."""
        from xlsr.decoding.options import BeamOptions

        given = {field.name: getattr(self, field.name) for field in fields(self) if self._is_given(field.name)}
        if self.beam_size == 1:
            return recognizer
        if not given:
            return recognizer.with_decoder("auto")
        if self.hotwords is not None:
            given["hotwords"] = tuple(word.strip() for word in self.hotwords.split(",") if word.strip())
        # The folder's numbers were found for its own language model.
        options = BeamOptions() if self.lm is not None else recognizer.beam_options
        if self.lm == NO_LM:
            given["lm"] = None
        return recognizer.with_decoder(replace(options, **given))

    def _is_given(self, name: str) -> bool:
        return getattr(self, name) is not None


FOLDERS_OWN = Decoding()
