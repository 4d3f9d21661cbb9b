"""SavedModels and Keras files give the networks that they were written from; what does not fit is named."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.bundles import theirs, write_bundle, write_h5
from tests.damage import mutants, mutate, spend
from tests.models import ARCHITECTURES, noise, tiny
from tests.parity.test_golden import assert_recorded, formula, signal
from xlsr.checkpoint.architecture import infer_config
from xlsr.checkpoint.folder import Description, write_description
from xlsr.checkpoint.foreign import Foreign
from xlsr.checkpoint.hf import build_ctc
from xlsr.checkpoint.keymap import TENSORFLOW
from xlsr.checkpoint.tensorflow import _stem, is_saved_model, read_h5, read_saved_model
from xlsr.config import Wav2Vec2Config
from xlsr.errors import CheckpointError, ConfigError, MissingDependencyError
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.tokenizer import Tokenizer


def variables(model: Wav2Vec2ForCTC, dialect: str = "tfhub") -> dict[str, np.ndarray]:
    return theirs(model.state_dict(), dialect)


@torch.no_grad()
def assert_same_logits(found: Foreign, model: Wav2Vec2ForCTC) -> None:
    """Equal weights in the same code: 1e-6 is rounding of kernels chosen by memory layout alone."""
    again = build_ctc(found.config, found.weights, source="test")
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    waveforms, lengths = noise(8000, 4000)
    torch.testing.assert_close(again(waveforms, lengths)[0], model(waveforms, lengths)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["tiny_base", "tiny_large"])
@torch.no_grad()
def test_bundles_of_tensorflow_reproduce_the_recorded_logits(reference: Path, name: str) -> None:
    golden = json.loads((reference / "golden" / "wav2vec2_tiny_golden.json").read_text("utf-8"))
    config = Wav2Vec2Config.from_dict(golden["cfg"] | golden[name]["extra"])
    folder = reference / "golden" / f"tf_savedmodel_{name}"
    assert is_saved_model(folder)
    found = read_saved_model(folder, config)
    assert (found.format, found.unused, found.tokenizer) == ("tensorflow", {}, None)
    for i, ours in enumerate(sorted(found.weights)):
        assert torch.equal(found.weights[ours], formula(ours, found.weights[ours].shape, i)), ours
    # The weights are exact, so the tolerance is the 1e-4 that the recording has, for base and large alike.
    assert_recorded(build_ctc(config, found.weights, source="test")(signal()[0])[0], golden[name]["logits_nomask"])


@pytest.mark.parametrize("name", ["base", "large"])
def test_names_and_architecture_of_the_released_modules(reference: Path, name: str) -> None:
    rows = json.loads((reference / "configs" / f"keymap_{name}.json").read_text("utf-8"))["rows"]
    shapes = {}
    for row in rows:
        if row.get("tf_ctc"):
            assert TENSORFLOW.to_hf(_stem(row["tf_ctc"])) == row["hf_ctc"]
            assert TENSORFLOW.from_hf(row["hf_ctc"]) == _stem(row["tf_ctc"])
            shapes[row["hf_ctc"]] = tuple(row["shape"])
    assert len(shapes) == {"base": 213, "large": 424}[name]
    config = infer_config(shapes, source="test")
    file = {"base": "tfhub-wav2vec2-960h.json", "large": "tfhub-wav2vec2-xlsr-53.json"}[name]
    module = json.loads((reference / "configs" / file).read_text("utf-8"))["gsoc_config"]
    assert config.conv_dim == tuple(module["filter_sizes"])
    assert config.conv_kernel == tuple(module["kernal_sizes"])
    assert config.conv_stride == tuple(module["strides"])
    assert config.feat_extract_norm == module["feature_extractor_norm_type"]
    assert config.do_stable_layer_norm == (module["attention_norm_type"] == "prenorm")
    for ours, their in {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}.items():
        assert getattr(config, ours) == module[their]
    for key in ("vocab_size", "hidden_size", "intermediate_size", "conv_bias", "num_conv_pos_embeddings",
                "num_conv_pos_embedding_groups"):  # fmt: skip
        assert getattr(config, key) == module[key], key


@pytest.mark.parametrize(("hidden", "heads"), [(768, 12), (1024, 16), (1280, 16), (1920, 16)])
def test_heads_of_the_released_sizes(hidden: int, heads: int) -> None:
    config = Wav2Vec2Config(hidden_size=hidden, num_attention_heads=heads, num_hidden_layers=1)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in Wav2Vec2ForCTC(config).state_dict().items()}
    assert infer_config(shapes, source="test") == config


@pytest.mark.parametrize("dialect", ["tfhub", "transformers"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_h5_files_come_back_as_they_went(tmp_path: Path, architecture: str, dialect: str) -> None:
    model = tiny(architecture)
    path = write_h5(tmp_path / "tf_model.h5", variables(model, dialect))
    assert_same_logits(read_h5(path, model.config), model)


@pytest.mark.parametrize("dialect", ["tfhub", "transformers"])
def test_saved_models_come_back_as_they_went(tmp_path: Path, dialect: str) -> None:
    model = tiny("large")
    assert_same_logits(read_saved_model(write_bundle(tmp_path, variables(model, dialect)), model.config), model)


@pytest.mark.parametrize("dialect", ["tfhub", "transformers"])
def test_as_many_taps_as_channels_are_told_by_the_spelling(tmp_path: Path, dialect: str) -> None:
    model = tiny("base", num_conv_pos_embeddings=32)
    assert_same_logits(read_saved_model(write_bundle(tmp_path, variables(model, dialect)), model.config), model)


def test_the_architecture_is_told_by_the_shapes(tmp_path: Path) -> None:
    model = tiny("large", hidden_size=64, num_attention_heads=1)
    found = read_saved_model(write_bundle(tmp_path, variables(model)))
    assert_same_logits(found, model)
    assert (found.config.do_stable_layer_norm, found.config.vocab_size) == (True, 8)


def test_the_model_may_have_any_name_and_no_head(tmp_path: Path) -> None:
    model = tiny("base")
    renamed = {
        name.replace("wav2vec2-ctc/wav2vec2/", "robust_exporter_3/"): value for name, value in variables(model).items()
    }
    headless = {name: value for name, value in renamed.items() if "lm_head" not in name}
    found = read_saved_model(write_bundle(tmp_path, headless), model.config)
    assert set(found.weights) == {f"wav2vec2.{name}" for name in model.wav2vec2.state_dict()}


def test_layers_may_lie_below_model_weights(tmp_path: Path) -> None:
    model = tiny("base")
    path = write_h5(tmp_path / "a.h5", variables(model), top="model_weights")
    assert_same_logits(read_h5(path, model.config), model)


def test_files_beside_the_weights_are_used(tmp_path: Path) -> None:
    model = tiny("base")
    tokenizer = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"])
    write_description(Description(model.config, tokenizer, {"do_normalize": False}), tmp_path)
    found = read_h5(write_h5(tmp_path / "tf_model.h5", variables(model, "transformers")))
    assert_same_logits(found, model)
    assert (found.tokenizer.vocab, found.normalizes) == (tokenizer.vocab, False)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_h5(tmp_path / "tf_model.h5")


def test_training_state_is_left_out_with_its_reason(tmp_path: Path) -> None:
    model = tiny("base")
    slot = "wav2vec2-ctc/wav2vec2/encoder/layer_norm/gamma/m"
    more = {slot: np.ones(32, np.float32), "save_counter": np.array(1, np.int64)}
    keys = {slot: "variables/9/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE",
            "save_counter": "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}  # fmt: skip
    found = read_saved_model(write_bundle(tmp_path, variables(model) | more, keys=keys), model.config)
    assert set(found.unused) == {slot, "save_counter"}
    assert_same_logits(found, model)


KERNEL = "wav2vec2-ctc/wav2vec2/encoder/layers/1/attention/q_proj/kernel"
OURS = r"wav2vec2\.encoder\.layers\.1\.attention\.q_proj\.weight"


def read_either(tmp_path: Path, changed: dict[str, np.ndarray], config: Wav2Vec2Config | None, kind: str) -> Foreign:
    if kind == "h5":
        return read_h5(write_h5(tmp_path / "a.h5", changed), config)
    return read_saved_model(write_bundle(tmp_path, changed), config)


@pytest.mark.parametrize("kind", ["h5", "bundle"])
def test_what_does_not_fit_is_named(tmp_path: Path, kind: str) -> None:
    model = tiny("base")
    whole = variables(model)

    def refusal(changes: dict[str, np.ndarray], *, without: tuple[str, ...] = (), told: bool = True) -> str:
        changed = {name: value for name, value in (whole | changes).items() if name not in without}
        with pytest.raises(CheckpointError) as refused:
            read_either(tmp_path, changed, model.config if told else None, kind)
        assert str(tmp_path) in str(refused.value)
        return str(refused.value)

    assert "1 missing in the file: wav2vec2.encoder.layers.1.attention.q_proj.weight" in refusal({}, without=(KERNEL,))
    renamed = {KERNEL.replace("q_proj", "r_proj"): whole[KERNEL]}
    assert "does not have: wav2vec2-ctc/wav2vec2/encoder/layers/1/attention/r_proj/kernel" in refusal(renamed)
    reshaped = refusal({KERNEL: np.zeros((32, 31), np.float32)})
    assert "encoder.layers.1.attention.q_proj.weight: file (31, 32), network (32, 32)" in reshaped
    assert "int64" in refusal({KERNEL: np.zeros((32, 32), np.int64)})
    twice = {"other/wav2vec2/encoder/layers/1/attention/q_proj/kernel": whole[KERNEL]}
    assert "more than one network" in refusal(twice)
    assert "pass a configuration" in refusal({}, told=False)
    no_first = tuple(name for name in whole if name.endswith("projection/kernel"))
    assert "no wav2vec2.feature_projection.projection.weight" in refusal({}, without=no_first, told=False)
    flat = {no_first[0]: np.zeros(512, np.float32)}
    assert "2 axes are wanted" in refusal(flat, told=False)
    assert "kernels of the feature encoder are ()" in refusal({}, without=tuple(whole)[:-1], told=False)


def test_a_file_that_is_no_keras_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    for path in (tmp_path / "a.h5", tmp_path / "none.h5"):
        with pytest.raises(CheckpointError, match=str(path)):
            read_h5(path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros(1, np.float32)  # Keras 3, which has no names of variables
    with pytest.raises(CheckpointError, match="does not have: dense/vars/0"):
        read_h5(tmp_path / "a.h5")


def _replace(file: h5py.File, how: str) -> None:
    place = f"wav2vec2/{KERNEL}:0"
    del file[place]
    if how == "ExternalLink":
        file[place] = h5py.ExternalLink("other.h5", "/x")
    elif how == "SoftLink":
        file[place] = h5py.SoftLink("/wav2vec2")
    elif how == "in other files":
        file.create_dataset(place, (32, 32), "f4", external=[("other.raw", 0, 4096)])
    elif how == "virtual":
        layout = h5py.VirtualLayout((32, 32), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (32, 32))
        file.create_virtual_dataset(place, layout)
    elif how == "compressed":
        file.create_dataset(place, data=np.zeros((32, 32), np.float32), compression="gzip")
    elif how == "more than the file":
        file.create_dataset(place, (1 << 20, 1 << 20), "f4", chunks=(32, 32))
    elif how == "is no array":
        file.create_dataset(place, data=h5py.Empty("f4"))
    elif how == "in a circle":
        file["wav2vec2/again"] = file["wav2vec2"]
    elif how == "nested":
        file["/".join("a" * 40)] = np.zeros(1, np.float32)
    elif how == "two layers":
        file[f"lm_head/{KERNEL}:0"] = file[f"wav2vec2/{KERNEL.replace('q_', 'k_')}:0"]
        file[place] = np.zeros((32, 32), np.float32)
    elif how == "type":
        file[place] = np.zeros((32, 32), np.complex64)


@pytest.mark.parametrize(
    "how",
    ["ExternalLink", "SoftLink", "in other files", "virtual", "compressed", "more than the file", "is no array",
     "in a circle", "nested", "two layers", "type"],
)  # fmt: skip
def test_what_leaves_the_file_or_is_no_plain_array_is_refused(tmp_path: Path, how: str) -> None:
    model = tiny("base")
    path = write_h5(tmp_path / "a.h5", variables(model))
    with h5py.File(path, "a") as file:
        _replace(file, how)
    with pytest.raises(
        CheckpointError, match={"virtual": "in other files", "in a circle": "deep|circle"}.get(how, how)
    ):
        spend(lambda: read_h5(path, model.config))


def test_h5py_is_asked_for_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"h5py is needed .*'xlsr\[import\]'"):
        read_h5(tmp_path / "a.h5")


@pytest.mark.parametrize("count", mutants(2000))
def test_damaged_h5_files_are_read_or_refused(tmp_path: Path, count: int) -> None:
    """HDF5 has no checksums: changed numbers are numbers. Nothing but our error may come out."""
    rng = np.random.default_rng(count)
    model = tiny("base", num_hidden_layers=1)
    whole = write_h5(tmp_path / "whole.h5", variables(model)).read_bytes()
    refusals = 0

    def read() -> None:
        nonlocal refusals
        try:
            read_h5(tmp_path / "a.h5", model.config)
        except CheckpointError:
            refusals += 1

    read()
    assert refusals == 1  # there is no such file yet
    assert_same_logits(read_h5(tmp_path / "whole.h5", model.config), model)  # loads all that torch loads late
    for _ in range(count):
        (tmp_path / "a.h5").write_bytes(mutate(whole, rng))
        spend(read)
    assert refusals > count / 4


def test_a_folder_without_variables_is_no_saved_model(tmp_path: Path) -> None:
    assert not is_saved_model(tmp_path)
    with pytest.raises(CheckpointError, match=r"variables\.index"):
        read_saved_model(tmp_path)
    folder = write_bundle(tmp_path / "empty", {})
    with pytest.raises(CheckpointError, match="feature encoder"):
        read_saved_model(folder)
    shutil.rmtree(folder)
