"""One entry for every kind of file: recognised by content, imported as a folder, reported."""

from __future__ import annotations

import shutil

import pytest
import torch
import transformers

import xlsr
from tests.bundles import theirs, write_bundle, write_flax, write_h5
from tests.checkpoint import fairseq_files
from tests.checkpoint.test_torchaudio import WIDE, names
from tests.models import noise, tiny
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import save
from xlsr.checkpoint.load import import_model, load_checkpoint
from xlsr.errors import CheckpointError
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A"])
FORMATS = ("huggingface", "fairseq", "torchaudio", "saved_model", "h5", "flax")


def write(format: str, folder, model: Wav2Vec2ForCTC):
    """A file or folder of a format; config.json and vocab.json lie beside what does not hold them."""
    if format == "huggingface":
        save(Description(model.config, TOKENIZER), model, folder)
        return folder
    model.config.to_json(folder / "config.json")
    TOKENIZER.to_folder(folder)
    if format == "fairseq":
        path = folder / "model.pt"
        fairseq_files.write(path, model, "args")
        return path
    if format == "torchaudio":
        torch.save(names(model), folder / "model.pth")
        return folder / "model.pth"
    if format == "flax":
        return write_flax(folder / "flax_model.msgpack", theirs(model.state_dict(), "flax"))
    if format == "h5":
        return write_h5(folder / "tf_model.h5", theirs(model.state_dict(), "transformers"))
    return write_bundle(folder, theirs(model.state_dict(), "tfhub"))


@pytest.fixture(params=FORMATS)
def case(request, tmp_path):
    model = tiny("large", **WIDE)
    (tmp_path / "source").mkdir()
    return write(request.param, tmp_path / "source", model), model, tmp_path / "out"


def parameters(source, model: Wav2Vec2ForCTC) -> int:
    """Numbers in a source; torchaudio's networks have no mask embedding."""
    return sum(p.numel() for p in model.parameters()) - (source.suffix == ".pth") * model.config.hidden_size


@torch.no_grad()
def test_every_format_is_recognised_and_imports_to_equal_logits(case) -> None:
    source, model, out = case
    report = import_model(source, out)
    waveforms, lengths = noise(16000, 9000)
    wanted = model(waveforms, lengths)[0]
    found = load_checkpoint(out).network
    torch.testing.assert_close(found(waveforms, lengths)[0][0], wanted[0], rtol=0, atol=1e-6)
    other = transformers.AutoModelForCTC.from_pretrained(out).eval()
    torch.testing.assert_close(other(waveforms[:1]).logits[0], wanted[0], rtol=0, atol=1e-5)
    assert report.parameters == parameters(source, model)
    assert report.dtypes == ("float32",)
    assert not report.created


def test_every_format_transcribes_as_it_is(case) -> None:
    source, model, _ = case
    recognizer = xlsr.load_model(source, engine="torch")
    log_probs = recognizer.log_probs(noise(16000)[0][0].numpy())
    assert log_probs.shape == (49, 8)
    assert recognizer.tokenizer.vocab == TOKENIZER.vocab
    assert torch.equal(recognizer.engine.model.lm_head.weight, model.lm_head.weight)


def test_info_reports_every_format(case) -> None:
    source, model, _ = case
    described = str(xlsr.info(source))
    assert f"{parameters(source, model):,}" in described
    assert "problems     none" in described


def test_an_encoder_gets_a_head_only_when_asked(tmp_path) -> None:
    model = tiny("large").wav2vec2
    save(Description(model.config), model, tmp_path / "encoder")
    with pytest.raises(CheckpointError, match="without a CTC head"):
        xlsr.load_model(tmp_path / "encoder", engine="torch")
    with pytest.raises(CheckpointError, match="needs a vocabulary"):
        load_checkpoint(tmp_path / "encoder", head="ctc")
    TOKENIZER.to_folder(tmp_path / "vocabulary")
    report = import_model(tmp_path / "encoder", tmp_path / "out", head="ctc", vocabulary=tmp_path / "vocabulary")
    assert report.created == ("lm_head.weight", "lm_head.bias")
    assert "created afresh, to be trained: lm_head.weight" in str(report)
    loaded = load_checkpoint(tmp_path / "out")
    assert isinstance(loaded.network, Wav2Vec2ForCTC)
    assert loaded.network.lm_head.out_features == 8
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.network.wav2vec2.state_dict()[name], value)
    with pytest.raises(CheckpointError, match="has a CTC head"):
        load_checkpoint(tmp_path / "out", head="ctc", vocabulary=tmp_path / "vocabulary")


def test_an_import_keeps_the_card_and_overwrites_nothing(tmp_path, tiny_folder) -> None:
    shutil.copytree(tiny_folder, tmp_path / "source")
    (tmp_path / "source" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# A model")
    import_model(tmp_path / "source", tmp_path / "out")
    assert "cc-by-nc-4.0" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(CheckpointError, match="holds a model already"):
        import_model(tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(tmp_path, content: bytes) -> None:
    (tmp_path / "file.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"file\.bin"):
        load_checkpoint(tmp_path / "file.bin")


def test_an_empty_folder_says_what_was_looked_for(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"variables/variables\.index"):
        load_checkpoint(tmp_path)
