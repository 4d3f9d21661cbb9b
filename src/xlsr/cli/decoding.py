"""The options of decoding, which several verbs share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    def problem(self) -> str:
        """Why the options do not go together; empty where they do."""
        agree = {"beam_size": 1, "nbest": 1, "lm": NO_LM}
        others = [name for name in self._given() if getattr(self, name) != agree.get(name)]
        if self.beam_size == 1 and others:
            return f"--beam_size 1 takes the best path, which knows no --{others[0]}; leave one of them out"
        if self.hotwords is not None and not self._hotwords():
            return f"--hotwords is {self.hotwords!r}; wanted words or phrases, separated by commas"
        if self.hotword_score is not None and self.hotwords is None:
            return "--hotword_score is for --hotwords, and there are none"
        return ""

    def apply(self, recognizer: Recognizer) -> Recognizer:
        """Return the recognizer, which was loaded with the best path, with the decoder that was asked for.

        Raises:
            ConfigError: the weight of a language model is given where there is none.
        """
        from xlsr.errors import ConfigError

        given = self._given()
        if self.beam_size == 1:
            return recognizer
        if not given:
            return recognizer.with_decoder("auto")
        if self.hotwords is not None:
            given["hotwords"] = self._hotwords()
        options = recognizer.beam_options
        if (lm := given.pop("lm", None)) is not None:
            options = options.with_lm(None if lm == NO_LM else lm)
        if options.lm is None and self.lm_weight is not None:
            raise ConfigError("--lm_weight weighs a language model, and there is none: name one (--lm FILE)")
        return recognizer.with_decoder(replace(options, **given))

    def _given(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def _hotwords(self) -> tuple[str, ...]:
        return tuple(word.strip() for word in (self.hotwords or "").split(",") if word.strip())


FOLDERS_OWN = Decoding()
