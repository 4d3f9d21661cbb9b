"""Utterances -> pieces of bounded length in batches of similar length. NumPy only; no network.

A piece is at most 30 s, so that an hour takes no more memory than a minute. Pieces of one recording tile its frames
exactly; each is normalised by itself, as the windows of long recordings are in `recognizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE
from xlsr.config import Wav2Vec2Config
from xlsr.data.batching import plan_batches
from xlsr.data.manifest import Utterance, load_utterance
from xlsr.errors import AudioError
from xlsr.recognizer import Failure

Progress = Callable[[Iterator[list[int]], int], Iterator[list[int]]]

_PIECE_SECONDS = 30


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of an utterance.

    Attributes:
        utterance: where it is from.
        start: seconds from the beginning of the utterance.
        samples: (samples,) float32 mono at 16 kHz, as read; one frame's worth at least.
    """

    utterance: Utterance
    start: float
    samples: NDArray[np.float32]


def read_pieces(
    utterances: Sequence[Utterance],
    config: Wav2Vec2Config,
    *,
    batch_seconds: float,
    progress: Progress | None = None,
) -> Iterator[list[Piece] | Failure]:
    """Read utterances, the shortest with the shortest; those that cannot be read do not stop the others.

    Args:
        utterances: to read.
        config: of the network that will take the pieces; tells the samples of a frame.
        batch_seconds: padded seconds of a batch.
        progress: wraps the batches, given their number.

    Yields:
        Pieces to be computed at once; or an utterance that failed.
    """
    rng = np.random.default_rng(0)
    plan = plan_batches([u.duration for u in utterances], max_seconds=batch_seconds, rng=rng)
    for batch in progress(iter(plan), len(plan)) if progress else plan:
        pieces: list[Piece] = []
        for utterance in (utterances[index] for index in batch):
            try:
                found = _cut(utterance, config)
            except AudioError as error:
                yield Failure(utterance.name, str(error))
                continue
            if len(found) > 1:
                yield from ([piece] for piece in found)
            else:
                pieces += found
        if pieces:
            yield pieces


def _cut(utterance: Utterance, config: Wav2Vec2Config) -> list[Piece]:
    """The pieces of an utterance. Raises AudioError where there is no frame."""
    waveform, field = load_utterance(utterance), config.field_samples
    hop = config.hop_samples // config.thinning
    if not config.num_encoder_frames(len(waveform)):
        raise AudioError(f"{utterance.name} has {len(waveform)} samples; {field} make a frame")
    step = _PIECE_SECONDS * SAMPLE_RATE // hop * hop
    # A piece of n frames sees field - hop samples of the next.
    starts = range(0, len(waveform) - field + 1, step)
    return [Piece(utterance, start / SAMPLE_RATE, waveform[start : start + step - hop + field]) for start in starts]
