"""Full-size networks: their numbers of parameters and tensors, and the largest that fits, against transformers."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from tests.models import CHECKPOINTS, STEMS
from xlsr.checkpoint.hf import _CLASSES, _spelt, build
from xlsr.config import Wav2Vec2Config

COUNTS = {  # facts of the reference that no configuration's own count covers
    ("wav2vec2-base", "ForCTC"): 94_396_320,
    ("wav2vec2-large-960h", "Model"): 315_428_992,
    ("wav2vec2-xls-r-1b", "Model"): 962_497_408,
    ("wav2vec2-xls-r-1b", "ForCTC"): 962_538_400,
    ("wav2vec2-xls-r-2b", "Model"): 2_159_259_648,
    ("wav2vec2-xls-r-2b", "ForCTC"): 2_159_321_120,
    ("wav2vec2-conformer-rel-pos-large", "Model"): 618_559_104,
    ("wav2vec2-conformer-rope-large", "Model"): 593_344_128,
    ("w2v-bert-2.0", "ForCTC"): 580_525_920,
}
TENSORS = {"wav2vec2-base": (211, 213, 218), "wav2vec2-large-xlsr-53": (422, 424, 429)}


def keys_of(reference, name: str) -> dict:
    return json.loads((reference / "configs" / f"{name}.json").read_text("utf-8"))


def skeleton(keys: dict, kind: str) -> torch.nn.Module:
    """A network without memory."""
    with torch.device("meta"):
        return _CLASSES[kind](Wav2Vec2Config.from_dict(keys))


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_public_checkpoints_have_their_number_of_parameters(reference, name: str) -> None:
    entry = keys_of(reference, name)
    stem = STEMS[entry["config"]["model_type"]]
    for label, wanted in entry["parameter_count"].items():
        if label.startswith(stem):
            assert count(skeleton(entry["config"], label.removeprefix(stem).partition("(")[0])) == wanted, label


@pytest.mark.parametrize(("name", "kind"), COUNTS)
def test_other_heads_have_their_number_of_parameters(reference, name: str, kind: str) -> None:
    keys = {"vocab_size": 32} | {key: value for key, value in keys_of(reference, name)["config"].items() if value}
    assert count(skeleton(keys, kind)) == COUNTS[name, kind]


def test_a_language_of_mms_has_its_number_of_parameters(reference) -> None:
    entry = keys_of(reference, "mms-1b-all")
    parts = skeleton(entry["config"], "ForCTC").named_parameters()
    sizes = [value.numel() for name, value in parts if "adapter_layer" in name or name.startswith("lm_head")]
    assert (len(sizes), sum(sizes)) == (290, entry["parameter_count"]["adapter_only(vocab 154)"])


@pytest.mark.parametrize("name", TENSORS)
def test_state_dicts_have_their_number_of_tensors(reference, name: str) -> None:
    keys = keys_of(reference, name)["config"]
    found = tuple(len(skeleton(keys, kind).state_dict()) for kind in ("Model", "ForCTC", "ForPreTraining"))
    assert found == TENSORS[name]


@pytest.mark.slow
@pytest.mark.xdist_group("memory")
@torch.no_grad()
def test_a_network_of_a_billion_parameters_equals_transformers(reference) -> None:
    keys = keys_of(reference, "mms-1b-all")["config"]
    with torch.device("meta"):
        theirs = transformers.Wav2Vec2ForCTC(transformers.AutoConfig.for_model(**keys))
    theirs.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in theirs.state_dict().items():
        # Norms about 1, the rest small enough that 48 layers keep their scale.
        is_norm = "norm" in name and name.endswith("weight")
        value.normal_(float(is_norm), 0.02 if value.ndim > 1 or is_norm else 0.01, generator=generator)
    # One copy of the 3.9 GB serves both.
    ours = build(Wav2Vec2Config.from_dict(keys), _spelt(theirs.state_dict()), source="the other network")
    assert ours.lm_head.weight.data_ptr() == theirs.lm_head.weight.data_ptr()
    assert count(ours) == 964_845_850
    waveforms = torch.randn(1, 8000, generator=generator)
    wanted = theirs(waveforms, output_hidden_states=True)
    found = ours.wav2vec2(waveforms)
    for mine, other in zip(found.states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ours.lm_head(found.hidden), wanted.logits, rtol=0, atol=1e-4)
