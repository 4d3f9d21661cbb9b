"""Live speech: chunks in, text out that never changes once it is committed, and text that still may. Floor 5.

A window slides over what was heard. Every `step_seconds` it is encoded anew, and what is not yet committed is decoded.
A word is committed when it lies `delay_seconds` back, so that the network has heard what follows it, and, if asked,
when the last readings agree on it. Silence ends an utterance. Work and memory are the same for every step; since steps
are counted in samples, chunks of other lengths change nothing. docs/long_and_live.md has the latency and accuracy.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import takewhile
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from xlsr.audio.live import Chunk, Encoding, LiveSamples
from xlsr.audio.windowing import FIELD_SAMPLES, HOP_SAMPLES, SAMPLE_RATE
from xlsr.decoding.hypothesis import FRAME_SECONDS
from xlsr.errors import AudioError, ConfigError
from xlsr.recognizer import Recognizer
from xlsr.results import Segment, Word, split_segments
from xlsr.stitching import Stretch

_LEFT_FRAMES = 50  # at the window's beginning that are context only: the positional convolution reaches 64
_WORD_GAP_FRAMES = 25  # after so much silence the last word is complete, delimiter or not
_CLEAR_FRAMES = 12  # at most between the last word that is committed and what is decoded next


@dataclass(frozen=True)
class Update:
    """What is known after a chunk.

    Attributes:
        committed: text of the utterance that is being spoken; later ones of the same utterance begin with it.
        tentative: what seems to follow it; the next update may say otherwise.
        finished: utterances that ended with this chunk, with times from the first sample that was ever fed.
    """

    committed: str
    tentative: str
    finished: tuple[Segment, ...] = ()

    @property
    def is_end(self) -> bool:
        """Whether an utterance ended."""
        return bool(self.finished)


class StreamingRecognizer:
    """Transcribes one live source.

    Args:
        recognizer: its model and decoder do the work.
        sample_rate: Hz, of the source.
        encoding: what chunks of bytes hold: "pcm16", "mulaw" or "alaw".
        step_seconds: new audio between two readings.
        delay_seconds: how much must have been heard after a word before it is committed.
        agreement: readings in a row that must have a word before it is committed.
        window_seconds: audio that is encoded at every step; at least 4.
        end_silence_seconds: silence that ends an utterance.
        max_utterance_seconds: committed words that span so much end one too.

    Raises:
        AudioError: a sample rate or encoding that is not supported.
        ConfigError: times that make no sense together.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        sample_rate: int = SAMPLE_RATE,
        encoding: Encoding = "pcm16",
        step_seconds: float = 0.32,
        delay_seconds: float = 0.3,
        agreement: int = 1,
        window_seconds: float = 10.0,
        end_silence_seconds: float = 1.0,
        max_utterance_seconds: float = 30.0,
    ) -> None:
        times = (step_seconds, delay_seconds, window_seconds, end_silence_seconds, max_utterance_seconds)
        if not all(isfinite(seconds) and seconds >= 0 for seconds in times):
            raise ConfigError(f"times of {', '.join(map(str, times))} s; wanted finite ones, none of them below 0")
        step, window = (max(1, _frame(seconds)) for seconds in (step_seconds, window_seconds))
        self._delay, self._end_silence = _frame(delay_seconds), _frame(end_silence_seconds)
        if not (0 <= delay_seconds <= window_seconds - 2 >= 2 and step_seconds <= window_seconds):
            raise ConfigError(
                f"steps of {step_seconds} s, a delay of {delay_seconds} s and a window of {window_seconds} s; wanted a "
                "window of 4 s or more, steps within it, and a delay 2 s shorter"
            )
        if agreement < 1 or self._end_silence < 1:
            raise ConfigError(
                f"an agreement of {agreement} readings and an end after {end_silence_seconds} s of silence; wanted 1 "
                "or more, and 0.02 s or more"
            )
        self.recognizer = recognizer
        tokenizer = recognizer.tokenizer
        self._blank = tokenizer.blank_id
        self._delimiter = None if tokenizer.word_delimiter is None else tokenizer.vocab[tokenizer.word_delimiter]
        # Of phones, and of a script without spaces, each symbol is committed by itself.
        self._spells_words = self._delimiter is not None and not recognizer.reader.writes_phones
        self._source = LiveSamples(sample_rate, encoding)
        self._max_utterance = max_utterance_seconds
        self._step, self._window = step * HOP_SAMPLES, window * HOP_SAMPLES
        self._buffer = np.zeros(self._window + self._step, np.float32)
        self._filled = 0  # samples in the buffer
        self._first_frame = 0  # where the buffer begins
        self._until_step = self._step  # samples
        self._pointer = 0  # the frame from which on nothing is committed
        self._committed: list[Word] = []
        self._tentative: list[Word] = []
        self._readings: deque[list[str]] = deque(maxlen=agreement - 1)  # what was tentative before
        self._utterances = 0
        self._is_finished = False

    def feed(self, chunk: Chunk) -> Update:
        """Take what was just heard: bytes or an array, of any length.

        Raises:
            AudioError: not a chunk of this source, or fed after `finish`.
        """
        if self._is_finished:
            raise AudioError("the stream was finished: what follows wants a new StreamingRecognizer")
        finished = self._take(self._source.read(chunk))
        return Update(self._text(self._committed), self._text(self._tentative), tuple(finished))

    def finish(self) -> Update:
        """Commit everything that was heard; nothing can be fed afterwards."""
        finished = [] if self._is_finished else [*self._take(self._source.finish()), *self._read(is_last=True)]
        self._is_finished = True
        return Update("", "", tuple(finished))

    def _take(self, samples: NDArray[np.float32]) -> list[Segment]:
        """Fill the window and read it whenever a step is full; returns the utterances that ended."""
        finished: list[Segment] = []
        while samples.size:
            part, samples = samples[: self._until_step], samples[self._until_step :]
            self._buffer[self._filled : self._filled + part.size] = part
            self._filled += part.size
            self._until_step -= part.size
            if self._until_step == 0:
                finished += self._read()
                self._until_step = self._step
        return finished

    def _read(self, *, is_last: bool = False) -> list[Segment]:
        """Encode the window and commit what is settled; returns the utterance that ended, if one did."""
        self._slide()
        if self._filled < FIELD_SAMPLES:
            return []
        heard = Stretch(self._first_frame, self.recognizer.engine.log_probs([self._buffer[: self._filled]])[0])
        fresh = heard.between(self._pointer, heard.end_frame)
        words = self.recognizer.decode(fresh.log_probs, first_frame=self._pointer)
        silence, is_delimited = self._silence(fresh)
        if is_last or silence >= self._end_silence:
            self._commit(words, len(words), heard.end_frame)
            self._pointer = max(self._pointer, heard.end_frame - self._end_silence // 2)
            if self._committed:  # the next utterance, perhaps of another voice, is heard by itself
                self._drop_before(max(self._first_frame, heard.end_frame - self._end_silence))
            return self._end_utterance()
        is_complete = is_delimited or silence >= _WORD_GAP_FRAMES or not self._spells_words
        # A search may hear nothing where the best path hears a sound.
        settled = min(len(words) if is_complete else max(len(words) - 1, 0), self._agreed(words))
        while settled > 0 and _frame(words[settled - 1].end) > heard.end_frame - self._delay:
            settled -= 1
        self._commit(words, settled, heard.end_frame)
        spoken = self._committed[-1].end - self._committed[0].start if self._committed else 0.0
        return self._end_utterance() if spoken > self._max_utterance else []

    def _slide(self) -> None:
        """Drop what left the window; words at its beginning are committed as they were read last."""
        if self._filled <= self._window:
            return
        self._drop_before(self._first_frame - (self._window - self._filled) // HOP_SAMPLES)
        if (first := self._first_frame + _LEFT_FRAMES) > self._pointer:
            overdue = sum(_frame(word.start) < first for word in self._tentative)
            self._commit(self._tentative, overdue, first)
            self._pointer = max(self._pointer, first)

    def _drop_before(self, frame: int) -> None:
        """Let the window begin at a frame that is in it."""
        kept = self._buffer[(frame - self._first_frame) * HOP_SAMPLES : self._filled].copy()
        self._buffer[: kept.size] = kept
        self._filled, self._first_frame = kept.size, frame

    def _silence(self, fresh: Stretch) -> tuple[int, bool]:
        """Return how many frames ago the last sound ended, and whether a delimiter came after it."""
        ids = fresh.log_probs.argmax(axis=1)  # (frames,)
        tokens = np.flatnonzero(ids != self._blank)
        sounds = tokens[ids[tokens] != self._delimiter]
        if sounds.size:
            return len(ids) - 1 - int(sounds[-1]), bool(sounds[-1] < tokens[-1])
        last = _frame(self._committed[-1].end) if self._committed else self._pointer
        return fresh.end_frame - last, True

    def _agreed(self, words: list[Word]) -> int:
        """Return how many words this reading begins with that the last ones began with too."""
        if self._readings.maxlen != len(self._readings):
            return 0
        columns = zip((word.text for word in words), *self._readings, strict=False)
        return sum(1 for _ in takewhile(lambda texts: len(set(texts)) == 1, columns))

    def _commit(self, words: list[Word], count: int, end_frame: int) -> None:
        """Commit the first words of a reading that reaches to a frame; the others stay tentative."""
        self._tentative = words[count:]
        if count:
            self._committed += words[:count]
            last = _frame(words[count - 1].end)
            following = _frame(words[count].start) if count < len(words) else end_frame
            # In the next reading a word may lie a frame or two elsewhere: the pointer keeps clear of both.
            self._pointer = min((last + following) // 2, last + _CLEAR_FRAMES)
        self._readings = deque((reading[count:] for reading in self._readings), self._readings.maxlen)
        self._readings.append([word.text for word in self._tentative])

    def _end_utterance(self) -> list[Segment]:
        """Return what was committed as one segment, if there is anything, and begin the next."""
        if not self._committed:
            return []
        reader = self.recognizer.reader
        (whole,) = split_segments(
            self._committed, max_gap_seconds=inf, max_seconds=inf, are_phones=reader.writes_phones, joiner=reader.joiner
        )
        segment = replace(whole, id=self._utterances)
        self._committed, self._utterances = [], self._utterances + 1
        return [segment]

    def _text(self, words: list[Word]) -> str:
        return self.recognizer.reader.joiner.join(word.text for word in words)


def _frame(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)
