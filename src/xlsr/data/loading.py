"""An utterance's samples, and what the header of its recording tells. Floor 2; between `archives` and training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import FIELD_SAMPLES, SAMPLE_RATE, AudioSource, load_audio, open_audio
from xlsr.data.archives import audio_file
from xlsr.data.utterance import Utterance
from xlsr.errors import AudioError

T = TypeVar("T")

_TOLERANCE_SECONDS = 0.1  # by which durations are rounded, and encoders pad


@dataclass(frozen=True)
class Header:
    """What a recording says of itself: Hz, channels, seconds."""

    sample_rate: int
    channels: int
    duration: float


class CachedLoader:
    """Reads utterances as `load_utterance` does, and keeps as many as fit: a small corpus is decoded once.

    The first that are read stay; a corpus that is larger than the bound is read anew where it does not fit.
    """

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self._kept: dict[Utterance, NDArray[np.float32]] = {}

    def __call__(self, utterance: Utterance) -> NDArray[np.float32]:
        """(samples,) float32 mono at 16 kHz, not to be written to. Raises AudioError naming the utterance."""
        waveform = self._kept.get(utterance)
        if waveform is None:
            waveform = load_utterance(utterance)
            if waveform.nbytes <= self._room:
                self._room -= waveform.nbytes
                waveform.setflags(write=False)
                self._kept[utterance] = waveform
        return waveform


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """What could be read of some utterances.

    Attributes:
        places: of those that could, among all.
        found: what was read of these.
        notes: why each of the others could not.
    """

    places: tuple[int, ...]
    found: tuple[T, ...]
    notes: tuple[str, ...]


def load_readable(utterances: Sequence[Utterance], load: Callable[[Utterance], T]) -> Loaded[T]:
    """Read what can be read: one broken recording of a corpus does not stop a run.

    Args:
        utterances: at least one.
        load: reads one, such as `load_utterance`; raises AudioError where it cannot.

    Raises:
        AudioError: none can be read.
    """
    found: dict[int, T] = {}
    notes = []
    for place, utterance in enumerate(utterances):
        try:
            found[place] = load(utterance)
        except AudioError as error:
            notes.append(f"{utterance.name} is left out: {error}")
    if not found:
        raise AudioError(f"none of {len(utterances)} recordings that belong together can be read: {notes[0]}")
    return Loaded(tuple(found), tuple(found.values()), tuple(notes))


def load_utterance(utterance: Utterance) -> NDArray[np.float32]:
    """Read an utterance's samples: (samples,) float32 mono at 16 kHz. Raises AudioError naming it."""
    return samples_of(utterance, audio_file(utterance.audio))


def samples_of(utterance: Utterance, source: AudioSource) -> NDArray[np.float32]:
    """Read an utterance's samples out of its recording: (samples,) float32 mono at 16 kHz."""
    waveform = load_audio(source, channel=channel_of(utterance))
    start, end = (round(t * SAMPLE_RATE) for t in (utterance.offset, utterance.offset + utterance.duration))
    if not start and len(waveform) - end < _TOLERANCE_SECONDS * SAMPLE_RATE:
        return waveform  # the whole recording, whose duration was rounded
    if len(waveform[start:end]) < FIELD_SAMPLES:
        raise AudioError(
            f"{utterance.audio} has {len(waveform) / SAMPLE_RATE:.2f} s; a segment of {utterance.duration:.2f} s at "
            f"{utterance.offset:.2f} s is wanted, of which less than 25 ms are there"
        )
    return waveform[start:end].copy()  # the rest of the recording is let go


def channel_of(utterance: Utterance) -> str:
    """Return which channel an utterance is, as `open_audio` calls it. Raises AudioError for a third."""
    if utterance.channel not in (None, 0, 1):
        raise AudioError(f"{utterance.audio}: channel is {utterance.channel}; 0, 1 or none (the mean) can be read")
    return "mix" if utterance.channel is None else ("left", "right")[utterance.channel]


def read_header(source: AudioSource) -> Header:
    """Read what a recording says of itself; it is decoded only where its header does not tell the length.

    Raises:
        AudioError: it is missing, empty, cut off or not audio.
    """
    with open_audio(source) as stream:
        seconds = stream.duration
        if seconds is None:
            seconds = sum(len(block) for block in stream.blocks()) / SAMPLE_RATE
        return Header(stream.sample_rate, stream.channels, seconds)


def measure(utterances: Iterable[Utterance]) -> Iterator[Utterance | AudioError]:
    """Hold each utterance against the header of its recording.

    A header is read once for neighbours that share a recording.

    Yields:
        The utterance with the duration and the sample rate that it lacked; or why it cannot be used.
    """
    latest, header = None, None
    for utterance in utterances:
        try:
            if header is None or utterance.audio != latest:
                header = None
                header, latest = read_header(audio_file(utterance.audio)), utterance.audio
            yield _measured(utterance, header)
        except AudioError as error:
            yield error


def _measured(utterance: Utterance, header: Header) -> Utterance:
    channel_of(utterance)
    if utterance.channel is not None and utterance.channel >= header.channels:
        raise AudioError(f"{utterance.audio} has {header.channels} channels; channel {utterance.channel} is wanted")
    rest = header.duration - utterance.offset
    duration = rest if math.isnan(utterance.duration) else utterance.duration
    if duration > rest + _TOLERANCE_SECONDS or min(duration, rest) * SAMPLE_RATE < FIELD_SAMPLES:
        raise AudioError(
            f"{utterance.audio} has {header.duration:.3f} s; {duration:.3f} s at {utterance.offset:.3f} s are wanted, "
            "and 25 ms at least: correct the list, or copy the recording again"
        )
    return replace(utterance, duration=duration, sample_rate=utterance.sample_rate or header.sample_rate)
