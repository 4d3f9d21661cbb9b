"""config.json of the three families: defaults, lengths, refusals, and nothing lost or added."""

from __future__ import annotations

import json

import pytest
import transformers

from tests.models import CHECKPOINTS
from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError

FAMILIES = ("wav2vec2", "wav2vec2-conformer", "wav2vec2-bert")


@pytest.mark.parametrize("family", FAMILIES)
def test_defaults_and_keys_are_those_of_transformers(family: str) -> None:
    theirs = transformers.AutoConfig.for_model(family).to_dict()
    ours = Wav2Vec2Config.from_dict({"model_type": family}).to_dict()
    derived = {"architectures", "output_hidden_size"}  # () for None, and None for hidden_size
    assert set(ours) <= set(theirs)
    assert {key: ours[key] for key in set(ours) - derived} == {
        key: list(theirs[key]) if isinstance(theirs[key], tuple) else theirs[key] for key in set(ours) - derived
    }


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_public_configurations_survive(reference, name: str) -> None:
    keys = json.loads((reference / "configs" / f"{name}.json").read_text("utf-8"))["config"]
    written = Wav2Vec2Config.from_dict(keys).to_dict()
    assert {key: written[key] for key in keys} == keys
    foreign = set(written) - set(keys) - set(transformers.AutoConfig.for_model(keys["model_type"]).to_dict())
    assert not foreign


def test_a_key_of_another_family_is_kept_and_counts_for_nothing() -> None:
    config = Wav2Vec2Config.from_dict({"model_type": "wav2vec2-bert", "conv_stride": [7], "do_stable_layer_norm": 3})
    assert config.to_dict()["conv_stride"] == [7]
    assert config.to_dict()["do_stable_layer_norm"] == 3
    assert config.hop_samples == 320


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frame_has_320_samples(family: str) -> None:
    config = Wav2Vec2Config.from_dict({"model_type": family})
    assert config.hop_samples == 320
    assert config.num_frames(config.field_samples - 1) == 0
    assert config.num_frames(config.field_samples) == 1
    assert config.num_frames(config.field_samples + 320) == 2
    assert config.field_samples == (560 if family == "wav2vec2-bert" else 400)


def test_an_adapter_thins_frames() -> None:
    config = Wav2Vec2Config.from_dict({"add_adapter": True, "num_adapter_layers": 3})
    assert (config.thinning, config.hop_samples) == (8, 2560)
    assert [config.num_output_frames(n) for n in (0, 1, 8, 9, 49)] == [0, 1, 1, 2, 7]
    assert config.num_frames(16000) == 7
    assert config.num_encoder_frames(16000) == 49


def test_labels_are_those_of_id2label() -> None:
    named = Wav2Vec2Config.from_dict({"id2label": {"10": "k", "0": "eng", "2": "deu", "1": "fra"}})
    assert named.labels == ("eng", "fra", "deu", "k")
    assert Wav2Vec2Config().labels == ("LABEL_0", "LABEL_1")
    assert len(Wav2Vec2Config.from_dict({"num_labels": 5}).labels) == 5


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model_type": "hubert"}, "model_type is 'hubert'"),
        (
            {"model_type": "wav2vec2-conformer", "position_embeddings_type": "relative_key"},
            "position_embeddings_type of",
        ),
        ({"model_type": "wav2vec2-bert", "conv_depthwise_kernel_size": 4}, "an odd size is wanted"),
        ({"model_type": "wav2vec2-bert", "use_intermediate_ffn_before_adapter": True}, "there is no adapter"),
        ({"model_type": "wav2vec2-bert", "add_adapter": True, "output_hidden_size": 1000}, "not a multiple of num_att"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ({"adapter_attn_dim": 0}, "adapter_attn_dim is 0"),
        ({"adapter_attn_dim": "16"}, "adapter_attn_dim is '16'"),
        ({"vocab_size": 8, "pad_token_id": 8}, "CTC blank"),
        ({"num_adapter_layers": -1}, "num_adapter_layers is -1"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(keys: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Wav2Vec2Config.from_dict(keys)
