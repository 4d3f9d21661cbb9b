"""What the first and last bytes of a file tell without decoding it: its kind, and whether it was cut off.

Knows the layouts of RIFF (WAV, RF64), AIFF, AU, Wave64, Ogg pages and the Xing tag of MP3. Decodes nothing: decoders
read what a cut file still holds and do not complain, so the comparison is made here. Floor 1; before decoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Writers that cannot seek back leave 0, 2^31 - 1, 2^31 or 2^32 - 1, less a header or a page.
_STREAMING_SLACK = 1 << 16
_MAX_CHUNKS = 1000  # zeros read as endless empty chunks
_OGG_TAIL = 1 << 17  # bytes: two of the largest pages
_KINDS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"#extm3u", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"RIFF", "a damaged WAV file"),
    (b"fLaC", "a damaged FLAC file"),
    (b"OggS", "a damaged Ogg file"),
    (b"ID3", "a damaged MP3 file"),
    (b"\x1aE\xdf\xa3", "a damaged MKV or WebM file"),
)


@dataclass(frozen=True)
class Promise:
    """How many bytes of audio a header announces, and how many the file holds.

    Attributes:
        promised: bytes announced.
        held: bytes present.
        bytes_per_second: to turn them into seconds; None if the header does not tell.
    """

    promised: int
    held: int
    bytes_per_second: float | None = None

    @property
    def broken(self) -> bool:
        """Whether audio is missing. 10 ms are forgiven: some writers count their own header."""
        return self.promised - self.held > (self.bytes_per_second or 800.0) * 0.01


@dataclass(frozen=True)
class XingTag:
    """The table of contents that most encoders put into the first frame of an MP3.

    Attributes:
        num_bytes: length of the MP3 stream; None if it is not given.
        held: bytes of the file after its ID3v2 tag.
        seconds: length of the recording; None if it is not given.
    """

    num_bytes: int | None
    held: int
    seconds: float | None


def file_size(file: BinaryIO) -> int:
    """Return the size in bytes of a seekable file; its position moves to the end."""
    return file.seek(0, 2)


def describe(file: BinaryIO) -> str:
    """Say what kind of file this looks like, for a message: "a PNG image", "text", "unknown data"."""
    file.seek(0)
    head = file.read(512)
    if head[:4] == b"RIFF" and head[8:12] != b"WAVE":
        return f"a RIFF file of type {head[8:12].decode('ascii', 'replace').strip()!r}"
    if head[4:8] == b"ftyp":
        return "an MP4 or M4A file whose index is missing, as when it is truncated"
    for magic, kind in _KINDS:
        if head.lstrip().lower().startswith(magic.lower()) or head.startswith(magic):
            return kind
    printable = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        printable = printable and error.start > len(head) - 4  # a character cut by the end of `head`
    return "text" if printable else "unknown or damaged data"


def read_promise(file: BinaryIO) -> Promise | None:
    """Compare what the header announces with what the file holds.

    Args:
        file: seekable; its position moves.

    Returns:
        None if the header announces nothing, as in a stream that was recorded through a pipe.
    """
    size = file_size(file)
    file.seek(0)
    head = file.read(40)
    kind = head[:4]
    if kind in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE":
        return _wave_promise(file, size, ">" if kind == b"RIFX" else "<")
    if kind == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        sizes = [chunk_size for name, _, chunk_size in _chunks(file, size, ">") if name == b"SSND"]
        return Promise(int.from_bytes(head[4:8]) + 8, size) if sizes != [8] else Promise(0, 0)
    if kind == b".snd" and head[8:12] != b"\xff\xff\xff\xff":
        return Promise(int.from_bytes(head[8:12]), size - int.from_bytes(head[4:8]))
    if kind == b"riff" and len(head) == 40:
        return Promise(int.from_bytes(head[16:24], "little"), size)
    if kind == b"OggS":
        return _ogg_promise(file, size)
    xing = read_xing(file)
    if xing and xing.num_bytes and xing.held < 0.99 * xing.num_bytes - 4096:  # some tags count themselves, some do not
        return Promise(xing.num_bytes, xing.held, xing.num_bytes / xing.seconds if xing.seconds else None)
    return None


def _chunks(file: BinaryIO, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, offset of the body, announced size) of each chunk of an IFF file."""
    offset = 12
    for _ in range(_MAX_CHUNKS):
        if offset + 8 > size:
            return
        file.seek(offset)
        name, length = struct.unpack(order + "4sI", file.read(8))
        yield name, offset + 8, length
        offset += 8 + length + length % 2


def _wave_promise(file: BinaryIO, size: int, order: str) -> Promise | None:
    """Read `fmt `, `ds64` and `data` (RIFF: Microsoft 1991; RF64: EBU Tech 3306)."""
    file.seek(4)
    riff_size = struct.unpack(order + "I", file.read(4))[0]
    byte_rate: int | None = None
    long_size: int | None = None
    for name, body, length in _chunks(file, size, order):
        file.seek(body)
        if name == b"fmt " and body + 12 <= size:
            byte_rate = struct.unpack(order + "I", file.read(12)[8:])[0] or None
        elif name == b"ds64" and body + 16 <= size:
            long_size = struct.unpack(order + "Q", file.read(16)[8:])[0]
        elif name == b"data":
            if length == 0xFFFFFFFF and long_size:
                length = long_size
            streamed = any(abs(length - mark) < _STREAMING_SLACK for mark in (1 << 31, 1 << 32))
            if streamed or (length == 0 and riff_size + 8 != size):
                return None
            return Promise(length, size - body, byte_rate)
    return None


def _ogg_promise(file: BinaryIO, size: int) -> Promise | None:
    """Check that the last page is whole (RFC 3533, section 6)."""
    start = max(0, size - _OGG_TAIL)
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS\x00")
    if page < 0:
        return None
    num_segments = tail[page + 26] if page + 26 < len(tail) else 0
    table = tail[page + 27 : page + 27 + num_segments]
    return Promise(start + page + 27 + num_segments + sum(table) + 800 * (len(table) < num_segments), size)


def read_xing(file: BinaryIO) -> XingTag | None:
    """Read the Xing or Info tag of an MP3, if there is one; the file's position moves."""
    size = file_size(file)
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(200)
    offset = max(frame.find(b"Xing"), frame.find(b"Info"))
    if len(frame) < 200 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0 or not 0 < offset <= 40:
        return None
    flags, *values = struct.unpack(">3I", frame[offset + 4 : offset + 16])
    num_frames = values.pop(0) if flags & 1 else None
    num_bytes = values.pop(0) if flags & 2 else None
    version, rate = frame[1] >> 3 & 3, frame[2] >> 2 & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    if num_frames is None or rate == 3:
        return XingTag(num_bytes, size - start, None)
    sample_rate = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1}.get(version, 2)
    return XingTag(num_bytes, size - start, num_frames * (1152 if version == 3 else 576) / sample_rate)
