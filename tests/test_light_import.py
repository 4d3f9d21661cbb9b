"""`import xlsr`, `xlsr --help` and transcription with an exported model never load torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "onnx", "onnxruntime", "matplotlib", "numba")


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running the code."""
    report = "import sys; print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import atexit\natexit.register(lambda: exec({report!r}))\n{code}"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return set(done.stderr.splitlines()[-1].split())


def test_import_loads_nothing_heavy() -> None:
    assert not loaded_by("import xlsr") & {*HEAVY, "numpy", "openvino", "av", "soundfile"}


def test_help_loads_neither_torch_nor_numpy() -> None:
    loaded = loaded_by("import sys; sys.argv = ['xlsr', '--help']\nimport xlsr.cli; xlsr.cli.main()")
    assert "cyclopts" in loaded
    assert not loaded & {*HEAVY, "numpy", "openvino"}


@pytest.mark.parametrize(
    "module",
    [
        "recognizer",
        "alignment",
        "streaming",
        "results",
        "tokenizer",
        "metrics",
        "phones",
        "report",
        "evaluation",
        "similarity",
        "classifiers",
        "analysis.codes",
        "analysis.probing",
        "analysis.storing",
        "decoding.greedy",
        "data.augment",
        "data.doctor",
        "data.stored_features",
        "cli",
    ],
)
def test_the_upper_half_loads_no_torch(module: str) -> None:
    assert not loaded_by(f"import xlsr.{module}") & {*HEAVY}


@pytest.mark.parametrize("module", ["decoding.beam", "decoding.ngram.build", "decoding.viterbi"])
def test_compiled_decoding_loads_no_torch(module: str) -> None:
    loaded = loaded_by(f"import xlsr.{module}")
    assert "numba" in loaded
    assert not loaded & ({*HEAVY} - {"numba"})


def test_transcription_with_the_shipped_model_loads_no_torch(repository) -> None:
    code = f"import xlsr; print(xlsr.load_model().transcribe({str(repository / 'examples' / 'digits.wav')!r}).text)"
    loaded = loaded_by(code)
    assert "openvino" in loaded
    assert not loaded & {*HEAVY}


def test_options_of_a_beam_search_load_no_compiler() -> None:
    assert not loaded_by("import xlsr; xlsr.BeamOptions(lm='lm.arpa')") & {*HEAVY, "numba", "numpy"}


def loaded_modules(code: str) -> set[str]:
    """Every module that a fresh interpreter has loaded after running the code, by its full name."""
    report = "\nimport sys; print(*[name for name, module in sys.modules.items() if module is not None])"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_openvino_comes_without_telemetry_and_converter() -> None:
    loaded = loaded_modules("from xlsr.engines.runtime import openvino; openvino().Core()")
    assert "openvino" in loaded
    assert not {name for name in loaded if "telemetry" in name or name.startswith("openvino.tools.ovc")}


def test_the_converter_comes_with_an_empty_telemetry() -> None:
    loaded = loaded_modules("from xlsr.engines.runtime import converter; converter().convert_model")
    assert "openvino.tools.ovc.telemetry_stub" in loaded
    assert not {name for name in loaded if name.startswith("openvino_telemetry")}
