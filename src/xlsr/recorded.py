"""What is known of a recording: its header, and what its samples turned out to be. Floor 0.

Plain frozen data, which `audio.conditions` measures and `results.Transcript` carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AudioInfo:
    """A recording, as it was heard. None: not known; levels and band are not of silence.

    Attributes:
        name: its path, or what messages call it.
        sample_rate: Hz, at which it was read.
        channels: of the source.
        bandwidth_hertz: up to where it holds sound, at most 8000, which is all that models hear; 4000 is a telephone.
        clipped: share of the samples that are cut off at full scale, or wherever it was that they were.
        dc_offset: mean sample, of full scale.
        loudness_db: integrated loudness of ITU-R BS.1770, in LUFS; speech is delivered at -16 to -24.
        notes: what is wrong with it, or odd, in sentences.
    """

    name: str
    sample_rate: int | None = None
    channels: int | None = None
    bandwidth_hertz: int | None = None
    clipped: float | None = None
    dc_offset: float | None = None
    loudness_db: float | None = None
    notes: tuple[str, ...] = ()


def join_channels(channels: Sequence[AudioInfo]) -> AudioInfo:
    """Return what is known of a recording whose channels were heard apart: the widest, the loudest and the worst."""
    first = channels[0]

    def largest(values: Sequence[float | None]) -> float | None:
        return max((value for value in values if value is not None), key=abs, default=None)

    bands = [one.bandwidth_hertz for one in channels if one.bandwidth_hertz is not None]
    loudness = [one.loudness_db for one in channels if one.loudness_db is not None]
    return AudioInfo(
        name=first.name,
        sample_rate=first.sample_rate,
        channels=first.channels,
        bandwidth_hertz=max(bands, default=None),
        clipped=largest([one.clipped for one in channels]),
        dc_offset=largest([one.dc_offset for one in channels]),
        loudness_db=max(loudness, default=None),
        notes=tuple(f"channel {number}: {note}" for number, one in enumerate(channels, 1) for note in one.notes),
    )
