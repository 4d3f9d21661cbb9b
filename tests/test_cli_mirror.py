"""The command line is the Python interface: same names, same defaults, same choices."""

import inspect
import typing

import pytest

import xlsr
from xlsr import cli
from xlsr.data.corpora.layouts import Layout
from xlsr.data.stored_features import FeatureType
from xlsr.metrics import Key
from xlsr.recognizer import Recognizer
from xlsr.recognizer.opening import EngineName
from xlsr.results import OUTPUT_FORMATS, Timestamps


def defaults(function) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    # What watches the progress is a function: the command has its own.
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "progress"}


@pytest.mark.parametrize(
    ("verb", "functions"),
    [
        (cli.recognition.transcribe, [xlsr.load_model, Recognizer.transcribe_many]),
        (cli.alignment.align, [xlsr.load_model, Recognizer.align]),
        (cli.doctor.doctor, [xlsr.doctor]),
        (cli.analysis.codes, [xlsr.codes]),
        (cli.analysis.probe_features, [xlsr.probe_features]),
        (cli.evaluation.evaluate, [xlsr.load_model, xlsr.evaluate]),
        (cli.checkpoints.export, [xlsr.export_model]),
        (cli.corpora.prepare, [xlsr.prepare]),
        (cli.corpora.features, [xlsr.store_features]),
        (cli.checkpoints.info, [xlsr.info]),
        (cli.checkpoints.import_model, [xlsr.import_model]),
    ],
)
def test_options_have_the_defaults_of_the_functions(verb, functions) -> None:
    options = defaults(verb)
    for function in functions:
        for name, default in defaults(function).items():
            assert name in options, f"{verb.__name__} lacks --{name}"
            assert options[name] == default, f"--{name} of {verb.__name__}"


def test_choices_are_the_same() -> None:
    hints = typing.get_type_hints(cli.recognition.transcribe)
    assert typing.get_args(hints["engine"]) == typing.get_args(EngineName)
    assert typing.get_args(hints["timestamps"]) == typing.get_args(Timestamps)
    assert typing.get_args(cli.evaluation.Key) == typing.get_args(Key)
    assert set(typing.get_args(cli.recognition.OutputFormat)) == {*OUTPUT_FORMATS, "all"}
    assert typing.get_args(cli.corpora.Layout) == typing.get_args(Layout)
    assert typing.get_args(cli.corpora.FeatureType) == typing.get_args(FeatureType)


@pytest.mark.parametrize(
    "verb",
    [
        "transcribe",
        "align",
        "evaluate",
        "finetune",
        "pretrain",
        "distill",
        "import",
        "export",
        "info",
        "prepare",
        "features",
        "doctor",
        "codes",
        "probe-features",
    ],
)
def test_every_verb_explains_itself(verb: str, capsys) -> None:
    cli.app([verb, "--help"], result_action="return_value")
    assert "Usage" in capsys.readouterr().out
