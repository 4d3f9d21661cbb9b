"""Which channel of a recording is heard, and at which sample rate: a source -> the parts of it to transcribe. Floor 1.

For calls, whose two sides are two channels, and for headers that are wrong. A part is opened when its turn comes; of a
recording whose channels are heard apart each is read by itself, in bounded memory. Between a source and `AudioStream`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from xlsr.audio.speed import true_rate
from xlsr.audio.stream import MAX_RATE, MIN_RATE, AudioSource, AudioStream, audio_name, open_audio, open_file
from xlsr.errors import AudioError, ConfigError

Channel = Literal["mix", "left", "right", "split"]
OneChannel = Literal["mix", "left", "right"]
SampleRate: TypeAlias = int | Literal["auto", "header"]
"""Hz, in place of what the header says; "auto": another rate than the header's, if speech plays too fast or too slowly
at that one and a model understands it better; "header": what the header says."""
Understood: TypeAlias = Callable[[NDArray[np.float32]], float]
"""How well a model understands (samples,) at 16 kHz: the mean log-probability of its tokens."""


@dataclass(frozen=True)
class Part:
    """One channel of a recording, or the mean of all.

    Attributes:
        source: can be read more than once, if the recording has more parts.
        channel: as for `open_audio`.
        sample_rate: as told.
    """

    source: AudioSource
    channel: str | int = "mix"
    sample_rate: SampleRate = "auto"

    def open(self, understood: Understood) -> AudioStream:
        """Open it, at the sample rate at which it is to be read; samples in memory have the rate that they came with.

        Raises:
            AudioError: as for `open_audio`.
        """
        rate = self.sample_rate if isinstance(self.sample_rate, int) else None
        stream = open_audio(self.source, channel=self.channel, sample_rate=rate)
        if self.sample_rate == "auto" and not isinstance(self.source, (np.ndarray, tuple)):
            with ExitStack() as stack:
                stack.callback(stream.close)
                stream.assume_rate(true_rate(stream, understood))
                stack.pop_all()
        return stream


def check_choice(channel: str, sample_rate: object, *, is_one: bool = False) -> None:
    """Raise ConfigError where there is no such channel or sample rate; before anything is read.

    Args:
        channel: as for `parts_of`.
        sample_rate: as for `Part`.
        is_one: channels cannot be heard apart.
    """
    channels = get_args(OneChannel if is_one else Channel)
    if channel not in channels:
        apart = ": take one side after the other" if channel == "split" else ""
        raise ConfigError(f"channel is {channel!r}; one of {', '.join(channels)} is wanted{apart}")
    if sample_rate not in ("auto", "header") and not (
        isinstance(sample_rate, int) and MIN_RATE <= sample_rate <= MAX_RATE
    ):
        raise ConfigError(f"sample_rate is {sample_rate!r}; {MIN_RATE} to {MAX_RATE} Hz, auto or header is wanted")


def one_part(source: AudioSource, channel: OneChannel, sample_rate: SampleRate) -> Part:
    """Return what is heard of a recording where its channels cannot be heard apart.

    Raises:
        ConfigError: no such channel or sample rate.
    """
    check_choice(channel, sample_rate, is_one=True)
    return Part(source, channel, sample_rate)


@contextmanager
def parts_of(
    source: AudioSource, channel: Channel, sample_rate: SampleRate, understood: Understood
) -> Iterator[list[Part]]:
    """Give the parts of a recording that are transcribed apart: one, or of "split" its channels, if it has several.

    Args:
        source: as for `open_audio`; a pipe is kept for as long as this is open.
        channel: "mix" (the mean of all), "left" or "right" (the first or second), or "split" (each by itself).
        sample_rate: one for all channels.
        understood: asked where the header's rate is doubted.

    Raises:
        ConfigError: no such channel or sample rate.
    """
    check_choice(channel, sample_rate)
    if channel != "split":
        yield [Part(source, channel, sample_rate)]
        return
    with ExitStack() as stack:
        parts = [Part(source, "mix", sample_rate)]
        try:
            source = _reopenable(source, stack)
            with Part(source, "mix", sample_rate).open(understood) as stream:
                parts = [Part(source, number, stream.sample_rate) for number in range(1, stream.channels + 1)]
        except AudioError:
            pass  # it fails again when it is opened, and is named then
        yield parts if len(parts) > 1 else [replace(parts[0], channel="mix")]


def _reopenable(source: AudioSource, stack: ExitStack) -> AudioSource:
    """A source that can be opened again and again, until the stack closes."""
    if not hasattr(source, "read") and not (isinstance(source, str) and source == "-"):
        return source
    file = open_file(cast(BinaryIO, source), audio_name(source), stack)
    return file if file is source else cast(BinaryIO, _Copied(file, audio_name(source)))


class _Copied:
    """The copy of a pipe, under the pipe's name."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name, self.read, self.seek, self.tell, self.seekable = name, file.read, file.seek, file.tell, file.seekable
