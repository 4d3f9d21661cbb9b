"""Log-probabilities -> words, segments and other readings: what a recognizer does behind its engine.

A `Reader` is a decoder with the vocabulary it decodes to and the scorer that says what its words are worth. Knows no
audio and no engine; where recordings are cut for it, `stitching` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xlsr.alignment import Levels, sounding
from xlsr.decoding.calibration import WordScorer
from xlsr.decoding.hypothesis import FRAME_SECONDS, Hypothesis, word_spans, words_of
from xlsr.decoding.nbest import NBest
from xlsr.decoding.segments import complete_segments
from xlsr.errors import CheckpointError
from xlsr.results import Segment, Timestamps, Word
from xlsr.stitching import Stretch, cut_at_pauses, stitch
from xlsr.tokenizer import Tokenizer


class Decoder(Protocol):
    """Turns log-probabilities into hypotheses."""

    @property
    def nbest(self) -> int:
        """How many hypotheses it may return."""

    @property
    def names_words(self) -> bool:
        """Whether a lexicon names the words of its hypotheses."""

    def decode(self, log_probs: NDArray[np.floating]) -> list[Hypothesis]:
        """Return hypotheses for (frames, vocab) log-probabilities: best first, one at least."""


@dataclass(frozen=True)
class Reader:
    """Reads log-probabilities.

    Attributes:
        decoder: finds tokens.
        tokenizer: names them.
        scorer: says what words are worth; None: what the decoder says.
        model: what messages call the model.
    """

    decoder: Decoder
    tokenizer: Tokenizer
    scorer: WordScorer | None
    model: str

    @property
    def writes_phones(self) -> bool:
        """Whether each word is a phone."""
        return self.tokenizer.is_phones and not self.decoder.names_words

    @property
    def joiner(self) -> str:
        """What stands between two words: nothing in scripts without spaces, where each character is a word."""
        is_spaced = self.tokenizer.word_delimiter is not None or self.tokenizer.is_phones or self.decoder.names_words
        return " " if is_spaced else ""

    def words(self, stretch: Stretch, name: str = "the audio") -> list[Word]:
        """Return the words of a stretch that begins and ends between words, with the times of their symbols."""
        return self._read(stretch, name)[0]

    def segments(
        self,
        encoded: Iterable[Stretch],
        timestamps: Timestamps,
        *,
        name: str = "the audio",
        levels: Levels | None = None,
        nbest: NBest | None = None,
    ) -> Iterator[Segment]:
        """Stitch what was encoded, decode it stretch by stretch, and yield each segment that is complete.

        Args:
            encoded: of one window after the other.
            timestamps: how deep the times go.
            name: what messages call the recording.
            levels: of the recording, by which words begin and end where their sounds do.
            nbest: is given the readings of every stretch.
        """
        blank, delimiter = self.tokenizer.blank_id, self.tokenizer.word_delimiter
        # A phone is a word of its own.
        delimiter_id = None if delimiter is None or self.writes_phones else self.tokenizer.vocab[delimiter]

        def sounds(stretch: Stretch) -> list[Word]:
            words, hypotheses = self._read(stretch, name)
            if nbest is not None:
                nbest.add(hypotheses, self.tokenizer)
            return sounding(
                words,
                word_spans(hypotheses[0], self.tokenizer),
                len(stretch.log_probs),
                levels=None if levels is None else levels.between(stretch.first_frame, stretch.end_frame),
                offset_seconds=stretch.first_frame * FRAME_SECONDS,
                are_phones=self.writes_phones,
            )

        stretches = cut_at_pauses(stitch(encoded, blank), blank, delimiter_id)
        return complete_segments(map(sounds, stretches), timestamps, are_phones=self.writes_phones, joiner=self.joiner)

    def _read(self, stretch: Stretch, name: str) -> tuple[list[Word], list[Hypothesis]]:
        if np.isnan(stretch.log_probs).any():
            raise CheckpointError(f"{self.model} gives no numbers (NaN) for {name}: its weights are damaged")
        hypotheses = self.decoder.decode(stretch.log_probs)
        words = words_of(hypotheses[0], self.tokenizer, offset_seconds=stretch.first_frame * FRAME_SECONDS)
        if self.scorer is not None:
            words = self.scorer(words, hypotheses, stretch.log_probs, self.tokenizer)
        return words, hypotheses
