"""soundfile, PyAV and NumPy arrays behind one `Reader`: samples as they are in the source, a stretch at a time.

Knows which library reads what, and turns each library's errors into `AudioError`. Knows nothing of resampling, mixing
or windows. Floor 1; the first half of reading. The libraries are imported where they are first needed: `xlsr --help`
reads no recording and must answer in 0.3 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import headers
from xlsr.errors import AudioError, TruncatedError

if TYPE_CHECKING:
    import av
    import av.container
    import soundfile

# The demuxers that may be used. Playlists (hls, concat, dash, sdp) open other files and addresses, which nobody who
# uploads a file may cause; images and raw codecs match almost any bytes.
_DEMUXERS = (
    "aac,ac3,eac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,flac,flv,gsm,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,"
    "mxf,nut,ogg,rm,tak,tta,voc,w64,wav,wv"
)
_TELLS_DURATION = {"mov", "matroska", "asf", "caf", "flac"}  # the others estimate it from the bit rate
_SHORTFALL_SECONDS = 0.5  # what a header may promise too much: encoder padding, edit lists, a longer video
_UNKNOWN_LENGTH = 1 << 62  # libsndfile says 2^63 - 1 for a FLAC that was written to a pipe
_MP3_TAGS = (b"ID3", b"TAG", b"APETAGEX")
_FORMATS = "wav, flac, mp3, ogg, opus, m4a, mp4, webm, mkv, amr and most others are read"


class Reader(Protocol):
    """One open recording.

    Attributes:
        sample_rate: Hz, as in the source.
        channels: of the source.
        duration: seconds, if the source tells.
    """

    sample_rate: int
    channels: int
    duration: float | None

    def chunks(self, seconds: float) -> Iterator[NDArray[np.float32]]:
        """Yield (samples, channels) float32 at the source's rate, at most `seconds` long each."""

    def close(self) -> None:
        """Free the decoder; the file itself belongs to the caller."""


class ArrayReader:
    """Reads samples that are in memory already."""

    def __init__(self, samples: NDArray[np.generic], sample_rate: int, name: str) -> None:
        """Take (samples,), (samples, channels) or (channels, samples), of floats or of int8, int16, int32 or uint8."""
        if samples.size == 0:
            raise no_samples(name)
        if samples.ndim not in (1, 2):
            wanted = "(samples,), (samples, channels) or (channels, samples)"
            raise AudioError(f"{name} has the shape {samples.shape}; {wanted} is wanted: pass one recording at a time")
        if samples.dtype.kind != "f" and samples.dtype not in (np.int8, np.int16, np.int32, np.uint8):
            wanted = "floats in [-1, 1], int16, int32, int8 or uint8"
            raise AudioError(f"{name} holds {samples.dtype}; {wanted} are wanted: convert it with astype")
        if samples.ndim == 1:
            samples = samples[:, None]
        elif samples.shape[0] <= 8 and samples.shape[0] < samples.shape[1]:
            samples = samples.T
        self._samples = samples
        self.sample_rate = sample_rate
        self.channels = samples.shape[1]
        self.duration: float | None = len(samples) / sample_rate if sample_rate > 0 else None

    def chunks(self, seconds: float) -> Iterator[NDArray[np.float32]]:
        """Yield (samples, channels) float32, integers scaled to [-1, 1]."""
        size = max(1, int(seconds * self.sample_rate))
        for start in range(0, len(self._samples), size):
            yield _scale(self._samples[start : start + size])

    def close(self) -> None:
        """Do nothing."""


def _scale(samples: NDArray[np.generic]) -> NDArray[np.float32]:
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, which is then refused by name
            return samples.astype(np.float32)
    scaled = samples.astype(np.float32) - (128.0 if samples.dtype.kind == "u" else 0.0)
    scaled /= 2.0 ** (8 * samples.dtype.itemsize - 1)
    return scaled


class SoundFileReader:
    """Reads what libsndfile reads."""

    def __init__(self, file: soundfile.SoundFile, name: str) -> None:
        """Take an open SoundFile."""
        self._file = file
        self._name = name
        self.sample_rate = int(file.samplerate)
        self.channels = int(file.channels)
        self.duration: float | None = file.frames / file.samplerate

    def chunks(self, seconds: float) -> Iterator[NDArray[np.float32]]:
        """Yield (samples, channels) float32, and refuse a file that ends before its header says."""
        from soundfile import SoundFileError

        num_read, reason = 0, ""
        # A read that fails loses all it had: seconds, so that the message says where.
        size = max(1, int(min(seconds, 1.0) * self.sample_rate))
        while True:
            try:
                chunk: NDArray[np.float32] = self._file.read(size, dtype="float32", always_2d=True)
            except SoundFileError as error:
                reason = f" ({_first_line(error)})"
                break
            if not len(chunk):
                break
            num_read += len(chunk)
            yield chunk
        # The encoder's padding may or may not be counted in an MP3: two frames.
        forgiven = 2 * 1152 if self._file.format == "MP3" else 0
        if reason or num_read < self._file.frames - forgiven:
            raise truncated(self._name, self.duration, num_read / self.sample_rate, reason)

    def close(self) -> None:
        """Close the decoder."""
        self._file.close()


class PyAVReader:
    """Reads the first audio stream of what FFmpeg reads."""

    def __init__(self, container: av.container.InputContainer, name: str) -> None:
        """Take an open container that has an audio stream.

        Raises:
            AudioError: its first frame cannot be decoded, or there is none.
        """
        self._container = container
        self._stream = container.streams.audio[0]
        self._name = name
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise no_samples(name)
        # The decoder knows better than the header: SBR doubles the rate, parametric stereo the channels.
        self.sample_rate = self._first.sample_rate
        self.channels = self._first.layout.nb_channels
        self.duration = self._header_seconds()

    def _header_seconds(self) -> float | None:
        stream, container = self._stream, self._container
        if container.format.name.split(",")[0] not in _TELLS_DURATION:
            return None
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if container.duration is None or len(container.streams) > 1:
            return None  # of the longest stream, which may be the video
        return container.duration / 1e6

    def _decode(self) -> Iterator[av.AudioFrame]:
        """Yield the decoded frames; `AudioError` where decoding fails."""
        import av

        failure: av.FFmpegError | None = None
        end = 0.0  # seconds
        try:
            for packet in self._container.demux(self._stream):
                if failure is not None and packet.size:
                    raise damaged(self._name, end, failure) from failure
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    # Between MP3s that were joined lie the tags of the next, which FFmpeg hands to the decoder.
                    failure = None if bytes(packet).startswith(_MP3_TAGS) else error
                    continue
                for frame in frames:
                    end = (frame.time if frame.time is not None else end) + frame.samples / frame.sample_rate
                    yield frame
        except av.FFmpegError as error:
            raise damaged(self._name, end, error) from error
        # After the last frame of an MP3 anything may follow, such as lyrics.
        if failure is not None and self._container.format.name != "mp3":
            raise damaged(self._name, end, failure) from failure
        seconds = self._header_seconds()
        if seconds is not None and end < seconds - _SHORTFALL_SECONDS:
            raise truncated(self._name, seconds, end)

    def chunks(self, seconds: float) -> Iterator[NDArray[np.float32]]:
        """Yield (samples, channels) float32, one decoded frame each (20 to 100 ms in common codecs)."""
        import av

        resampler = av.AudioResampler(format="fltp")  # changes the sample format only
        frame = self._first
        while frame is not None:
            try:
                planes = [converted.to_ndarray() for converted in resampler.resample(frame)]
            except (ValueError, av.FFmpegError) as error:
                reason = "its sample rate or channels change midway"
                raise AudioError(f"{self._name} cannot be read: {reason} ({error}): convert it to wav first") from error
            for plane in planes:
                yield np.ascontiguousarray(plane.T, np.float32)
            frame = next(self._frames, None)

    def close(self) -> None:
        """Close the container."""
        self._container.close()


class _Nameless:
    """A file without its name: both libraries would let the extension decide, which is not to be trusted."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def open_reader(file: BinaryIO, name: str) -> Reader:
    """Open a seekable file by its content: soundfile first, then PyAV.

    Args:
        file: read from its beginning; stays open when the reader is closed.
        name: what messages call it.

    Raises:
        AudioError: it is empty, cut off, or not audio.
    """
    if headers.file_size(file) == 0:
        raise AudioError(f"{name} is empty (0 bytes); a recording is wanted: copy or download it again")
    promise = headers.read_promise(file)
    if promise is not None and promise.promised == 0:
        raise no_samples(name)
    if promise is not None and promise.broken:
        raise _cut_off(name, promise)
    return _open_soundfile(file, name) or _open_av(file, name)


def _open_soundfile(file: BinaryIO, name: str) -> Reader | None:
    """Return None where PyAV must have a try."""
    import soundfile

    xing = headers.read_xing(file)
    file.seek(0)
    try:
        opened = soundfile.SoundFile(_Nameless(file))
    except soundfile.SoundFileError:
        return None
    # Without its Xing tag libsndfile takes an MP3's length from the first frame's bit rate, and stops there: 6 of 20 s
    # were read of a variable-rate file. The same holds for MP3s that were joined, which are longer than the tag says.
    guessed = opened.format == "MP3" and not (xing and xing.num_bytes and xing.held < 1.01 * xing.num_bytes + 4096)
    if guessed or not 0 < opened.frames < _UNKNOWN_LENGTH:
        opened.close()
        return None
    return SoundFileReader(opened, name)


def _open_av(file: BinaryIO, name: str) -> Reader:
    import av

    file.seek(0)
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
    try:
        container = av.open(_Nameless(file), "r", options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        found = headers.describe(file)
        raise AudioError(f"{name} is not a recording that can be read; it looks like {found}: {_FORMATS}") from error
    try:
        if not container.streams.audio:
            kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise AudioError(f"{name} has no audio stream, it holds {kinds}: pass a file that has sound")
        return PyAVReader(container, name)
    except BaseException:
        container.close()
        raise


def no_samples(name: str) -> AudioError:
    """Build the error for a recording of zero samples."""
    return AudioError(f"{name} holds no samples: record or export it again")


def truncated(name: str, promised: float | None, read: float, reason: str = "") -> TruncatedError:
    """Build the error for a recording that ends before its header says; both lengths in seconds."""
    header = f"its header says {promised:.2f} s" if promised is not None else "its header says more"
    found = f"{header}, only {read:.2f} s could be read{reason}"
    return TruncatedError(f"{name} is truncated: {found}: copy or download it again")


def damaged(name: str, seconds: float, error: Exception) -> TruncatedError:
    """Build the error for a decoder that fails midway."""
    cure = "copy or download it again, or convert it to wav"
    return TruncatedError(f"{name} is damaged or truncated after {seconds:.2f} s ({_first_line(error)}): {cure}")


def _cut_off(name: str, promise: headers.Promise) -> TruncatedError:
    if promise.bytes_per_second:
        promised, held = (num / promise.bytes_per_second for num in (promise.promised, promise.held))
        return truncated(name, promised, held)
    found = f"its header says {promise.promised} bytes, only {promise.held} could be read"
    return TruncatedError(f"{name} is truncated: {found}: copy or download it again")


def _first_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0].removeprefix("Error : ").rstrip(".")
