"""Log-mel features against transformers' extractor, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
import transformers

from xlsr.config import Wav2Vec2Config
from xlsr.features import log_mel, log_mel_features


@pytest.fixture(scope="module")
def theirs():
    return transformers.SeamlessM4TFeatureExtractor(padding_value=1)


@pytest.mark.parametrize("samples", [880, 1040, 4000, 16000, 16100, 16159, 16160, 48000])
def test_features_equal_those_of_transformers(theirs, samples: int) -> None:
    waveform = (0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)
    out = theirs(waveform, sampling_rate=16000, return_tensors="np")
    valid = int(out["attention_mask"].sum())
    found = log_mel_features(waveform)
    assert found.dtype == np.float32
    assert len(found) == valid == Wav2Vec2Config.from_dict({"model_type": "wav2vec2-bert"}).num_frames(samples)
    # Theirs sums in fp32, ours in fp64.
    np.testing.assert_allclose(found, out["input_features"][0, :valid], rtol=0, atol=1e-4)


def test_features_of_a_loud_sweep_equal_those_of_transformers(theirs) -> None:
    t = np.arange(48000) / 16000
    waveform = (0.9 * np.sin(2 * np.pi * (50 + 1200 * t) * t) * np.hanning(48000)).astype(np.float32)
    out = theirs(waveform, sampling_rate=16000, return_tensors="np")
    found = log_mel_features(waveform)
    np.testing.assert_allclose(found, out["input_features"][0, : len(found)], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 0), (399, 0), (400, 0), (559, 0), (560, 1), (879, 1)])
def test_short_waveforms_have_whole_frames_only(samples: int, frames: int) -> None:
    assert log_mel_features(np.ones(samples, np.float32)).shape == (frames, 160)


def test_blocks_join_without_a_seam() -> None:
    waveform = np.random.default_rng(0).standard_normal(5000 * 160).astype(np.float32)
    whole, late = log_mel(waveform), log_mel(waveform[4000 * 160 :])
    np.testing.assert_array_equal(whole[4000:], late)


def test_silence_is_zero() -> None:
    # Nothing varies, so nothing is left after the mean; only rounding could show.
    assert np.abs(log_mel_features(np.zeros(16000, np.float32))).max() < 1e-6


def test_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 16000\); \(samples,\) is wanted"):
        log_mel_features(np.zeros((2, 16000), np.float32))
