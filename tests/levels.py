"""A recording whose tokens are its levels, and an engine that reads them: what was said is known to the frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.models import LARGE, TINY
from xlsr.audio import FIELD_SAMPLES, HOP_SAMPLES, num_frames
from xlsr.checkpoint.folder import Description
from xlsr.config import Wav2Vec2Config
from xlsr.recognizer import Recognizer
from xlsr.tokenizer import Tokenizer

BLANK, DELIMITER = 0, 4
SYMBOLS = ["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"]


class LevelEngine:
    """Reads tokens off levels. Near the edges of a window it hears wrongly, and windows may place all a bit elsewhere.

    Args:
        edge_frames: at either end of a window whose tokens are wrong, as if the network lacked context; the ends of a
            recording are no exception, so leave silence there.
        jitter_frames: a window's tokens come at most so many frames early or late.
    """

    name = "levels"

    def __init__(self, edge_frames: int = 0, jitter_frames: int = 0) -> None:
        self.edge_frames, self.jitter_frames = edge_frames, jitter_frames
        self.longest = 0  # samples

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._row(waveform) for waveform in waveforms]

    def _row(self, waveform: np.ndarray) -> np.ndarray:
        self.longest = max(self.longest, len(waveform))
        frames = num_frames(len(waveform))
        ids = np.rint(10 * waveform[160 : 160 + frames * HOP_SAMPLES : HOP_SAMPLES]).astype(int)[:frames]
        rng = np.random.default_rng(len(waveform) + int(1e3 * np.abs(waveform).sum()))
        ids = np.roll(ids, rng.integers(-self.jitter_frames, self.jitter_frames + 1))
        if self.edge_frames:
            for edge in (slice(None, self.edge_frames), slice(-self.edge_frames, None)):
                ids[edge] = rng.integers(0, len(SYMBOLS), len(ids[edge]))
        rows = np.full((frames, len(SYMBOLS)), 0.1 / (len(SYMBOLS) - 1), np.float32)
        rows[np.arange(frames), ids] = 0.9
        return np.log(rows)


def level_recognizer(engine: LevelEngine, symbols: Sequence[str] = SYMBOLS, **options) -> Recognizer:
    config = Wav2Vec2Config.from_dict(TINY | LARGE)
    return Recognizer(engine, Description(config, Tokenizer.from_symbols(list(symbols), **options)))


def waveform_of(ids: Sequence[int]) -> np.ndarray:
    """Samples whose frames have these tokens as levels."""
    return np.append(
        np.repeat(np.array(ids, np.float32) / 10, HOP_SAMPLES), np.zeros(FIELD_SAMPLES - HOP_SAMPLES)
    ).astype(np.float32)


def spoken(words: Sequence[str], rng: np.random.Generator, *, pause_frames: tuple[int, int] = (6, 60)) -> list[int]:
    """Tokens of frames that say words: letters of one to three frames, blanks between, delimiters between words."""
    ids = [BLANK] * 40 + [DELIMITER] + [BLANK] * 10
    for word in words:
        for letter in word:
            ids += [SYMBOLS.index(letter)] * rng.integers(1, 4) + [BLANK] * rng.integers(1, 3)
        pause = rng.integers(*pause_frames)
        ids += [BLANK] * (pause // 2) + [DELIMITER] + [BLANK] * (pause - pause // 2)
    return ids + [BLANK] * 40


def random_words(rng: np.random.Generator, count: int) -> list[str]:
    return ["".join(rng.choice(list("abc"), rng.integers(1, 5))) for _ in range(count)]
