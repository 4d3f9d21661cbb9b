"""Languages of a model with attention adapters (MMS): switched exactly as transformers does."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import xlsr
from tests.models import ARCHITECTURES, MORE, inputs_for, transformers_model
from xlsr.checkpoint.hf import load_adapter, load_ctc, save
from xlsr.checkpoint.load import import_model, load_checkpoint
from xlsr.errors import CheckpointError, ExportError, TokenizerError

SYMBOLS = ["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"]
VOCABULARIES = {
    "eng": {symbol: index for index, symbol in enumerate(SYMBOLS)},
    "fra": {symbol: index for index, symbol in enumerate([*SYMBOLS, "é", "ç", "à"])},
    "azj-script_latin": {symbol: index for index, symbol in enumerate(SYMBOLS[:6])},
    "deu": {symbol: index for index, symbol in enumerate(SYMBOLS)},
}


@pytest.fixture
def folder(tmp_path):
    """A model that speaks English, with adapters of three languages beside it and one that is missing."""
    model = transformers_model(MORE["mms"], "ForCTC")
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(VOCABULARIES, ensure_ascii=False))
    settings = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "unk_token": "<unk>",
                "word_delimiter_token": "|", "target_lang": "eng"}  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    for seed, (language, vocabulary) in enumerate(VOCABULARIES.items(), start=5):
        spoken = transformers_model(MORE["mms"], "ForCTC", seed=seed, vocab_size=len(vocabulary))
        tensors = {name: value.detach() for name, value in spoken._get_adapters().items()}
        if language == "fra":
            torch.save(tensors, tmp_path / f"adapter.{language}.bin")
        elif language != "deu":
            save_file(tensors, tmp_path / f"adapter.{language}.safetensors")
    return tmp_path


@pytest.mark.parametrize("language", ["eng", "fra", "azj-script_latin"])
def test_a_language_gives_the_logits_of_transformers(folder, language: str) -> None:
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(folder)
    theirs.load_adapter(language)
    waveforms, _ = inputs_for(MORE["mms"], 16000)
    with torch.no_grad():
        wanted = theirs.eval()(waveforms).logits
        description, ours = load_ctc(folder, language=language)
        found, _ = ours(waveforms)
    assert found.shape[-1] == len(VOCABULARIES[language]) == description.config.vocab_size == ours.config.vocab_size
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    assert description.tokenizer.language == language
    assert description.tokenizer.vocab == VOCABULARIES[language]


def test_languages_can_be_switched_in_place(folder) -> None:
    waveforms, _ = inputs_for(MORE["mms"], 16000)
    description, model = load_ctc(folder, language="eng")
    with torch.no_grad():
        first = model(waveforms)[0]
        description = load_adapter(description, model, "fra")
        assert model(waveforms)[0].shape[-1] == 11
        description = load_adapter(description, model, "eng")
        assert torch.equal(model(waveforms)[0], first)
    assert description.tokenizer.language == "eng"


def test_a_saved_language_stays(folder) -> None:
    description, model = load_ctc(folder, language="fra")
    save(description, model, folder / "french")
    again, loaded = load_ctc(folder / "french")
    assert again.tokenizer.language == "fra"
    assert torch.equal(loaded.lm_head.weight, load_ctc(folder, language="fra")[1].lm_head.weight)


def test_a_language_without_a_file_is_an_error_with_near_names(folder) -> None:
    with pytest.raises(
        CheckpointError, match=r"no adapter\.deu\.safetensors or \.bin .* there are azj-scr.*, eng, fra"
    ):
        load_ctc(folder, language="deu")
    description, model = load_ctc(folder)
    with pytest.raises(CheckpointError, match=r"near names are azj-script_latin"):
        load_adapter(description, model, "azj-script")
    with pytest.raises(TokenizerError, match="language 'azj' is not among the 4"):
        load_ctc(folder, language="azj")


@pytest.mark.parametrize("language", ["../eng", "eng.safetensors", "", "*", "e?g"])
def test_a_language_is_no_path_and_no_pattern(folder, language: str) -> None:
    description, model = load_ctc(folder)
    with pytest.raises(CheckpointError, match="has no adapter"):
        load_adapter(description, model, language)


def test_every_tensor_of_an_adapter_is_needed(folder) -> None:
    path = folder / "adapter.eng.safetensors"
    tensors = load_file(path)
    assert len(tensors) == 2 * 6 + 2
    for name, value in tensors.items():
        rest = {key: tensor for key, tensor in tensors.items() if key != name}
        for broken in (rest, rest | {name + "_2": value}, rest | {name: torch.zeros(3, 5, 7)}):
            save_file(broken, path)
            description, model = load_ctc(folder)
            before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
            with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
                load_adapter(description, model, "eng")
            assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_head_smaller_than_the_vocabulary_is_an_error(folder) -> None:
    (folder / "adapter.eng.safetensors").rename(folder / "adapter.fra.safetensors")
    with pytest.raises(CheckpointError, match="has 8 classes; the vocabulary of 'fra' has 11 symbols"):
        load_ctc(folder, language="fra")


def test_a_model_without_adapters_has_no_languages(tmp_path) -> None:
    transformers_model(ARCHITECTURES["large"], "ForCTC").save_pretrained(tmp_path)
    description, model = load_ctc(tmp_path)
    with pytest.raises(CheckpointError, match="has no adapters"):
        load_adapter(description, model, "eng")


def test_an_import_keeps_the_languages(folder, tmp_path) -> None:
    import_model(folder, tmp_path / "all")
    import_model(folder, tmp_path / "french", language="fra")
    wanted = load_checkpoint(folder, language="fra")
    for out in ("all", "french"):
        found = load_checkpoint(tmp_path / out, language="fra")
        assert found.description.tokenizer_language == "fra"
        for name, value in wanted.network.state_dict().items():
            assert torch.equal(found.network.state_dict()[name], value), name
    with pytest.raises(CheckpointError, match="deu"):
        load_checkpoint(tmp_path / "french", language="deu")


def test_a_graph_speaks_one_language_and_says_which(folder, tmp_path) -> None:
    with warnings.catch_warnings():  # torch's exporter warns of its own parts
        warnings.simplefilter("ignore")
        xlsr.export_model("openvino", folder, tmp_path / "out", language="fra")
        with pytest.raises(ExportError, match="a folder of its own"):
            xlsr.export_model("openvino", folder, folder, language="fra")
    assert xlsr.load_model(tmp_path / "out", language="fra").language == "fra"
    with pytest.raises(CheckpointError, match="exported for fra, not for eng"):
        xlsr.load_model(tmp_path / "out", language="eng")
