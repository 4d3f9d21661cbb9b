"""Audio in, transcripts out.

Reads, windows, encodes, stitches, decodes; the body of `transcribe` is the table of the data's path. Audio of any
length passes in overlapping windows and is decoded as it goes, stretch by stretch, in bounded memory; audio that fits
one window is computed whole. Knows no format of files and no network: an engine gives log-probabilities.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.alignment import Levels, align_text, known_language
from xlsr.audio import HOP_SAMPLES, AudioSource, Window, audio_name, spoken_windows, windows
from xlsr.audio.channels import Channel, OneChannel, Part, SampleRate, check_choice, one_part, parts_of
from xlsr.audio.conditions import Heard
from xlsr.checkpoint.decoder import read_decoder
from xlsr.checkpoint.folder import Description, find_model
from xlsr.decoding.calibration import Calibration, WordScorer
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.decoding.nbest import NBest
from xlsr.decoding.options import BeamOptions
from xlsr.engines.batches import batched_log_probs
from xlsr.engines.engine import Engine
from xlsr.engines.silero import Silero
from xlsr.errors import AudioError, CheckpointError, ConfigError, XlsrError
from xlsr.recognizer.gathering import Failure, Progress, Scores, Waiting, gathered, merged, watched
from xlsr.recognizer.opening import DecoderChoice, EngineName, open_decoder, open_engine
from xlsr.recognizer.reading import Reader
from xlsr.results import Segment, Timestamps, Transcript, Word
from xlsr.stitching import LogProbs, Stretch, stitch
from xlsr.tokenizer import Tokenizer

# 30 s of audio, of which neighbours share 5 s: a fifth of the work. The seam lies somewhere in the middle half of what
# they share, so that each window has 1.25 s more on either side of what is taken from it: as far as the positional
# convolution reaches (1.28 s); attention further out changes probabilities little (docs/long_and_live.md has figures).
WINDOW_FRAMES = 1500
OVERLAP_FRAMES = 250


class Recognizer:
    """A model ready to listen.

    Args:
        engine: gives log-probabilities.
        description: the model's configuration and vocabulary.
        decoder: as for `from_pretrained`.
    """

    def __init__(self, engine: Engine, description: Description, decoder: DecoderChoice = "auto") -> None:
        if description.tokenizer is None:
            raise CheckpointError(
                f"{description.name} has no vocabulary: it is an encoder without a CTC head; "
                "fine-tune it first (xlsr finetune), or name a fine-tuned model"
            )
        if (hop := description.config.hop_samples // description.config.thinning) != HOP_SAMPLES:
            raise ConfigError(
                f"{description.name} has a frame every {hop} samples; one every {HOP_SAMPLES} is supported"
            )
        self.engine, self.description = engine, description
        self.reader = Reader(
            open_decoder(decoder, description, description.tokenizer),
            description.tokenizer,
            Calibration.from_extras(description.extras, description.name),
            description.name,
        )
        named = description.extras.get("language")
        self.language = description.tokenizer_language or (named if isinstance(named, str) else None)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "default",
        *,
        engine: EngineName = "auto",
        device: str = "auto",
        language: str | None = None,
        threads: int = 0,
        decoder: DecoderChoice = "auto",
    ) -> Recognizer:
        """Load a model.

        Args:
            model: "default", the model that ships with the package; a model folder; a name on the hub; or any file
                that `xlsr import` takes.
            engine: "openvino" runs the folder's exported graph, "torch" its weights; "auto" takes the graph if
                there is one and the device is a CPU.
            device: "cpu", "cuda", ...; "auto" is a GPU if torch is chosen and has one.
            language: for models of several vocabularies.
            threads: CPU threads; 0: the engine's choice.
            decoder: "greedy" takes the best path, options of a beam search search so; "auto" searches with the
                language model that the folder brings, if it brings one.

        Raises:
            LanguageModelError, LexiconError: a file of the decoder cannot be read, or does not fit the model.
            CheckpointError: no such model, or its files do not fit each other.
            MissingDependencyError: torch is needed and not installed.
        """
        folder = find_model(model, language=language)
        opened = open_engine(folder, engine=engine, device=device, language=language, threads=threads)
        return cls(*opened, decoder)

    @property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary."""
        return self.reader.tokenizer

    @property
    def beam_options(self) -> BeamOptions:
        """The options of beam search that the model's folder brings, or the usual ones: to be changed and used."""
        return read_decoder(self.description) or BeamOptions()

    def with_decoder(self, decoder: DecoderChoice) -> Recognizer:
        """Return the same model with another decoder; the argument is that of `from_pretrained`.

        To add to what a folder brings: `model.with_decoder(dataclasses.replace(model.beam_options, nbest=5))`.
        """
        return Recognizer(self.engine, self.description, decoder)

    def with_scorer(self, scorer: WordScorer | None) -> Recognizer:
        """Return the same model with other scores of words; None: those of the decoder, without a calibration."""
        other = self.with_decoder(self.reader.decoder)
        other.reader = replace(self.reader, scorer=scorer)
        return other

    def transcribe(
        self,
        audio: AudioSource,
        *,
        timestamps: Timestamps = "char",
        vad: bool = False,
        channel: Channel = "mix",
        sample_rate: SampleRate = "auto",
    ) -> Transcript:
        """Transcribe one recording.

        Args:
            audio: path, bytes, file object, (samples,) array at 16 kHz, or (array, rate); "-" is stdin.
            timestamps: how deep the times go: "none", "segment", "word" or "char".
            vad: pass over silence, which a voice activity detector finds (needs the extra `vad`).
            channel: "mix" (the mean of all), "left" or "right" (the first or second), or "split": each channel by
                itself, merged by time into segments that name theirs.
            sample_rate: Hz, in place of what the header says; "header": what it says; "auto": another one only where
                speech plays too fast or too slowly at that, and the model understands it better (files only).

        Raises:
            AudioError: the recording cannot be read, or holds no usable signal.
            ConfigError: there is no such `channel` or `sample_rate`.
            MissingDependencyError: `vad` is asked for and silero-vad is not installed.
        """
        with parts_of(audio, channel, sample_rate, self._understood) as parts:
            return merged([self._transcribe_part(part, timestamps, vad) for part in parts], timestamps)

    def transcribe_stream(
        self,
        audio: AudioSource,
        *,
        timestamps: Timestamps = "char",
        vad: bool = False,
        channel: OneChannel = "mix",
        sample_rate: SampleRate = "auto",
    ) -> Iterator[Segment]:
        """Transcribe one recording of any length, and yield its segments while it is being read.

        No more than a minute of it is ever held. The segments are those of `transcribe`; "none" counts as "segment".

        Args:
            audio: as for `transcribe`.
            timestamps: as for `transcribe`.
            vad: as for `transcribe`.
            channel: "mix", "left" or "right", as for `transcribe`.
            sample_rate: as for `transcribe`.

        Raises:
            AudioError: as for `transcribe`; what was said before the fault has been yielded.
            ConfigError: as for `transcribe`.
        """
        with one_part(audio, channel, sample_rate).open(self._understood) as stream:
            levels = Levels()
            windows = levels.watch(self._windows(stream.blocks(), vad))
            yield from self.reader.segments(self._encode(windows), timestamps, name=stream.name, levels=levels)

    def transcribe_many(
        self,
        audios: Iterable[AudioSource],
        *,
        batch_seconds: float = 120.0,
        timestamps: Timestamps = "char",
        vad: bool = False,
        channel: Channel = "mix",
        sample_rate: SampleRate = "auto",
        progress: Progress | None = None,
    ) -> Iterator[Transcript | Failure]:
        """Transcribe recordings in batches of similar length; results come in the order of the inputs.

        Args:
            audios: as for `transcribe`.
            batch_seconds: padded seconds of audio in one call of the engine.
            timestamps: as for `transcribe`.
            vad: as for `transcribe`.
            channel: as for `transcribe`.
            sample_rate: as for `transcribe`.
            progress: is given the name and each segment of a long recording as soon as it is known.

        Yields:
            For each input its transcript, or a `Failure` that says why there is none.

        Raises:
            ConfigError: as for `transcribe`, or `batch_seconds` is not above 0; before anything is read.
        """
        if isinstance(audios, str | bytes | np.ndarray):
            raise AudioError(f"several recordings are wanted, in a list; got one {type(audios).__name__}")
        if not 0 < batch_seconds < math.inf:
            raise ConfigError(f"batch_seconds is {batch_seconds}; a number of seconds above 0 is wanted")
        check_choice(channel, sample_rate)
        if vad:
            _ = self._silero  # if it is missing, that is known before anything is read
        counts: deque[int] = deque()  # of the parts of recordings whose results are still to come

        def parts() -> Iterator[Part]:
            for audio in audios:
                with parts_of(audio, channel, sample_rate, self._understood) as found:
                    counts.append(len(found))
                    yield from found

        results = self._transcribe_parts(parts(), batch_seconds, timestamps, vad, progress)
        for first in results:
            of_one = [first, *islice(results, counts.popleft() - 1)]
            failures = [one for one in of_one if isinstance(one, Failure)]
            yield failures[0] if failures else merged([r for r in of_one if isinstance(r, Transcript)], timestamps)

    def _transcribe_part(self, part: Part, timestamps: Timestamps, vad: bool) -> Transcript:
        with part.open(self._understood) as stream:
            heard = Heard(stream)
            return self._read(self._windows(heard, vad), heard, timestamps)

    def _transcribe_parts(
        self,
        parts: Iterable[Part],
        batch_seconds: float,
        timestamps: Timestamps,
        vad: bool,
        progress: Progress | None,
    ) -> Iterator[Transcript | Failure]:
        """Transcribe recordings, or channels of them, by themselves; with the times of segments at least."""
        pending: list[Waiting | Failure] = []
        for part in parts:
            try:
                with part.open(self._understood) as stream:
                    heard = Heard(stream)
                    cut = self._windows(heard, vad)
                    first = list(islice(cut, 2))
                    if len(first) > 1:  # long: by itself, one window after the other
                        yield from self._flush(pending, batch_seconds, timestamps)
                        pending = []
                        yield self._read(chain(first, cut), heard, timestamps, progress=progress)
                        continue
                pending.append(Waiting(heard, first))
            except XlsrError as error:
                pending.append(Failure(audio_name(part.source), str(error)))
            # Four batches are sorted at a time: enough to find neighbours of similar length.
            if sum(one.heard.duration for one in pending if isinstance(one, Waiting)) >= 4 * batch_seconds:
                yield from self._flush(pending, batch_seconds, timestamps)
                pending = []
        yield from self._flush(pending, batch_seconds, timestamps)

    def _understood(self, waveform: NDArray[np.float32]) -> float:
        """How well the model understands (samples,): the mean log-probability of the tokens; -10 without any."""
        best = GreedyDecoder(self.tokenizer.blank_id).decode(self.engine.log_probs([waveform])[0])[0]
        return float(np.mean([span.score for span in best.spans])) if best.spans else -10.0

    def log_probs(
        self, audio: AudioSource, *, channel: OneChannel = "mix", sample_rate: SampleRate = "auto"
    ) -> LogProbs:
        """Return (frames, vocab) float32 log-probabilities, 50 a second; arguments as for `transcribe_stream`."""
        with one_part(audio, channel, sample_rate).open(self._understood) as stream:
            parts = stitch(self._encode(self._windows(stream.blocks())), self.tokenizer.blank_id)
            return np.concatenate([part.log_probs for part in parts])

    def align(
        self,
        audio: AudioSource,
        text: str,
        *,
        number_language: str | None = None,
        channel: OneChannel = "mix",
        sample_rate: SampleRate = "auto",
    ) -> Transcript:
        """Find when each word of a known text is said.

        Args:
            audio: as for `transcribe`.
            text: what is said, as it is written, or phones for a phone model. Of several lines each becomes a segment;
                a lone `*` stands for words that are said and not written.
            number_language: ISO 639-3, in which numbers are said (with the extra `numbers`); default: the model's.
            channel: "mix", "left" or "right", as for `transcribe`.
            sample_rate: as for `transcribe`.

        Returns:
            The text with times; `xlsr.alignment.doubtful` lists what the recording does not seem to hold.

        Raises:
            AudioError: the recording cannot be read, or is too short for one frame.
            ConfigError: as for `transcribe`, or numbers are not known in `number_language`.
            AlignmentError: the text is too long for the recording, or has nothing in it that can be said.
        """
        levels = Levels()
        with one_part(audio, channel, sample_rate).open(self._understood) as stream:
            heard = Heard(stream)
            cut = levels.watch(self._windows(heard))
            parts = stitch(self._encode(cut), self.tokenizer.blank_id)
            log_probs = np.concatenate([part.log_probs for part in parts])
            loudness = levels.between(0, len(log_probs))
            language = known_language(number_language) or self.language
            segments = align_text(log_probs, text, self.tokenizer, language=language, levels=loudness)
            return self._transcript(segments, heard)

    def decode(self, log_probs: LogProbs, *, first_frame: int = 0, name: str = "the audio") -> list[Word]:
        """Return the words of log-probabilities, with their times.

        Args:
            log_probs: (frames, vocab) float32, of any stretch that begins and ends between words.
            first_frame: index of its first frame in the recording.
            name: what messages call the recording.

        Raises:
            CheckpointError: a log-probability is NaN.
        """
        return self.reader.words(Stretch(first_frame, log_probs), name)

    def _windows(self, blocks: Iterable[NDArray[np.float32]], vad: bool = False) -> Iterator[Window]:
        """Windows over a recording, or over what is spoken in it."""
        if not vad:
            return windows(blocks, window_frames=WINDOW_FRAMES, overlap_frames=OVERLAP_FRAMES)
        detector = self._silero.detector()
        return spoken_windows(blocks, detector, window_frames=WINDOW_FRAMES, overlap_frames=OVERLAP_FRAMES)

    @cached_property
    def _silero(self) -> Silero:
        return Silero()

    def _encode(self, parts: Iterable[Window]) -> Iterator[Stretch]:
        """The frames of each window, one window after the other."""
        for window in parts:
            yield Stretch(window.first_frame, self.engine.log_probs([window.waveform])[0])

    def _flush(
        self, pending: Sequence[Waiting | Failure], batch_seconds: float, timestamps: Timestamps
    ) -> Iterator[Transcript | Failure]:
        """Encode the waiting recordings in batches, and yield their results in their own order."""
        waiting = [window for one in pending if isinstance(one, Waiting) for window in one.windows]
        rows = batched_log_probs(self.engine, [window.waveform for window in waiting], batch_seconds)
        encoded = {id(w): Stretch(w.first_frame, row) for w, row in zip(waiting, rows, strict=True)}
        for one in pending:
            if isinstance(one, Failure):
                yield one
                continue
            try:
                transcript = self._read(one.windows, one.heard, timestamps, encoded=encoded)
            except XlsrError as error:
                yield Failure(one.heard.name, str(error))
            else:
                yield transcript

    def _read(
        self,
        windows: Iterable[Window],
        heard: Heard,
        timestamps: Timestamps,
        *,
        encoded: Mapping[int, Stretch] | None = None,
        progress: Progress | None = None,
    ) -> Transcript:
        """Encode windows, unless they were in a batch (by their identities), decode them, and gather it."""
        levels, nbest = Levels(), NBest(self.reader.decoder.nbest, self.reader.joiner)
        scores, noted = Scores(timestamps), levels.watch(windows)
        stretches = self._encode(noted) if encoded is None else (encoded[id(window)] for window in noted)
        deep = self.reader.segments(stretches, scores.timestamps, name=heard.name, levels=levels, nbest=nbest)
        segments = scores.of(deep)
        if progress is not None:
            segments = watched(heard.name, segments, progress)
        return self._transcript(segments, heard, nbest, scores)

    def _transcript(
        self, segments: Iterable[Segment], heard: Heard, nbest: NBest | None = None, scores: Scores | None = None
    ) -> Transcript:
        found = gathered(segments, heard, joiner=self.reader.joiner, nbest=nbest, scores=scores)
        return replace(found, language=self.language, model=self.description.name)


load_model = Recognizer.from_pretrained
