"""Noises and room responses: listed by a manifest, read when first drawn, kept within a bound of memory.

Knows manifests and memory, not what the clips are for. What lies in memory never changes what is drawn. Floor 2; under
augment.py, one store of each kind in every loading process.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE
from xlsr.data.archives import is_there
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.errors import ManifestError

_BYTES_A_SECOND = 4 * SAMPLE_RATE  # float32


class ClipStore:
    """The clips of one kind for training, least recently used forgotten first.

    Rows of another `kind`, or of a `split` other than "train", are left out: they belong to the tests. Rows that
    tell neither are taken.
    """

    def __init__(self, manifest: Path, kind: str, max_bytes: int) -> None:
        """List the clips; none is read yet.

        Args:
            manifest: JSON lines as for utterances, and `kind`.
            kind: "noise" or "rir".
            max_bytes: of decoded samples in memory.

        Raises:
            ManifestError: the manifest cannot be read or lists no such clip; a clip is not there, or is alone larger
                than the memory.
        """
        rows = read_manifest(manifest)
        self._clips = [row for row in rows if row.kind in (None, kind) and row.split in (None, "train")]
        if not self._clips:
            raise ManifestError(
                f"none of the {len(rows)} rows of {manifest} is a {kind} for training; 'kind': '{kind}' is wanted, and "
                "'split': 'train' (a row that lacks either is taken)"
            )
        for clip in self._clips:
            _check(clip, manifest, max_bytes)
        self._max_bytes = max_bytes
        self._held: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clips)

    @property
    def held_bytes(self) -> int:
        """Decoded samples in memory."""
        return sum(samples.nbytes for samples in self._held.values())

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return one clip, each as likely: (samples,) float32 at 16 kHz, which must not be written to.

        Raises:
            AudioError: the recording cannot be read.
        """
        index = int(rng.integers(len(self._clips)))
        if index not in self._held:
            # A copy: a part of a recording would keep the whole in memory.
            samples = load_utterance(self._clips[index]).copy()
            samples.flags.writeable = False
            self._held[index] = samples
            while self.held_bytes > self._max_bytes and len(self._held) > 1:
                self._held.popitem(last=False)
        self._held.move_to_end(index)
        return self._held[index]


def _check(clip: Utterance, manifest: Path, max_bytes: int) -> None:
    if not is_there(clip.audio):
        raise ManifestError(
            f"manifest {manifest} lists {clip.audio}, which is not there: mend the path or drop the row"
        )
    if clip.duration * _BYTES_A_SECOND > max_bytes:
        raise ManifestError(
            f"manifest {manifest}: {clip.audio.name} has {clip.duration:.0f} s; at most "
            f"{max_bytes // _BYTES_A_SECOND} s fit in the memory for clips: cut it or allow more"
        )
