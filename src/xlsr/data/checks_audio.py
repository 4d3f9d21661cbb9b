"""Faults of recordings: read once, block by block, and measured on the way; judged one by one.

Knows levels, lengths and rates; knows no text. Several rows of one recording are measured in one pass, and a few
blocks are all that is ever held. Floor 2; NumPy only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import FIELD_SAMPLES, HOP_SAMPLES, SAMPLE_RATE, open_audio
from xlsr.audio.conditions import CLIPPED_SHARE, DC_OFFSET, MIN_RAIL, RAIL, SILENT_DB, flat_tops
from xlsr.data.archives import audio_file
from xlsr.data.findings import Finding
from xlsr.data.loading import channel_of
from xlsr.data.manifest import Utterance
from xlsr.data.rows import Row, about_corpus
from xlsr.errors import AudioError, NotFiniteError, TruncatedError

_BLOCK_SECONDS = 30.0
# Sound is what lies within 30 dB of the loud frames and above -60 dBFS; single words fill 8 % and more of their file.
_SOUND_RANGE_DB, _SOUND_FLOOR_DB, _LOUD_PERCENTILE = 30.0, -60.0, 99.5
_MIN_SOUND_SHARE = 0.07
# Rounded durations differ by 1 ms, those of encoders that pad by 50.
_DURATION_SLACK = 0.1
_RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_SPEEDS = sorted({a / b for a in _RATES for b in _RATES if a != b})
_SPEED_SLACK = 0.003  # 22050/24000 and 0.92 differ by 0.001
_HABIT_SHARE = 0.5  # of rows with another rate than their file's: above it, the row speaks of the original


@dataclass(frozen=True)
class Measurement:
    """What was heard of a row.

    Attributes:
        seconds: of audio that the row gets.
        file_seconds: of the whole recording.
        sample_rate: of the file, in Hz.
        peak: largest absolute sample.
        loudest_db: level of the loudest 20 ms, dB below full scale.
        offset: mean sample.
        clipped_share: of the samples, those in flat tops.
        sound_share: of the frames, those that are not silence.
        content: hash of the samples.
    """

    seconds: float
    file_seconds: float
    sample_rate: int
    peak: float
    loudest_db: float
    offset: float
    clipped_share: float
    sound_share: float
    content: str

    @property
    def silent(self) -> bool:
        """Whether nothing is to be heard."""
        return self.loudest_db < SILENT_DB


@dataclass
class Meter:
    """Takes (samples,) blocks at 16 kHz and keeps what a measurement needs: one number a frame, two a block."""

    samples: int = 0
    total: float = 0.0
    levels: list[NDArray[np.float64]] = field(default_factory=list)
    tops: list[tuple[float, int]] = field(default_factory=list)
    rest: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)

    def take(self, block: NDArray[np.float32]) -> None:
        """Measure the next samples."""
        if not block.size:
            return
        self.samples += block.size
        self.total += float(block.sum(dtype=np.float64))
        self.hash.update(np.ascontiguousarray(block).tobytes())
        self.tops.append(flat_tops(block))
        joined = np.concatenate([self.rest, block])
        whole = len(joined) - len(joined) % HOP_SAMPLES
        self.levels.append(_levels(joined[:whole]))
        self.rest = joined[whole:]

    def measure(self, file_seconds: float, sample_rate: int) -> Measurement:
        """Sum up what was taken."""
        # A recording below one frame has its rest alone.
        db = np.concatenate([*self.levels, *([] if self.samples >= HOP_SAMPLES else [_level(self.rest)])])
        peak = max((top for top, _ in self.tops), default=0.0)
        flat = sum(count for top, count in self.tops if top >= RAIL * peak) if peak >= MIN_RAIL else 0
        loud = float(np.percentile(db, _LOUD_PERCENTILE)) if db.size else -np.inf
        return Measurement(
            seconds=self.samples / SAMPLE_RATE,
            file_seconds=file_seconds,
            sample_rate=sample_rate,
            peak=peak,
            loudest_db=float(db.max(initial=-200.0)),
            offset=self.total / max(self.samples, 1),
            clipped_share=flat / max(self.samples, 1),
            sound_share=float((db > max(loud - _SOUND_RANGE_DB, _SOUND_FLOOR_DB)).mean()) if db.size else 0.0,
            content=self.hash.hexdigest(),
        )


def _levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """(frames * 320,) -> (frames,) dB below full scale, without the mean of each frame."""
    # (samples,) -> (frames, 320)
    power = samples.reshape(-1, HOP_SAMPLES).astype(np.float64).var(axis=1)
    return np.asarray(10 * np.log10(power + 1e-20))


def _level(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray([10 * np.log10(samples.astype(np.float64).var() + 1e-20)]) if samples.size else np.zeros(0)


def measure_rows(rows: Sequence[Row], *, threads: int) -> Iterator[tuple[Row, Measurement | AudioError]]:
    """Yield every row with what was heard of it or why it could not be; several files at a time.

    Args:
        rows: of one manifest; those of the same recording are read together.
        threads: files read at once; the decoders run outside Python's lock.
    """
    ordered = sorted(rows, key=lambda row: (*_recording(row), row.utterance.offset, row.line))
    files = [list(group) for _, group in groupby(ordered, key=_recording)]
    pool = ThreadPoolExecutor(threads)
    try:
        for group, results in zip(files, pool.map(_measure_file, files), strict=True):
            yield from zip(group, results, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # who stops listening need not wait for the rest


def _recording(row: Row) -> tuple[str, int]:
    """What is read in one pass: a file, and which channel of it."""
    return str(row.utterance.audio), -1 if row.utterance.channel is None else row.utterance.channel


def _measure_file(rows: Sequence[Row]) -> Sequence[Measurement | AudioError]:
    """Measure the rows of one recording in one pass over it."""
    path = rows[0].utterance.audio
    spans = [_Span(row.utterance) for row in rows]
    total = 0
    try:
        with open_audio(audio_file(path), channel=channel_of(rows[0].utterance)) as stream:
            for block in stream.blocks(_BLOCK_SECONDS):
                for span in spans:
                    span.take(block, total)
                total += block.size
    except AudioError as error:
        return [error] * len(rows)
    except OSError as error:  # a name that no file can have, a folder that may not be read
        return [AudioError(f"{path} cannot be read: {error}")] * len(rows)
    return [span.finish(total, stream.sample_rate) for span in spans]


class _Span:
    """The samples of one row, as `load_utterance` cuts them out of the whole recording."""

    def __init__(self, utterance: Utterance) -> None:
        self.utterance = utterance
        self.start = round(utterance.offset * SAMPLE_RATE)
        self.end = round((utterance.offset + utterance.duration) * SAMPLE_RATE)
        self.slack = SAMPLE_RATE // 10
        self.meter = Meter()
        self.tail: list[NDArray[np.float32]] = []

    def take(self, block: NDArray[np.float32], at: int) -> None:
        """Take what is ours of a block that begins at a sample of the recording."""
        self.meter.take(block[max(self.start - at, 0) : max(self.end - at, 0)])
        if not self.start:  # a rounded duration: the rest belongs to it, if it is short
            self.tail.append(block[max(self.end - at, 0) : max(self.end + self.slack - at, 0)])

    def finish(self, total: int, sample_rate: int) -> Measurement | AudioError:
        """The measurement, once the recording's length is known."""
        if not self.start and total - self.end < self.slack:
            for part in self.tail:
                self.meter.take(part)
        if self.meter.samples < FIELD_SAMPLES:
            row = self.utterance
            found = (
                f"{row.audio} has {total / SAMPLE_RATE:.2f} s; {row.duration:.2f} s at {row.offset:.2f} s are wanted"
            )
            return TruncatedError(f"{found}: correct the row or remove it")
        return self.meter.measure(total / SAMPLE_RATE, sample_rate)


def failure_finding(row: Row, error: AudioError) -> Finding:
    """The finding of a recording that could not be read."""
    if isinstance(error, NotFiniteError):
        return row.finding("nan_audio", str(error))
    if isinstance(error, TruncatedError):
        return row.finding("truncated_audio", str(error))
    cure = "" if os.path.exists(row.utterance.audio) else ": bring the file or remove the row"
    return row.finding("unreadable_audio", f"{error}{cure}")


def audio_findings(heard: Sequence[tuple[Row, Measurement]], whole_files: set[Path]) -> list[Finding]:
    """Judge what was heard.

    Args:
        heard: the rows that could be read.
        whole_files: recordings of one row only, whose duration is therefore the file's.
    """
    findings: list[Finding] = []
    for row, measured in heard:
        findings += _levels_of(row, measured)
        whole = row.utterance.audio in whole_files and not row.is_segment
        findings += _lengths_of(row, measured, whole=whole)
    return [*findings, *_rates(heard, {f.line for f in findings if f.code == "wrong_rate"})]


def _levels_of(row: Row, measured: Measurement) -> Iterator[Finding]:
    name = row.utterance.audio.name
    if measured.silent:
        found = f"{name} is silent: its loudest 20 ms have {measured.loudest_db:.0f} dB of full scale"
        yield row.finding("silent_audio", f"{found}; speech is wanted: record it again or remove the row")
        return
    if measured.clipped_share > CLIPPED_SHARE:
        found = f"{measured.clipped_share:.1%} of the samples of {name} are cut off at {measured.peak:.2f}"
        yield row.finding("clipped_audio", f"{found}; none should be: record it at a lower level")
    elif abs(measured.offset) > DC_OFFSET:  # what is cut off on one side has an offset too
        found = f"the mean sample of {name} is {measured.offset:+.3f}; 0 is wanted"
        yield row.finding("dc_offset", f"{found}: filter the recording above 20 Hz")
    if measured.sound_share < _MIN_SOUND_SHARE and row.is_speech:
        found = f"{measured.sound_share:.1%} of {name} is sound, {measured.seconds * measured.sound_share:.2f} s"
        yield row.finding("mostly_silence", f"{found}; speech is wanted: trim it, or see whether the words are there")


def _lengths_of(row: Row, measured: Measurement, *, whole: bool) -> Iterator[Finding]:
    """Hold the stated duration against the audio that is there."""
    name, stated = row.utterance.audio.name, row.utterance.duration
    there = measured.file_seconds - row.utterance.offset
    if not whole and stated <= there + _DURATION_SLACK:
        return
    if abs(there - stated) <= _DURATION_SLACK + 0.001 * stated:
        return
    found = f"{name} has {there:.2f} s, its row says {stated:.2f}"
    speed = there / stated if stated else 0.0
    known = min(_SPEEDS, key=lambda factor: abs(factor / speed - 1)) if speed else 0.0
    if whole and speed and abs(known / speed - 1) < _SPEED_SLACK:
        cure = "a sample rate was mistaken: see whether it plays at the right speed"
        yield row.finding("wrong_rate", f"{found}, {1 / known:.3g} times as long; {cure}")
    elif there < stated:
        yield row.finding("truncated_audio", f"{found}: copy it again or correct the row", "warning")
    else:
        yield row.finding("wrong_duration", f"{found}: correct the row, or give it an offset if it is a segment")


def _rates(heard: Sequence[tuple[Row, Measurement]], known: set[int | None]) -> Iterator[Finding]:
    """Hold the stated sample rates against the files'; where the durations agree this is worth a note only."""
    stated = [(row, row.utterance.sample_rate, measured.sample_rate) for row, measured in heard]
    differing = [(row, said, rate) for row, said, rate in stated if said not in (None, rate) and row.line not in known]
    if len(differing) > _HABIT_SHARE * len(stated):
        found = f"{len(differing)} of {len(stated)} rows state another sample rate than their files have"
        yield about_corpus("wrong_rate", f"{found}; durations agree, so it is that of the originals")
        return
    for row, said, rate in differing:
        got = f"{row.utterance.audio.name} has {rate} Hz, its row says {said}; durations agree"
        yield row.finding("wrong_rate", f"{got}, so it may be that of the original: correct the row if not", "note")
