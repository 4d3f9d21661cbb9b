"""A path, bytes, a file object or an array to checked mono samples at 16 kHz, block by block or whole.

Knows channels, resampling and what makes a recording unusable. Leaves decoding to decoders.py; does not trim, denoise
or change loudness. Floor 1; the first step of every path.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from xlsr.audio.decoders import ArrayReader, Reader, no_samples, open_reader
from xlsr.audio.windowing import FIELD_SAMPLES, SAMPLE_RATE
from xlsr.errors import AudioError, NotFiniteError

AudioSource: TypeAlias = (
    str | os.PathLike[str] | bytes | BinaryIO | NDArray[np.generic] | tuple[NDArray[np.generic], int]
)
"""What can be transcribed: a path ("-" is stdin), the content of a file, a binary file object, samples at 16 kHz, or
samples with their rate. Samples are (samples,), (samples, channels) or (channels, samples)."""

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz: below lies telemetry, above lies a damaged header
_MAX_CHANNELS = 64
_SPOOL_BYTES = 32 << 20  # of a pipe held in memory before it goes to disk
_CHANNELS = ("mix", "left", "right")
_CHUNK_SECONDS = 1.0  # of the source's samples, that are mixed and resampled at a time

# What a folder is searched for; a file that is named is read whatever its suffix.
SUFFIXES = frozenset(
    (
        ".wav .flac .mp3 .ogg .oga .opus .aiff .aif .au .w64 .caf "  # by soundfile, mostly
        ".m4a .mp4 .m4b .aac .webm .mkv .mka .mov .amr .wma .3gp"  # by PyAV
    ).split()
)


def audio_name(source: AudioSource) -> str:
    """Return what messages call a source: its path, "<stdin>", "<bytes>", "<array>" or "<file>"."""
    if isinstance(source, (str, os.PathLike)):
        return "<stdin>" if source == "-" else os.fsdecode(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "<bytes>"
    if isinstance(source, (np.ndarray, tuple)):
        return "<array>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else "<file>"


class AudioStream:
    """An open recording, read once from beginning to end.

    Attributes:
        name: what messages call it.
        sample_rate: Hz, at which it is read: of the source, if nothing else is assumed.
        header_rate: Hz, of the source.
        channels: of the source.
        duration: seconds, if the header tells; never an estimate from the bit rate.
    """

    def __init__(self, reader: Reader, name: str, channel: str | int, resources: ExitStack) -> None:
        """Wrap a checked reader; use `open_audio`."""
        self.name = name
        self.sample_rate = self.header_rate = reader.sample_rate
        self.channels = reader.channels
        self.duration = reader.duration
        self._samples: Iterator[NDArray[np.float32]] | None = self._mono(reader, channel)
        self._resources = resources

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close what `open_audio` opened; a file object that the caller passed stays open."""
        self._samples = None
        self._resources.close()

    def assume_rate(self, sample_rate: int) -> None:
        """Read the recording as if its header told this sample rate, in Hz; before `blocks`."""
        if self.duration is not None:
            self.duration *= self.sample_rate / sample_rate
        self.sample_rate = sample_rate

    def head(self, seconds: float) -> NDArray[np.float32]:
        """Return its beginning, without taking it from `blocks`.

        Args:
            seconds: of the source; it is shorter if the source is.

        Returns:
            (samples,) float32 at the source's own rate, mono.

        Raises:
            AudioError: as for `blocks`.
        """
        samples, size = self._unread(), round(seconds * self.sample_rate)
        parts: list[NDArray[np.float32]] = []
        with self._reading():
            while sum(part.size for part in parts) < size and (part := next(samples, None)) is not None:
                parts.append(part)
        self._samples = chain(parts, samples)
        return np.concatenate([*parts, np.zeros(0, np.float32)])[:size]

    def blocks(
        self, block_seconds: float = 30.0, *, listener: Callable[[NDArray[np.float32]], object] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the recording in blocks; a few blocks are all that is ever held in memory.

        Args:
            block_seconds: length of every block but the last, which may be shorter; at least 25 ms are taken.
            listener: is given all samples as they are before resampling: (samples,) float32 at the source's own rate.

        Yields:
            (samples,) float32 at 16 kHz, mono.

        Raises:
            AudioError: samples are not finite, the file ends early or cannot be decoded, or it is shorter than 25 ms;
                also if it was read already.
        """
        samples, self._samples = self._unread(), None
        # Blocks of at least one field, so that a recording that is too short is refused before anything is yielded.
        size = max(FIELD_SAMPLES, round(block_seconds * SAMPLE_RATE))
        total = 0
        try:
            with self._reading():
                for block in _reblock(_resample(_overheard(samples, listener), self.sample_rate), size):
                    total += block.size
                    if total < FIELD_SAMPLES:
                        raise _too_short(self.name, total)
                    yield block
        finally:
            self.close()
        if total == 0:
            raise no_samples(self.name)

    def _unread(self) -> Iterator[NDArray[np.float32]]:
        if self._samples is None:
            raise AudioError(f"{self.name} was read already: open it again")
        return self._samples

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unreadable(self.name, error) from error

    def _mono(self, reader: Reader, channel: str | int) -> Iterator[NDArray[np.float32]]:
        """Yield (samples,) float32 at the source's rate, checked to be finite."""
        position = 0
        column = _column(channel)
        for chunk in reader.chunks(_CHUNK_SECONDS):
            mono = _mean(chunk) if column is None else chunk[:, column]
            finite = np.isfinite(mono)
            if not finite.all():
                at = (position + int(np.argmin(finite))) / self.sample_rate
                found = f"has samples that are not finite (NaN, infinite or above 3e38), the first at {at:.3f} s"
                raise NotFiniteError(f"{self.name} {found}: repair or export it again")
            position += len(mono)
            yield np.ascontiguousarray(mono)


def _column(channel: str | int) -> int | None:
    """Which column of the samples is meant; None: the mean of all."""
    if isinstance(channel, int):
        return channel - 1
    return None if channel == "mix" else _CHANNELS.index(channel) - 1


def _overheard(
    chunks: Iterator[NDArray[np.float32]], listener: Callable[[NDArray[np.float32]], object] | None
) -> Iterator[NDArray[np.float32]]:
    for chunk in chunks:
        if listener is not None:
            listener(chunk)
        yield chunk


def resample(waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Return a waveform that has a sample rate in Hz at 16 kHz: (samples,) float32."""
    return np.concatenate([*_resample(iter([waveform]), sample_rate), np.zeros(0, np.float32)])


def _resample(chunks: Iterator[NDArray[np.float32]], sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield (samples,) float32 at 16 kHz."""
    if sample_rate == SAMPLE_RATE:
        yield from chunks
        return
    import soxr

    resampler = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for chunk in chunks:
        yield resampler.resample_chunk(chunk)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _mean(chunk: NDArray[np.float32]) -> NDArray[np.float32]:
    """(samples, channels) -> (samples,)."""
    if chunk.shape[1] == 1:
        return chunk[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by name afterwards
        mean: NDArray[np.float32] = chunk.mean(axis=1, dtype=np.float32)
    return mean


def _reblock(chunks: Iterator[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Yield the same samples in blocks of `size`; the last may be shorter, none is empty."""
    parts: list[NDArray[np.float32]] = []
    held = 0
    for chunk in chunks:
        parts.append(chunk)
        held += chunk.size
        if held < size:
            continue
        joined = np.concatenate(parts)
        whole = held - held % size
        for start in range(0, whole, size):
            yield joined[start : start + size]
        parts, held = [joined[whole:].copy()], held - whole
    if held:
        yield np.concatenate(parts)


def _too_short(name: str, samples: int) -> AudioError:
    found = f"is {samples / SAMPLE_RATE * 1000:.1f} ms long ({samples} samples at 16 kHz)"
    return AudioError(f"{name} {found}; recognition needs at least 25 ms ({FIELD_SAMPLES} samples): record more")


def open_audio(source: AudioSource, *, channel: str | int = "mix", sample_rate: int | None = None) -> AudioStream:
    """Open a recording of any format, sample rate and number of channels.

    The content decides the format, not the name. Arrays alone are taken to be at 16 kHz. A seekable file object is read
    from its beginning and stays open; a pipe is first copied to memory or, above 32 MiB, to a temporary file.

    Args:
        source: a path ("-" is stdin), the bytes of a file, a binary file object, an array, or (array, sample rate).
        channel: "mix" (the mean of all), "left" or "right" (the first or second), or a number from 1.
        sample_rate: Hz, in place of what the header says, for headers that are wrong.

    Raises:
        AudioError: the recording is missing, unreadable, empty, cut off or not audio, or has no such channel.
        ValueError: `channel` is none of the three and no number from 1, or `sample_rate` is not from 1,000 to 768,000.
    """
    if channel not in _CHANNELS and not (isinstance(channel, int) and channel >= 1):
        raise ValueError(f"channel is {channel!r}; one of {', '.join(_CHANNELS)}, or a number from 1, is wanted")
    if sample_rate is not None and not MIN_RATE <= sample_rate <= MAX_RATE:
        raise ValueError(f"sample_rate is {sample_rate} Hz; {MIN_RATE} to {MAX_RATE} is wanted")
    name = audio_name(source)
    with ExitStack() as stack:
        if isinstance(source, (np.ndarray, tuple)):
            reader: Reader = _open_array(source, name)
        else:
            try:
                reader = open_reader(open_file(source, name, stack), name)
            except OSError as error:
                raise _unreadable(name, error) from error
        stack.callback(reader.close)
        _check_header(reader, name, channel)
        stream = AudioStream(reader, name, channel, stack.pop_all())
        if sample_rate is not None:
            stream.assume_rate(sample_rate)
        return stream


def load_audio(source: AudioSource, *, channel: str = "mix") -> NDArray[np.float32]:
    """Return a whole recording as (samples,) float32 at 16 kHz, mono.

    Args:
        source: as for `open_audio`.
        channel: "mix" (the mean of all), "left" or "right".

    Raises:
        AudioError: as for `open_audio` and `AudioStream.blocks`.
        ValueError: `channel` is none of the three.
    """
    with open_audio(source, channel=channel) as stream:
        return np.concatenate(list(stream.blocks()))


def normalize_waveform(waveform: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return a waveform with zero mean and unit variance over the utterance.

    (x - mean) / sqrt(variance + 1e-7), as transformers' Wav2Vec2FeatureExtractor; the sums are taken in float64.

    Args:
        waveform: (samples,) at 16 kHz; silence stays silence.

    Returns:
        (samples,) float32; a new array.
    """
    samples = np.asarray(waveform, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"waveform has the shape {samples.shape}; (samples,) is wanted")
    if samples.size == 0:
        return samples.copy()
    centred = samples - np.float32(samples.mean(dtype=np.float64))
    centred /= np.float32(np.sqrt(np.square(centred).mean(dtype=np.float64) + 1e-7))
    return centred


def _open_array(source: NDArray[np.generic] | tuple[NDArray[np.generic], int], name: str) -> Reader:
    if isinstance(source, np.ndarray):
        return ArrayReader(source, SAMPLE_RATE, name)
    pair = source
    if len(pair) != 2 or not isinstance(pair[0], np.ndarray) or not isinstance(pair[1], (int, np.integer)):
        found = ", ".join(type(part).__name__ for part in pair)
        raise AudioError(f"{name} is a tuple of ({found}); (array, sample rate in Hz as int) is wanted")
    return ArrayReader(pair[0], int(pair[1]), name)


def open_file(source: str | os.PathLike[str] | bytes | BinaryIO, name: str, stack: ExitStack) -> BinaryIO:
    """Return a source that is no array as a seekable binary file; what is opened here is closed with the stack.

    Raises:
        AudioError: there is no such file, or it is none.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    file: BinaryIO
    if source == "-":
        file = cast(BinaryIO, getattr(sys.stdin, "buffer", None))
    elif isinstance(source, (str, os.PathLike)):
        file = stack.enter_context(_open_path(os.fspath(source), name))
    else:
        file = source
    if not hasattr(file, "read") or isinstance(file, io.TextIOBase):
        wanted = "a path, bytes, a binary file object, a NumPy array or (array, sample rate) is wanted"
        raise AudioError(f"{name} is of type {type(file).__name__}; {wanted}: open files with mode 'rb'")
    try:
        return file if file.seekable() else _spool(file, stack)
    except (AttributeError, TypeError, ValueError) as error:  # closed, or not quite a file
        raise _unreadable(name, error) from error


def _open_path(path: str, name: str) -> BinaryIO:
    if os.path.isdir(path):
        raise AudioError(f"{name} is a folder; a recording is wanted: name the files in it")
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise AudioError(f"{name} does not exist: check the path") from error
    except ValueError as error:  # a null byte
        raise _unreadable(repr(name), error) from error


def _spool(file: BinaryIO, stack: ExitStack) -> BinaryIO:
    import shutil
    import tempfile

    spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES))  # noqa: SIM115
    shutil.copyfileobj(file, spool)
    return spool  # type: ignore[return-value]


def _unreadable(name: str, error: Exception) -> AudioError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return AudioError(f"{name} cannot be read ({reason}): check its permissions and that it is still there")


def _check_header(reader: Reader, name: str, channel: str | int) -> None:
    if not MIN_RATE <= reader.sample_rate <= MAX_RATE:
        found = f"sample rate of {name} is {reader.sample_rate} Hz"
        raise AudioError(f"{found}; {MIN_RATE} to {MAX_RATE} is wanted: its header is damaged, export it again")
    if not 1 <= reader.channels <= _MAX_CHANNELS:
        found = f"{name} has {reader.channels} channels; 1 to {_MAX_CHANNELS} are wanted"
        raise AudioError(f"{found}: split it, or check that the array is (samples, channels)")
    if (_column(channel) or 0) >= reader.channels:
        held = f"{reader.channels} channel{'s' if reader.channels > 1 else ''}"
        raise AudioError(f"{name} has {held}; channel={channel!r} wants {(_column(channel) or 0) + 1}: use 'mix'")
    if reader.duration == 0:
        raise no_samples(name)
