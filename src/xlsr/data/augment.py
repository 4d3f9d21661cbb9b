"""Training waveforms made harder as they are loaded: speed, room, noise, gain, overload, telephone.

Knows one waveform at a time and the table `[augment]` of a recipe; everything is off until its probability is raised.
Knows no labels: nothing but speed changes the length, and nothing moves the speech in time. Neither masks features
(the network does) nor makes whole new utterances. Floor 2, NumPy only; the step between reading and batching.

    augment = Augmenter(AugmentRecipe(speed_prob=0.5, noise_prob=0.4, noise=Path("noises.jsonl")))
    harder = augment(waveform, np.random.default_rng((seed, epoch, index)))

The steps come in the order of the world: how somebody speaks, the room, its noise, the recorder's gain and overload,
the line. `filtering.py` has the filter, `clips.py` the noises and rooms, `telephone.py` the codecs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE
from xlsr.data.clips import ClipStore
from xlsr.data.filtering import convolve
from xlsr.data.telephone import CODECS, missing_codecs, telephone
from xlsr.errors import RecipeError

_LEVEL_FRAME = 320  # samples: 20 ms
_ACTIVE_SHARE = 1e-3  # of the loudest frame's power: 30 dB
_SILENCE = 1e-12  # mean square below the last bit of 20-bit audio: there is nothing to measure
_SPEED_LIMITS = (0.5, 2.0)
_DECIBEL_LIMIT = 100.0


@dataclass(frozen=True)
class AugmentRecipe:
    """What is done to a training waveform, and how often; probabilities are each utterance's, 0 is never.

    As the table of a recipe:

        [augment]
        speed_prob = 0.6
        noise_prob = 0.4
        noise = "noises.jsonl"
        snr_db = [3, 25]
        telephone_prob = 0.2
        codecs = "mulaw alaw amr"

    Raises:
        RecipeError: a value is out of its range, a manifest is missing where it is needed, or a codec is unknown.
    """

    speed_prob: float = 0.0
    speed: tuple[float, float] = (0.9, 1.1)  # times as fast, the pitch with it
    rir_prob: float = 0.0
    rir: Path | None = None  # manifest of room responses (`kind`: "rir")
    noise_prob: float = 0.0
    noise: Path | None = None  # manifest of noises (`kind`: "noise")
    snr_db: tuple[float, float] = (5.0, 25.0)  # active speech over noise
    gain_prob: float = 0.0
    gain_db: tuple[float, float] = (-20.0, 6.0)
    clip_prob: float = 0.0
    clip_db: tuple[float, float] = (1.0, 12.0)  # of the waveform's peak over full scale
    telephone_prob: float = 0.0
    codecs: str = "mulaw alaw"  # separated by spaces, each as likely: mulaw alaw g726 g723 amr g722 opus
    cache_mib: int = 256  # of noises and of rooms that are held in memory, each, in every loading process

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_prob") and not 0 <= value <= 1:
                raise _refused(field.name, value, "a probability from 0 to 1 is wanted")
        _check_range("speed", self.speed, *_SPEED_LIMITS)
        for name in ("snr_db", "gain_db"):
            _check_range(name, getattr(self, name), -_DECIBEL_LIMIT, _DECIBEL_LIMIT)
        _check_range("clip_db", self.clip_db, 0, _DECIBEL_LIMIT)
        for name in ("rir", "noise"):
            if getattr(self, f"{name}_prob") > 0 and getattr(self, name) is None:
                raise _refused(name, None, f"a manifest is wanted, because {name}_prob is above 0")
        if self.cache_mib < 1:
            raise _refused("cache_mib", self.cache_mib, "at least 1 MiB is wanted")
        unknown = [name for name in self.codecs.split() if name not in CODECS]
        if unknown or not self.codecs.split():
            raise _refused("codecs", self.codecs, f"some of {' '.join(CODECS)} are wanted")

    def shortest_seconds(self, seconds: float) -> float:
        """Return the length that an utterance of `seconds` has at the highest speed: labels must fit into it.

        A waveform never has fewer samples than this, rounded to a whole sample.
        """
        return seconds / max(1.0, self.speed[1]) if self.speed_prob else seconds

    def longest_seconds(self, seconds: float) -> float:
        """Return the length that an utterance of `seconds` has at the lowest speed: batches must hold it."""
        return seconds / min(1.0, self.speed[0]) if self.speed_prob else seconds


class Augmenter:
    """Applies a recipe. One for each loading process; it holds clips, and no random state."""

    def __init__(self, recipe: AugmentRecipe) -> None:
        """List the noises and rooms that the recipe needs; they are read when first drawn.

        Raises:
            ManifestError: a manifest cannot be read, or lists nothing that fits; names the line.
            RecipeError: the installed PyAV cannot encode one of the codecs.
        """
        self.recipe = recipe
        self._codecs = recipe.codecs.split()
        if recipe.telephone_prob and (missing := missing_codecs(self._codecs)):
            raise _refused("codecs", recipe.codecs, f"this PyAV cannot encode {' '.join(missing)}")
        max_bytes = recipe.cache_mib << 20
        self._rooms = ClipStore(recipe.rir, "rir", max_bytes) if recipe.rir and recipe.rir_prob else None
        self._noises = ClipStore(recipe.noise, "noise", max_bytes) if recipe.noise and recipe.noise_prob else None

    def __call__(self, waveform: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return one version of a waveform.

        Args:
            waveform: (samples,) float32 at 16 kHz, finite, about [-1, 1]; is not written to.
            rng: draws everything; the same state gives the same bits.

        Returns:
            (samples,) float32 at 16 kHz, finite; of another length only by speed, in [-1, 1] for certain only after
            clipping without a telephone. The same object where nothing was drawn.

        Raises:
            AudioError: a noise or a room cannot be read.
        """
        recipe = self.recipe
        if _happens(recipe.speed_prob, rng):
            waveform = change_speed(waveform, rng.uniform(*recipe.speed))
        if self._rooms and _happens(recipe.rir_prob, rng):
            waveform = reverberate(waveform, self._rooms.draw(rng))
        if self._noises and _happens(recipe.noise_prob, rng):
            noise = cut(self._noises.draw(rng), len(waveform), rng)
            waveform = add_noise(waveform, noise, rng.uniform(*recipe.snr_db))
        if _happens(recipe.gain_prob, rng):
            waveform = waveform * _amplitude(rng.uniform(*recipe.gain_db))
        if _happens(recipe.clip_prob, rng):
            waveform = overload(waveform, rng.uniform(*recipe.clip_db))
        if _happens(recipe.telephone_prob, rng):
            codec = self._codecs[rng.integers(len(self._codecs))]
            waveform = telephone(waveform, codec, int(rng.choice(CODECS[codec].bit_rates)))
        return waveform


def change_speed(waveform: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return a waveform `factor` times as fast, its pitch with it: (round(samples / factor),) float32."""
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(waveform, SAMPLE_RATE * factor, SAMPLE_RATE, quality="HQ")
    length = round(len(waveform) / factor)
    return np.pad(resampled[:length], (0, max(0, length - len(resampled))))  # soxr may round to the other side


def reverberate(waveform: NDArray[np.float32], response: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a waveform as it sounds in a room: as long and with as much energy, the direct sound where it was.

    The direct sound is the top of the first peak that comes within 6 dB of the strongest, which may be a reflection.
    What rings on after the end is cut off.

    Args:
        waveform: (samples,) float32.
        response: (taps,) float32, the room's answer to an impulse.
    """
    magnitudes = np.abs(response)
    direct = int(np.argmax(magnitudes >= magnitudes.max() / 2))
    while direct + 1 < len(response) and magnitudes[direct + 1] > magnitudes[direct]:
        direct += 1
    wet = convolve(waveform, response, direct)
    power = _power(wet)
    return wet * np.float32(np.sqrt(_power(waveform) / power)) if power > _SILENCE else waveform


def add_noise(waveform: NDArray[np.float32], noise: NDArray[np.float32], snr_db: float) -> NDArray[np.float32]:
    """Return a waveform with noise `snr_db` below its speech.

    Both levels are those of `active_level`: neither pauses in the speech nor pauses in the noise change the ratio where
    both sound. Silence on either side leaves the waveform as it is.

    Args:
        waveform: (samples,) float32.
        noise: (samples,) float32.
        snr_db: active speech level over active noise level.
    """
    speech_level, noise_level = active_level(waveform), active_level(noise)
    if speech_level < _SILENCE or noise_level < _SILENCE:
        return waveform
    return waveform + noise * (np.float32(np.sqrt(speech_level / noise_level)) * _amplitude(-snr_db))


def active_level(waveform: NDArray[np.float32]) -> float:
    """Return the mean square of the 20 ms frames that are within 30 dB of the loudest, of whole frames only."""
    if len(waveform) < _LEVEL_FRAME:
        return _power(waveform)
    # (samples,) -> (frames, 320) -> (frames,)
    frames = waveform[: len(waveform) // _LEVEL_FRAME * _LEVEL_FRAME].reshape(-1, _LEVEL_FRAME)
    powers = np.einsum("fs,fs->f", frames, frames) / _LEVEL_FRAME
    return float(np.mean(powers[powers >= _ACTIVE_SHARE * powers.max()], dtype=np.float64))


def cut(clip: NDArray[np.float32], length: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return `length` samples from a random place; a shorter clip is repeated, beginning anywhere in it."""
    if len(clip) >= length:
        start = int(rng.integers(len(clip) - length + 1))
        return clip[start : start + length]
    start = int(rng.integers(len(clip)))
    return np.resize(np.concatenate([clip[start:], clip[:start]]), length)


def overload(waveform: NDArray[np.float32], decibels: float) -> NDArray[np.float32]:
    """Return a waveform whose peak was brought `decibels` over full scale and cut off there: in [-1, 1].

    The distortion is the same for quiet and loud recordings; silence stays silence.
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak * peak < _SILENCE:
        return waveform
    clipped: NDArray[np.float32] = np.clip(waveform * np.float32(_amplitude(decibels) / peak), -1, 1)
    return clipped


def _happens(probability: float, rng: np.random.Generator) -> bool:
    return probability > 0 and rng.random() < probability


def _power(waveform: NDArray[np.float32]) -> float:
    # Not np.dot: BLAS may split the sum over threads, and then their number decides the last bit.
    return float(np.sum(np.square(waveform), dtype=np.float64)) / max(1, len(waveform))


def _amplitude(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _check_range(name: str, value: tuple[float, float], low: float, high: float) -> None:
    if not low <= value[0] <= value[1] <= high:
        raise _refused(name, list(value), f"two numbers from {low:g} to {high:g} are wanted, the smaller first")


def _refused(name: str, value: object, wanted: str) -> RecipeError:
    return RecipeError(f"augment.{name} is {value!r}; {wanted}")
