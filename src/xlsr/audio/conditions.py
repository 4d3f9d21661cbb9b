"""What a recording sounds like, measured while it is read: its band, clipping, offset and loudness. Floor 1.

Takes the samples on their way and keeps sums, so that ten hours cost as much memory as ten seconds. Changes nothing:
engines remove offset and loudness by themselves (docs/recordings.md has what each condition costs). Between reading
and windows; knows no speech but by its level.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from xlsr.audio.stream import AudioStream
from xlsr.audio.windowing import HOP_SAMPLES, SAMPLE_RATE, num_frames
from xlsr.recorded import AudioInfo

Samples = NDArray[np.float32]

# The loudest 20 ms of a recording of nothing. The quietest voice of 16 real corpora (17,000 recordings) has -52 dB of
# full scale there, the dither of 16 bits -93.
SILENT_DB = -65.0
# Samples within half a percent of the peak, three and more in a row at 16 kHz: at most 0.06 % in real speech (deep
# vowels); the one loud recording of 17,000 that piles up at full scale has 0.28 %. Of 150 readings that were cut off at
# a quarter of their peak all pass 0.1 %, of those at half 81 %.
RAIL, _RAIL_RUN, CLIPPED_SHARE = 0.995, 3, 0.001
MIN_RAIL = 0.1  # full scale; below, 16 bits are too coarse to tell flat from quiet
DC_OFFSET = 0.02  # full scale; the worst of real speech is 0.008, of an 8-bit sound card

# Telephones and recordings at 8 kHz end at 4000 Hz or before, those at 11.025 kHz above 5000. In wider files only the
# spectrum tells: so end all of 75 recordings that had been at 8 kHz, and none of 503 others of 14 corpora
# (benchmarks/bands.py).
_NARROW_HERTZ, _WIDE_RATE = 4_500, 16_000

_FRAME = 1024  # samples at 16 kHz: 64 ms, bins of 15.6 Hz
_LEVELS_DB = np.arange(-120.0, 3.0, 3.0)  # classes of frames by loudness, whose spectra are summed apart
_SPEECH_RANGE_DB = 40.0  # below the loud frames
# A band ends where, within 300 Hz, the spectrum falls by so much more than it rises again anywhere above: in none of
# these 503 recordings of full band, in 501 of the same through 8 kHz, in 495 through 11 kHz.
_CLIFF_DB, _CLIFF_HERTZ, _PLATEAU_HERTZ = 25.0, 300.0, 400.0
_FLOOR_DB = 90.0  # below the highest bin; no sound lies deeper
_LOWEST_EDGE_HERTZ, _HIGHEST_EDGE_HERTZ = 1_500.0, 7_400.0
_BLOCK_FRAMES = 6  # 384 ms; BS.1770 has blocks of 400 that overlap
_ABSOLUTE_GATE_DB, _RELATIVE_GATE_DB, _BS1770_DB = -70.0, -10.0, -0.691


class Heard:
    """The blocks of a recording on their way, and what they told so far.

    Args:
        stream: not read yet; iterating over this reads it.

    Attributes:
        samples: that came, at 16 kHz.
    """

    def __init__(self, stream: AudioStream) -> None:
        self.samples = 0
        self._stream = stream
        self._source_samples, self._total = 0, 0.0
        self._peak, self._tops = 0.0, 0
        self._rest = np.zeros(0, np.float32)
        self._counts = np.zeros(len(_LEVELS_DB), np.int64)
        self._spectra = np.zeros((len(_LEVELS_DB), _FRAME // 2 + 1))
        self._energies: list[Samples] = []
        self._whole: AudioInfo | None = None

    def __iter__(self) -> Iterator[Samples]:
        """Yield the blocks of the stream."""
        for block in self._stream.blocks(listener=self._take_source):
            self.samples += block.size
            joined = np.concatenate([self._rest, block])
            whole = joined.size - joined.size % _FRAME
            self._rest = joined[whole:]
            # All of a short recording, and a quarter of what follows: enough for sums, and four times as fast.
            self._take(joined[: whole if self.samples == block.size else whole // 4 // _FRAME * _FRAME])
            yield block
        if not self._counts.any():
            self._take(np.pad(self._rest, (0, _FRAME - self._rest.size)))
        self._whole = self._sum_up()
        self._spectra, self._energies = np.zeros((0, 0)), []  # many recordings may wait for their batch

    @property
    def name(self) -> str:
        """What messages call the recording."""
        return self._stream.name

    @property
    def duration(self) -> float:
        """Seconds of all whole frames of the encoder so far."""
        return round(num_frames(self.samples) * HOP_SAMPLES / SAMPLE_RATE, 3)

    @property
    def info(self) -> AudioInfo:
        """What is known of the recording, as far as it was read."""
        return self._whole or self._sum_up()

    def _sum_up(self) -> AudioInfo:
        loudest = _LEVELS_DB[self._counts.nonzero()[0].max(initial=0)]
        clipped = self._tops / max(self._source_samples, 1) if self._peak >= MIN_RAIL else 0.0
        offset = self._total / max(self._source_samples, 1)
        band = None if loudest < SILENT_DB else self._bandwidth()
        return AudioInfo(
            name=self._stream.name,
            sample_rate=self._stream.sample_rate,
            channels=self._stream.channels,
            bandwidth_hertz=band,
            clipped=round(clipped, 5),
            dc_offset=round(offset, 5),
            loudness_db=None if loudest < SILENT_DB else _loudness(np.concatenate(self._energies)),
            notes=(*self._rate_note(), *_notes(clipped, offset, silent=loudest < SILENT_DB), *self._band_note(band)),
        )

    def _rate_note(self) -> Iterator[str]:
        said, used = self._stream.header_rate, self._stream.sample_rate
        if used != said:
            yield f"its header says {said} Hz; it is read at {used} Hz, and times are those of {used} Hz"

    def _band_note(self, band: int | None) -> Iterator[str]:
        if band is not None and band < _NARROW_HERTZ and self._stream.sample_rate >= _WIDE_RATE:
            yield f"it holds nothing above {band} Hz, like a telephone call or a recording at 8 kHz"

    def _take_source(self, samples: Samples) -> None:
        """Measure samples as the source has them."""
        if not samples.size:
            return
        self._source_samples += samples.size
        self._total += float(samples.sum(dtype=np.float64))
        peak, tops = flat_tops(samples, self._stream.sample_rate)
        if peak > self._peak:  # what was flat below a higher peak was not cut off
            self._peak, self._tops = peak, tops + (self._tops if self._peak >= RAIL * peak else 0)
        elif peak >= RAIL * self._peak:
            self._tops += tops

    def _take(self, samples: Samples) -> None:
        """Measure whole frames at 16 kHz."""
        # (samples,) -> (frames, 1024) -> (frames, 513)
        frames = samples.reshape(-1, _FRAME)
        frames = frames - frames.mean(axis=1, keepdims=True)
        power = np.square(np.abs(np.fft.rfft(frames * _window())))
        levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-13)
        classes = np.clip(np.searchsorted(_LEVELS_DB, levels) - 1, 0, None)
        self._counts += np.bincount(classes, minlength=len(_LEVELS_DB))
        self._spectra += (classes == np.arange(len(_LEVELS_DB))[:, None]).astype(np.float32) @ power
        self._energies.append(power @ _k_weights())

    def _bandwidth(self) -> int:
        """Up to where the spectrum of the loud frames goes before it falls off a cliff, in Hz."""
        reached = np.cumsum(self._counts) >= 0.95 * self._counts.sum()
        loud = _LEVELS_DB[reached.argmax()] - _SPEECH_RANGE_DB
        return _edge(10 * np.log10(self._spectra[loud <= _LEVELS_DB].sum(axis=0) + 1e-20))


def flat_tops(samples: Samples, sample_rate: int = SAMPLE_RATE) -> tuple[float, int]:
    """Return the peak of some samples, and how many lie near it in runs of one sign, of 0.2 ms or three samples."""
    shortest = max(_RAIL_RUN, round(_RAIL_RUN * sample_rate / SAMPLE_RATE))
    magnitudes = np.abs(samples)
    peak = float(magnitudes.max())
    high = np.flatnonzero(magnitudes >= RAIL * peak)
    if not peak or high.size < shortest:
        return peak, 0
    # A run ends where the next high sample is no neighbour, or of the other sign.
    ends = np.flatnonzero((np.diff(high) > 1) | np.diff(np.signbit(samples[high])))
    runs = np.diff(ends, prepend=-1, append=high.size - 1)
    return peak, int(runs[runs >= shortest].sum())


def _edge(spectrum: NDArray[np.float64]) -> int:
    """Return where a (513,) spectrum in dB ends, in Hz; 8000 without a cliff."""
    hertz = SAMPLE_RATE / _FRAME
    spectrum = np.maximum(spectrum, spectrum.max() - _FLOOR_DB)
    smooth = np.convolve(np.pad(spectrum, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    highest_above = np.maximum.accumulate(smooth[::-1])[::-1]
    sums = np.concatenate([[0.0], np.cumsum(smooth)])
    cliff, plateau = round(_CLIFF_HERTZ / hertz), round(_PLATEAU_HERTZ / hertz)
    bins = np.arange(round(_LOWEST_EDGE_HERTZ / hertz), round(_HIGHEST_EDGE_HERTZ / hertz))
    falls = (sums[bins] - sums[bins - plateau]) / plateau - highest_above[bins + cliff]
    steepest = int(falls.argmax())
    if falls[steepest] < _CLIFF_DB:
        return SAMPLE_RATE // 2
    # The last bin before the middle of the fall, to a tenth of a kilohertz.
    foot = bins[steepest] + cliff
    before = smooth[:foot] > highest_above[foot] + falls[steepest] / 2
    return round(float(np.flatnonzero(before).max()) * hertz / 100) * 100


def _loudness(energies: Samples) -> float | None:
    """Return the integrated loudness of K-weighted mean squares of frames, in LUFS; None where all is too quiet.

    Source: ITU-R BS.1770-5, section "gating", with blocks that do not overlap.
    """
    whole = energies[: max(len(energies) // _BLOCK_FRAMES, 1) * _BLOCK_FRAMES]
    blocks = whole.reshape(-1, min(_BLOCK_FRAMES, len(whole))).mean(axis=1, dtype=np.float64)
    levels = _BS1770_DB + 10 * np.log10(blocks + 1e-13)
    blocks, levels = blocks[levels > _ABSOLUTE_GATE_DB], levels[levels > _ABSOLUTE_GATE_DB]
    if not blocks.size:
        return None
    gate = _BS1770_DB + 10 * np.log10(blocks.mean()) + _RELATIVE_GATE_DB
    return round(float(_BS1770_DB + 10 * np.log10(blocks[levels > gate].mean())), 1)


def _notes(clipped: float, offset: float, *, silent: bool) -> Iterator[str]:
    if silent:
        yield "it is silent"
    if clipped > CLIPPED_SHARE:
        yield f"{clipped:.1%} of its samples are clipped: record it at a lower level"
    if abs(offset) > DC_OFFSET:
        yield f"its mean sample is {offset:+.3f}, and 0 is wanted"


@cache
def _window() -> Samples:
    return np.hanning(_FRAME + 1)[:-1].astype(np.float32)


@cache
def _k_weights() -> Samples:
    """(513,): from the power of a windowed frame's bins to its K-weighted mean square. Source: BS.1770-5, annex 1."""
    delay = np.exp(-2j * np.pi * np.fft.rfftfreq(_FRAME, 1 / SAMPLE_RATE) / 48_000)  # the filters are given for 48 kHz

    def response(b: tuple[float, ...], a: tuple[float, ...]) -> NDArray[np.float64]:
        return np.asarray(np.abs(np.polyval(b[::-1], delay) / np.polyval(a[::-1], delay)) ** 2)

    shelf = response(
        (1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)
    )
    high_pass = response((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
    sides = np.full(_FRAME // 2 + 1, 2.0)
    sides[[0, -1]] = 1.0
    return np.asarray(shelf * high_pass * sides / (_FRAME * np.square(_window()).sum()), np.float32)
