"""fairseq's files come in as the network that they were written from, in every container, and as nothing else."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from tests.checkpoint.archives import zipped
from tests.checkpoint.fairseq_files import HEADS, LETTERS, PREFIX, heads, write
from tests.models import ARCHITECTURES, noise, tiny
from xlsr.checkpoint.fairseq import is_fairseq, read_dictionary, read_fairseq
from xlsr.checkpoint.hf import build_ctc
from xlsr.checkpoint.keymap import FAIRSEQ, FAIRSEQ_CONFORMER, FAIRSEQ_GROUP, KeyMap
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError, ConfigError, XlsrError

CONTAINERS = ("args", "cfg", "omegaconf")
# Read from files rather than told by them, or not told by fairseq at all.
SAME = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size conv_dim conv_kernel conv_stride conv_bias "
    "feat_extract_norm do_stable_layer_norm num_conv_pos_embeddings num_conv_pos_embedding_groups vocab_size"
).split()


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_a_finetuned_file_gives_the_logits_of_its_model(tmp_path, architecture: str, container: str, is_zip) -> None:
    source = tiny(architecture)
    path = write(tmp_path / "model.pt", source, container, is_zip=is_zip)
    assert is_fairseq(path)
    found = read_fairseq(path)
    assert found.format == "fairseq"
    assert {key: getattr(found.config, key) for key in SAME} == {key: getattr(source.config, key) for key in SAME}
    model = build_ctc(found.config, found.weights, source=str(path))
    waveforms, lengths = noise(16000, 9000)
    # The same tensors in the same network: anything but rounding of a reordered sum would be a wrong name.
    torch.testing.assert_close(model(waveforms, lengths)[0], source(waveforms, lengths)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("container", CONTAINERS)
def test_options_of_fine_tuning_go_before_those_of_the_encoder(tmp_path, container: str) -> None:
    found = read_fairseq(write(tmp_path / "model.pt", tiny("large"), container))
    config = found.config
    assert (config.final_dropout, config.layerdrop, config.mask_time_prob) == (0.2, 0.1, 0.25)
    assert (config.feat_proj_dropout, config.proj_codevector_dim, config.codevector_dim) == (0.1, 24, 24)
    assert config.apply_spec_augment
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 1, 2)
    assert config.architectures == ("Wav2Vec2ForCTC",)
    assert found.normalizes  # of the fine-tuning task; the encoder's says otherwise


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_pretrained_file_gives_its_encoder_and_heads(tmp_path, architecture: str, container: str) -> None:
    source = tiny(architecture)
    path = write(tmp_path / "model.pt", source, container, is_finetuned=False, mask_prob=0.5)
    found = read_fairseq(path)
    wanted = {name: value for name, value in source.state_dict().items() if not name.startswith("lm_head.")}
    wanted |= dict(zip(HEADS.values(), heads(source.config), strict=True))
    assert found.weights.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found.weights[name], value), name
    assert found.config.architectures == ("Wav2Vec2ForPreTraining",)
    assert (found.config.layerdrop, found.config.mask_time_prob, found.tokenizer) == (0.05, 0.5, None)
    assert found.unused == {}
    assert found.normalizes


def test_options_that_older_files_lack_have_fairseqs_defaults(tmp_path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"args": {"arch": "wav2vec2"}, "model": {}}, path)
    config = read_fairseq(path).config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (768, 12, 12)
    assert config.conv_kernel == (10, 3, 3, 3, 3, 2, 2)
    assert (config.feat_extract_norm, config.do_stable_layer_norm, config.conv_bias) == ("group", False, False)
    assert not read_fairseq(path).normalizes


def test_tensors_that_no_network_has_are_unused_by_name(tmp_path) -> None:
    state = {"cfg": {"model": {}, "task": {}}, "model": {"target_glu.0.weight": torch.ones(2), "_ema": None}}
    torch.save(state, tmp_path / "model.pt")
    found = read_fairseq(tmp_path / "model.pt")
    assert list(found.unused) == ["target_glu.0.weight"]
    assert "pre-training" in found.unused["target_glu.0.weight"]
    assert found.weights == {}


@pytest.mark.parametrize("name", ["encoder.layers.0.other.weight", "decoder.layers.0.fc1.weight", "encoder.layer_norm"])
def test_unknown_tensors_are_refused_by_name(tmp_path, name: str) -> None:
    torch.save({"args": {"arch": "x"}, "model": {name: torch.ones(2)}}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=f"1 tensors that a wav2vec 2.0 network has not: '{name}'"):
        read_fairseq(tmp_path / "model.pt")


def test_a_missing_tensor_is_refused_by_name(tmp_path) -> None:
    found = read_fairseq(write(tmp_path / "model.pt", tiny("base"), "args"))
    del found.weights["wav2vec2.encoder.layer_norm.bias"]
    with pytest.raises(CheckpointError, match=r"1 missing in the file: wav2vec2.encoder.layer_norm.bias"):
        build_ctc(found.config, found.weights, source="model.pt")


@torch.no_grad()
def test_a_projection_that_fairseq_left_out_is_the_identity(tmp_path) -> None:
    source = tiny("large", conv_dim=[32] * 7)
    source.wav2vec2.feature_projection.projection.weight.copy_(torch.eye(32))
    source.wav2vec2.feature_projection.projection.bias.zero_()
    whole = read_fairseq(write(tmp_path / "whole.pt", source, "cfg"))
    state = {"cfg": {"model": {"encoder_embed_dim": 32, "extractor_mode": "layer_norm", "encoder_layers": 0}}}
    state["cfg"]["model"] |= {"conv_feature_layers": "[(32, 10, 5)]", "encoder_attention_heads": 4}
    torch.save(state | {"model": {"mask_emb": torch.ones(32)}}, tmp_path / "model.pt")
    found = read_fairseq(tmp_path / "model.pt")
    for part in ("weight", "bias"):
        name = f"wav2vec2.feature_projection.projection.{part}"
        assert torch.equal(found.weights[name], whole.weights[name])


@pytest.mark.parametrize("model", ["base", "large"])
def test_the_tables_know_every_tensor_of_the_released_models(reference, model: str) -> None:
    table = FAIRSEQ_GROUP if model == "base" else FAIRSEQ
    rows = json.loads((reference / f"configs/keymap_{model}.json").read_text())["rows"]
    pairs = 0
    for row in rows:
        ours = row.get("hf_ctc") or row["hf_pretraining"]
        theirs = row["fairseq_pretrained"] or row["fairseq_finetuned"]
        assert (table.to_hf(theirs), table.from_hf(ours)) == (ours, theirs)
        if row.get("fairseq_finetuned"):
            assert row["fairseq_finetuned"].removeprefix(PREFIX) == theirs
        pairs += 1
    assert pairs == {"base": 220, "large": 431}[model]


@pytest.mark.parametrize("table", [FAIRSEQ, FAIRSEQ_GROUP, FAIRSEQ_CONFORMER])
@pytest.mark.parametrize(
    "name", ["layer_norm.weigh", "x.layer_norm.weight", "encoder.layers.a.fc1.weight", "proj.bias", ""]
)
def test_names_are_matched_whole(table: KeyMap, name: str) -> None:
    assert table.to_hf(name) is None


CONFORMER = {
    "encoder.layers.3.ffn1.w_1.weight": "encoder.layers.3.ffn1.intermediate_dense.weight",
    "encoder.layers.3.ffn2.w_2.bias": "encoder.layers.3.ffn2.output_dense.bias",
    "encoder.layers.3.ffn1.layer_norm.bias": "encoder.layers.3.ffn1_layer_norm.bias",
    "encoder.layers.3.conv_module.batch_norm.running_var": "encoder.layers.3.conv_module.batch_norm.running_var",
    "encoder.layers.3.conv_module.depthwise_conv.weight": "encoder.layers.3.conv_module.depthwise_conv.weight",
    "encoder.layers.3.self_attn.linear_out.bias": "encoder.layers.3.self_attn.linear_out.bias",
    "encoder.layers.3.self_attn.pos_bias_u": "encoder.layers.3.self_attn.pos_bias_u",
    "encoder.layers.3.final_layer_norm.weight": "encoder.layers.3.final_layer_norm.weight",
    "mask_emb": "masked_spec_embed",
}


@pytest.mark.parametrize("theirs", CONFORMER)
def test_the_conformers_names(theirs: str) -> None:
    ours = f"wav2vec2_conformer.{CONFORMER[theirs]}"
    assert (FAIRSEQ_CONFORMER.to_hf(theirs), FAIRSEQ_CONFORMER.from_hf(ours)) == (ours, theirs)


ADAPTER = {
    "b_a": ("linear_1.bias", (1, 4)), "W_b": ("linear_2.weight", (1, 8, 4)), "b_b": ("linear_2.bias", (1, 8)),
    "ln_W": ("norm.weight", (1, 8)), "ln_b": ("norm.bias", (1, 8)),
}  # fmt: skip


@pytest.mark.parametrize("part", ADAPTER)
def test_adapters_of_mms_lose_their_axis(tmp_path, part: str) -> None:
    ours, shape = ADAPTER[part]
    state = {"args": {}, "model": {f"encoder.layers.0.adapter_layer.{part}": torch.rand(shape)}}
    torch.save(state, tmp_path / "model.pt")
    assert (
        read_fairseq(tmp_path / "model.pt").weights[f"wav2vec2.encoder.layers.0.adapter_layer.{ours}"].shape
        == shape[1:]
    )


def test_the_size_of_adapters_is_told_to_the_configuration(tmp_path) -> None:
    state = {"args": {}, "model": {"encoder.layers.0.adapter_layer.W_a": torch.rand(1, 4, 8)}}
    torch.save(state, tmp_path / "model.pt")
    if "adapter_attn_dim" in {item.name for item in dataclasses.fields(Wav2Vec2Config)}:
        found = read_fairseq(tmp_path / "model.pt")
        assert found.config.to_dict()["adapter_attn_dim"] == 4
        assert found.weights["wav2vec2.encoder.layers.0.adapter_layer.linear_1.weight"].shape == (4, 8)
    else:
        with pytest.raises(ConfigError, match="adapter_attn_dim is 4"):
            read_fairseq(tmp_path / "model.pt")


def test_several_adapters_in_one_file_are_refused(tmp_path) -> None:
    state = {
        "args": {"extractor_mode": "layer_norm"},
        "model": {"encoder.layers.0.adapter_layer.b_a": torch.rand(2, 4)},
    }
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="one adapter a layer"):
        read_fairseq(tmp_path / "a.pt")


REFUSED = {
    "pos_conv_depth": (5, CheckpointError, "pos_conv_depth is 5"),
    "extractor_mode": ("other", CheckpointError, "extractor_mode is 'other'"),
    "activation_fn": ("gelu_accurate", ConfigError, "hidden_act is 'gelu_accurate'"),
    "encoder_layers": ("12", CheckpointError, "encoder_layers is '12'; int is wanted"),
    "encoder_embed_dim": (-1, XlsrError, "hidden_size is -1"),
    "conv_feature_layers": ("__import__('os').system('touch RAN')", CheckpointError, "conv_feature_layers is"),
    "quantize_input": (True, CheckpointError, "quantize_input is True"),
}


@pytest.mark.parametrize("option", REFUSED)
def test_options_that_cannot_be_computed_are_refused_by_name(tmp_path, option: str) -> None:
    value, kind, message = REFUSED[option]
    torch.save({"args": {option: value}, "model": {}}, tmp_path / "model.pt")
    with pytest.raises(kind, match=message):
        read_fairseq(tmp_path / "model.pt")


def test_a_finetuned_file_without_its_encoders_options_is_refused(tmp_path) -> None:
    path = write(tmp_path / "model.pt", tiny("base"), "cfg", w2v_args=None)
    with pytest.raises(CheckpointError, match="holds no w2v_args"):
        read_fairseq(path)


@pytest.mark.parametrize(
    "state", [{"model": {}}, {"args": {"a": 1}}, {"model": {}, "args": None, "cfg": None}, [1], {}]
)
def test_other_files_of_torch_are_not_fairseqs(tmp_path, state: object) -> None:
    torch.save(state, tmp_path / "model.pt")
    assert not is_fairseq(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="is no checkpoint of fairseq"):
        read_fairseq(tmp_path / "model.pt")


def test_files_of_another_kind_are_not_fairseqs(tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert not is_fairseq(tmp_path / "a.wav")
    assert not is_fairseq(tmp_path / "absent.pt")
    assert not is_fairseq(tmp_path)


def test_a_model_that_is_no_tensors_is_refused(tmp_path) -> None:
    torch.save({"args": {"a": 1}, "model": {"encoder": [1, 2]}}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="its model holds 'encoder', which is no tensor"):
        read_fairseq(tmp_path / "model.pt")


# The dictionary.


def test_a_dictionary_beside_the_file_names_the_classes(tmp_path) -> None:
    path = write(tmp_path / "model.pt", tiny("base"), "cfg")
    assert read_fairseq(path).tokenizer is None
    (tmp_path / "dict.ltr.txt").write_text("".join(f"{letter} 10\n" for letter in LETTERS))
    tokenizer = read_fairseq(path).tokenizer
    assert tokenizer.vocab == {
        "<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "E": 5, "T": 6, "A": 7,
    }  # fmt: skip
    assert (tokenizer.blank_id, tokenizer.word_delimiter, tokenizer.is_phones) == (0, "|", False)
    assert tokenizer.decode([6, 6, 0, 5, 7, 4, 7]) == "TEA A"


def test_a_dictionary_in_the_file_goes_first(tmp_path) -> None:
    path = write(tmp_path / "model.pt", tiny("base"), "cfg", dictionary=["a", "b", "c", "|"])
    (tmp_path / "dict.ltr.txt").write_text("".join(f"{letter} 10\n" for letter in LETTERS))
    assert read_fairseq(path).tokenizer.vocab["c"] == 6


def test_phones_are_recognised(tmp_path) -> None:
    path = write(tmp_path / "model.pt", tiny("base"), "args")
    (tmp_path / "dict.phn.txt").write_text("n 9\nɪ̃ 8\nt͡ʃ 7\nɑː 6\n", "utf-8")
    tokenizer = read_fairseq(path).tokenizer
    assert tokenizer.is_phones
    assert tokenizer.decode([4, 6, 7]) == "n t͡ʃ ɑː"


def test_single_letters_without_a_delimiter_are_letters(tmp_path) -> None:
    path = write(tmp_path / "model.pt", tiny("base"), "args", dictionary=["你", "好", "嗎", "madeupword0000"])
    tokenizer = read_fairseq(path).tokenizer
    assert not tokenizer.is_phones
    assert tokenizer.word_delimiter is None
    assert tokenizer.decode([4, 5]) == "你好"


def test_a_dictionary_of_another_model_is_refused(tmp_path) -> None:
    path = write(tmp_path / "model.pt", tiny("base"), "cfg")
    (tmp_path / "dict.ltr.txt").write_text("| 1\nE 1\n")
    with pytest.raises(CheckpointError, match=r"dict.ltr.txt has 6 symbols .* has 8 rows"):
        read_fairseq(path)


def test_dictionaries_are_read_as_fairseq_reads_them(tmp_path) -> None:
    path = tmp_path / "dict.ltr.txt"
    path.write_text("| 5\na b 4\n\u2028 3\n<unk> 2 #fairseq:overwrite\nmadeupword0000 0\n", "utf-8")
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    assert read_dictionary(path) == [*specials, "|", "a b", "\u2028", "<unk>", "madeupword0000"]
    path.write_text("")
    assert read_dictionary(path) == specials


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("| 5\nE\n", "line 2, is 'E'"),
        ("| x\n", "line 1, is '| x'"),
        ("\n", "line 1, is ''"),
        ("E 1\nE 2\n", "line 2: 'E' stands twice"),
        ("<s> 1\n", "line 1: '<s>' stands twice"),
    ],
)
def test_damaged_dictionaries_are_refused(tmp_path, text: str, message: str) -> None:
    (tmp_path / "dict.ltr.txt").write_text(text)
    with pytest.raises(CheckpointError, match=message.replace("|", r"\|")):
        read_dictionary(tmp_path / "dict.ltr.txt")


@pytest.mark.parametrize("symbol", ["<s>", "<pad>", "</s>", "<unk>"])
def test_a_symbol_that_stands_again_keeps_one_id(tmp_path, symbol: str) -> None:
    path = write(tmp_path / "model.pt", tiny("base"), "cfg")
    (tmp_path / "dict.ltr.txt").write_text(f"| 3\nE 2\n{symbol} 1 #fairseq:overwrite\nA 1\n")
    tokenizer = read_fairseq(path).tokenizer
    assert sorted(tokenizer.vocab.values()) == list(range(8))
    assert (tokenizer.blank_id, tokenizer.vocab["<pad>"]) == (0, 0)
    assert tokenizer.vocab["E"] == 5
    if symbol != "<pad>":
        assert tokenizer.vocab[symbol] == 6


# Damage.


def test_calls_in_a_finetuned_file_are_refused_by_name(tmp_path) -> None:
    class Call:
        def __reduce__(self):
            return eval, ("1",)

    content = pickle.dumps({"model": OrderedDict(), "args": None, "cfg": {"model": {"w2v_args": Call()}}}, protocol=2)
    path = zipped(tmp_path / "model.pt", content)
    for read in (is_fairseq, read_fairseq):
        with pytest.raises(CheckpointError, match=r"model.pt is refused: it names 'builtins.eval'"):
            read(path)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_damaged_files_end_in_an_error_of_ours(tmp_path, is_zip: bool) -> None:
    """Bytes of the pickle are changed or the file is cut; the reader accepts it, or says what is wrong."""
    path = write(tmp_path / "model.pt", tiny("base"), "omegaconf", is_zip=is_zip, dictionary=LETTERS)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(100):
        changed = bytearray(content)
        for at in rng.integers(0, 25_000, rng.integers(1, 4)):  # where the pickle lies
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed if rng.random() < 0.8 else changed[: rng.integers(1, len(content))])
        try:
            found = read_fairseq(path)
        except XlsrError:
            refused += 1
        else:
            assert found.config.hidden_size > 0
    assert refused > 30
