"""The command line is the Python interface: same names, same defaults, same choices."""

import dataclasses
import inspect
import typing

import pytest

import xlsr
from xlsr import cli
from xlsr.checkpoint.decoder import Layout
from xlsr.data.corpora.layouts import Layout as CorpusLayout
from xlsr.data.stored_features import FeatureType
from xlsr.decoding.ngram.model import Unit
from xlsr.metrics import Key
from xlsr.recognizer import Recognizer
from xlsr.recognizer.opening import EngineName
from xlsr.results import OUTPUT_FORMATS, Timestamps


def defaults(function) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    # What watches the progress is a function, and a decoder an object: commands have their own.
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in ("progress", "decoder")}


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
        (cli.language_models.build, [xlsr.build_lm]),
        (cli.language_models.score, [xlsr.score_lm]),
        (cli.language_models.convert, [xlsr.NGram.save]),
        (cli.language_models.attach, [xlsr.attach_lm]),
        (cli.language_models.tune, [xlsr.load_model, xlsr.tune_lm]),
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
    assert typing.get_args(cli.corpora.Layout) == typing.get_args(CorpusLayout)
    assert typing.get_args(cli.corpora.FeatureType) == typing.get_args(FeatureType)
    assert typing.get_args(cli.language_models.Unit) == typing.get_args(Unit)
    assert typing.get_args(cli.language_models.Layout) == typing.get_args(Layout)


def test_options_of_decoding_are_those_of_the_beam_search() -> None:
    ours = {field.name for field in dataclasses.fields(cli.decoding.Decoding)}
    wanted = {field.name for field in dataclasses.fields(xlsr.BeamOptions)}
    assert ours <= wanted
    assert wanted - ours == {"score_boundary", "log_add"}, "of use to those who compare decoders"


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
        "lm build",
        "lm score",
        "lm convert",
        "lm attach",
        "lm tune",
    ],
)
def test_every_verb_explains_itself(verb: str, capsys) -> None:
    cli.app([*verb.split(), "--help"], result_action="return_value")
    assert "Usage" in capsys.readouterr().out
