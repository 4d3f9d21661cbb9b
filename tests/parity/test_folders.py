"""Folders travel both ways: ours load in transformers, theirs in ours, bit for bit."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from tests.models import ARCHITECTURES, noise, tiny
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import load_ctc, save
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_our_folder_loads_in_transformers_with_equal_logits(tmp_path, architecture: str) -> None:
    ours = tiny(architecture)
    save(Description(ours.config, TOKENIZER), ours, tmp_path)
    theirs, report = transformers.AutoModelForCTC.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    _, again = load_ctc(tmp_path)
    mine, other = dict(again.named_parameters()), dict(theirs.named_parameters())
    for name, value in other.items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        assert torch.equal(mine[name.replace("parametrizations.weight.original1", "weight_v")], value)
    waveforms, _ = noise(16000)
    # The networks are not the same code: equal weights give logits that differ by rounding alone.
    torch.testing.assert_close(again(waveforms)[0], theirs.eval()(waveforms).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saving_and_loading_is_the_identity(tmp_path, architecture: str) -> None:
    ours = tiny(architecture)
    save(Description(ours.config, TOKENIZER), ours, tmp_path)
    description, again = load_ctc(tmp_path)
    assert description.config.to_dict() == ours.config.to_dict() | {"architectures": ["Wav2Vec2ForCTC"]}
    assert description.tokenizer.vocab == TOKENIZER.vocab
    for name, value in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    waveforms, lengths = noise(16000, 8000)
    assert torch.equal(again(waveforms, lengths)[0], ours(waveforms, lengths)[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_their_folder_loads_in_ours(tmp_path, architecture: str) -> None:
    torch.manual_seed(0)
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**ARCHITECTURES[architecture])).eval()
    theirs.save_pretrained(tmp_path)
    TOKENIZER.to_folder(tmp_path)
    _, ours = load_ctc(tmp_path)
    waveforms, _ = noise(16000)
    torch.testing.assert_close(ours(waveforms)[0], theirs(waveforms).logits, rtol=0, atol=1e-5)


def test_our_processor_loads_in_transformers(tmp_path) -> None:
    ours = tiny("large")
    save(Description(ours.config, TOKENIZER), ours, tmp_path)
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert processor.tokenizer.get_vocab() == TOKENIZER.vocab
    assert processor.feature_extractor.do_normalize
    assert processor.decode([5, 5, 0, 5, 4, 6]) == "aa b"


def test_unknown_keys_of_config_survive(tmp_path) -> None:
    ours = tiny("base")
    save(Description(ours.config, TOKENIZER), ours, tmp_path)
    path = tmp_path / "config.json"
    keys = json.loads(path.read_text()) | {"gradient_checkpointing": False, "made_by": {"somebody": [1, 2.5, None]}}
    path.write_text(json.dumps(keys))
    description, model = load_ctc(tmp_path)
    save(description, model, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == keys
