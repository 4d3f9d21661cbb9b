"""Utterances are read as the manifest says, once where they are kept."""

from __future__ import annotations

import numpy as np
import soundfile

from xlsr.data import loading
from xlsr.data.utterance import Utterance


def test_a_cached_loader_decodes_what_fits_once(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    utterances = []
    for name in ("a", "b"):
        wave = rng.uniform(-0.5, 0.5, 16_000).astype("float32")
        soundfile.write(tmp_path / f"{name}.wav", wave, 16_000, subtype="FLOAT")
        utterances.append(Utterance(tmp_path / f"{name}.wav", 1.0))
    read: list[str] = []
    plain = loading.load_utterance
    monkeypatch.setattr(loading, "load_utterance", lambda u: read.append(u.audio.name) or plain(u))
    load = loading.CachedLoader(max_bytes=100_000)  # room for one second of float32
    found = [load(utterance) for utterance in utterances * 3]
    assert read == ["a.wav", "b.wav", "b.wav", "b.wav"]
    for waveform, utterance in zip(found, utterances * 3, strict=True):
        assert np.array_equal(waveform, plain(utterance))
