"""torchaudio's files come in as the network that they were written from; what shapes cannot say is what is released."""

from __future__ import annotations

import json

import pytest
import torch

from tests.models import ARCHITECTURES, noise, tiny
from xlsr.checkpoint.fairseq import is_fairseq
from xlsr.checkpoint.hf import build_ctc
from xlsr.checkpoint.keymap import TORCHAUDIO
from xlsr.checkpoint.torchaudio import is_torchaudio, read_torchaudio
from xlsr.errors import CheckpointError, ConfigError

WIDE = {"hidden_size": 128, "num_attention_heads": 2}
SAME = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size conv_dim conv_kernel conv_stride conv_bias "
    "feat_extract_norm do_stable_layer_norm num_conv_pos_embeddings num_conv_pos_embedding_groups vocab_size"
).split()


def names(model, *, aux: str = "aux.", prefix: str = "", new_spelling: bool = False) -> dict[str, torch.Tensor]:
    """A network's tensors under torchaudio's names."""
    found = {}
    for name, value in model.state_dict().items():
        if name == "wav2vec2.masked_spec_embed":
            continue
        theirs = TORCHAUDIO.from_hf(name)
        assert theirs is not None, name
        theirs = aux + theirs.removeprefix("aux.") if theirs.startswith("aux.") else theirs
        if new_spelling:
            theirs = theirs.replace("weight_g", "parametrizations.weight.original0")
            theirs = theirs.replace("weight_v", "parametrizations.weight.original1")
        found[prefix + theirs] = value
    return found


FORMS = {
    "plain": {}, "readout": {"aux": "encoder.readout."}, "wrapped": {"prefix": "model."},
    "new weight norm": {"new_spelling": True}, "wrapped readout": {"aux": "encoder.readout.", "prefix": "model."},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_a_file_gives_the_logits_of_its_model(tmp_path, architecture: str, form: str) -> None:
    source = tiny(architecture, **WIDE)
    path = tmp_path / "model.pth"
    torch.save(names(source, **FORMS[form]), path, _use_new_zipfile_serialization=form != "readout")  # old ones
    assert is_torchaudio(path)
    assert not is_fairseq(path)
    found = read_torchaudio(path)
    assert found.format == "torchaudio"
    assert {key: getattr(found.config, key) for key in SAME} == {key: getattr(source.config, key) for key in SAME}
    assert found.normalizes is (architecture == "large" or "wrapped" in form)
    assert found.tokenizer is None
    model = build_ctc(found.config, found.weights, source=str(path))
    waveforms, lengths = noise(16000, 9000)
    # The same tensors in the same network: anything but rounding of a reordered sum would be a wrong name.
    torch.testing.assert_close(model(waveforms, lengths)[0], source(waveforms, lengths)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", ["base", "large"])
def test_the_table_knows_every_tensor_of_the_released_models(reference, model: str) -> None:
    rows = json.loads((reference / f"configs/keymap_{model}.json").read_text())["rows"]
    rows = [row for row in rows if row.get("torchaudio")]
    for row in rows:
        assert TORCHAUDIO.to_hf(row["torchaudio"]) == row["hf_ctc"]
        assert TORCHAUDIO.from_hf(row["hf_ctc"]) == row["torchaudio"]
    assert len(rows) == {"base": 212, "large": 423}[model]


@pytest.mark.parametrize(("hidden", "heads"), [(128, 2), (768, 12), (1024, 16), (1280, 16), (1920, 16)])
def test_heads_are_those_of_the_released_models(tmp_path, hidden: int, heads: int) -> None:
    source = tiny("large", num_hidden_layers=1, hidden_size=hidden, num_conv_pos_embedding_groups=16)
    torch.save(names(source), tmp_path / "model.pth")
    assert read_torchaudio(tmp_path / "model.pth").config.num_attention_heads == heads


def test_heads_can_be_given(tmp_path) -> None:
    torch.save(names(tiny("large")), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="heads of 64 channels do not fit 32; give num_attention_heads"):
        read_torchaudio(tmp_path / "model.pth")
    assert read_torchaudio(tmp_path / "model.pth", num_attention_heads=4).config.num_attention_heads == 4
    with pytest.raises(ConfigError, match="not a multiple"):
        read_torchaudio(tmp_path / "model.pth", num_attention_heads=5)


def test_a_head_of_29_rows_has_the_labels_of_the_pipelines(tmp_path) -> None:
    torch.save(names(tiny("base", **WIDE, vocab_size=29)), tmp_path / "model.pth")
    found = read_torchaudio(tmp_path / "model.pth")
    tokenizer = found.tokenizer
    assert (tokenizer.size, tokenizer.blank_id, tokenizer.unk_id, tokenizer.word_delimiter) == (29, 0, None, "|")
    assert [tokenizer.symbol(id) for id in (1, 2, 24, 28)] == ["|", "E", "'", "Z"]
    assert tokenizer.decode([8, 8, 2, 0, 12, 12, 0, 12, 5]) == "HELLO"
    assert (found.config.pad_token_id, found.config.bos_token_id, found.config.eos_token_id) == (0, None, None)


def test_a_head_of_32_rows_has_the_letter_vocabulary(tmp_path, reference) -> None:
    torch.save(names(tiny("base", **WIDE, vocab_size=32)), tmp_path / "model.pth")
    found = read_torchaudio(tmp_path / "model.pth")
    wanted = json.loads((reference / "configs/vocab_base_960h.json").read_text())
    assert found.tokenizer.vocab == wanted.get("vocab", wanted)
    assert (found.config.pad_token_id, found.config.bos_token_id, found.config.eos_token_id) == (0, 1, 2)


def test_a_pretrained_file_gives_its_encoder(tmp_path) -> None:
    source = tiny("large", **WIDE)
    tensors = {name: value for name, value in names(source).items() if not name.startswith("aux.")}
    torch.save(tensors, tmp_path / "model.pth")
    found = read_torchaudio(tmp_path / "model.pth")
    assert found.config.architectures == ("Wav2Vec2Model",)
    assert found.tokenizer is None
    assert found.weights.keys() == source.state_dict().keys() - {
        "wav2vec2.masked_spec_embed", "lm_head.weight", "lm_head.bias",
    }  # fmt: skip
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in found.weights.items())


def test_unknown_tensors_are_refused_by_name(tmp_path) -> None:
    tensors = names(tiny("base", **WIDE)) | {
        "encoder.transformer.layers.0.attention.rel_attn_embed.weight": torch.ones(2)
    }
    torch.save(tensors, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"1 tensors .*rel_attn_embed.*another architecture of torchaudio"):
        read_torchaudio(tmp_path / "model.pth")


@pytest.mark.parametrize("state", [{}, [1], {"a": torch.ones(2)}, {"feature_extractor.conv_layers.0.conv.weight": 1}])
def test_other_files_of_torch_are_not_torchaudios(tmp_path, state: object) -> None:
    torch.save(state, tmp_path / "model.pth")
    assert not is_torchaudio(tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="is no state dictionary of torchaudio"):
        read_torchaudio(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("encoder.transformer.pos_conv_embed.conv.weight_v", None, "weight_v should have 3 dimensions"),
        ("encoder.transformer.pos_conv_embed.conv.weight_v", torch.ones(128, 5, 16), "impossible shape"),
        ("feature_extractor.conv_layers.6.conv.weight", None, "has 6 convolutions"),
        ("feature_extractor.conv_layers.3.conv.weight", torch.ones(3), "conv.weight should have 3 dimensions"),
        ("aux.weight", torch.ones(3), "aux.weight should have 2 dimensions"),
        ("encoder.transformer.layers.99999.attention.q_proj.weight", torch.ones(2, 2), None),
    ],
)
def test_shapes_that_contradict_each_other_are_refused(tmp_path, name: str, value, message: str | None) -> None:
    tensors = names(tiny("base", **WIDE))
    tensors.pop(name, None)
    torch.save(tensors | ({} if value is None else {name: value}), tmp_path / "model.pth")
    if message is None:  # the names are the table's; that layers are missing shows in building
        found = read_torchaudio(tmp_path / "model.pth")
        with pytest.raises(CheckpointError, match="1 unknown to the network"):
            build_ctc(found.config, found.weights, source="model.pth")
    else:
        with pytest.raises(CheckpointError, match=message):
            read_torchaudio(tmp_path / "model.pth")
