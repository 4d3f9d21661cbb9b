"""What `xlsr` offers is what it says it offers."""

import importlib
import inspect

import pytest

import xlsr


@pytest.mark.parametrize("name", xlsr.__all__)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(xlsr, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value), f"xlsr.{name} has no docstring"
        assert value.__module__.startswith("xlsr.")


def test_public_names_are_stable() -> None:
    assert set(xlsr.__all__) == {
        "attach_lm", "tune_lm", "AudioInfo", "BeamOptions", "BeamSearchDecoder", "NGram", "build_lm", "score_lm",
        "Character", "DoctorReport", "Failure", "Phone", "Recognizer", "Segment", "StreamingRecognizer", "Tokenizer",
        "Transcript", "Update", "Wav2Vec2Config", "Word", "XlsrError", "__version__", "cer", "codes", "distill",
        "doctor", "evaluate", "export_model", "finetune", "forced_align", "import_model", "info", "load_audio",
        "load_checkpoint", "load_model", "prepare", "pretrain", "probe_features", "read_manifest", "store_features",
        "wer", "write_features", "write_manifest",
    }  # fmt: skip


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = xlsr.nonsense


def test_dir_lists_the_public_names() -> None:
    assert set(xlsr.__all__) <= set(dir(importlib.import_module("xlsr")))
