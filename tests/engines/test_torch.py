"""The torch engine over every family: the same border, whatever the network takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from tests.models import ARCHITECTURES, MORE, transformers_model
from xlsr.checkpoint.hf import load_ctc
from xlsr.config import Wav2Vec2Config
from xlsr.engines.inputs import batch_inputs
from xlsr.engines.torch import TorchEngine
from xlsr.errors import ConfigError

KEYS = ARCHITECTURES | MORE
NAMES = ("base", "large", "conformer-rotary", "bert", "bert-thinned", "large-thinned")


def waveforms(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(size) + 0.02).astype(np.float32) for size in sizes]


@pytest.fixture(params=NAMES)
def engine(request, tmp_path) -> TorchEngine:
    transformers_model(KEYS[request.param], "ForCTC").save_pretrained(tmp_path)
    return TorchEngine(load_ctc(tmp_path)[1])


def test_the_result_does_not_depend_on_the_batch(engine) -> None:
    together = waveforms(16000, 9123, 600)
    for row, waveform in zip(engine.log_probs(together), together, strict=True):
        np.testing.assert_allclose(row, engine.log_probs([waveform])[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.exp(row).sum(-1), 1, rtol=0, atol=1e-5)


def test_there_are_50_frames_a_second(engine) -> None:
    config = engine.model.config
    for size in (600, 4000, 16000, 16100):
        (row,) = engine.log_probs(waveforms(size))
        assert len(row) == config.num_encoder_frames(size) in (size // 320 - 1, size // 320)


def test_what_is_too_short_has_no_frames(engine) -> None:
    size = engine.model.config.field_samples - 1
    assert [row.shape for row in engine.log_probs(waveforms(size))] == [(0, 8)]
    assert len(engine.log_probs(waveforms(size, 16000))[0]) == 0
    assert engine.log_probs([]) == []


@pytest.mark.parametrize("name", ["large", "bert"])
def test_log_probs_equal_those_of_transformers_with_its_processor(name: str, tmp_path) -> None:
    theirs = transformers_model(KEYS[name], "ForCTC")
    theirs.save_pretrained(tmp_path)
    bert = name == "bert"
    extractor = (
        transformers.SeamlessM4TFeatureExtractor(padding_value=1) if bert
        else transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    )  # fmt: skip
    batch = waveforms(16000, 9100)
    inputs = extractor(batch, sampling_rate=16000, return_tensors="pt", padding=True)
    with torch.no_grad():
        wanted = theirs(**inputs).logits.log_softmax(-1).numpy()
    for row, other in zip(TorchEngine(load_ctc(tmp_path)[1]).log_probs(batch), wanted, strict=True):
        np.testing.assert_allclose(row, other[: len(row)], rtol=0, atol=1e-4)


def test_thinned_frames_are_repeated(tmp_path) -> None:
    transformers_model(KEYS["large-thinned"], "ForCTC").save_pretrained(tmp_path)
    engine = TorchEngine(load_ctc(tmp_path)[1])
    (row,) = engine.log_probs(waveforms(16000))
    np.testing.assert_array_equal(row[0], row[3])
    assert not np.array_equal(row[3], row[4])


def test_features_of_another_size_are_refused() -> None:
    config = Wav2Vec2Config.from_dict({"model_type": "wav2vec2-bert", "feature_projection_input_dim": 80})
    with pytest.raises(ConfigError, match="feature_projection_input_dim is 80"):
        batch_inputs(waveforms(16000), config, normalizes=True)
