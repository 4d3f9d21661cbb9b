"""`xlsr doctor` as users run it: tables, JSON, exit status, the clean manifest, and the installation."""

from __future__ import annotations

import importlib
import io
import json
import sys
from pathlib import Path

import pytest

import xlsr
from tests.malformed import tone, write_soundfile
from tests.test_cli import run
from xlsr.cli import installation as module
from xlsr.cli.installation import installation


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Two good rows, one with stray spaces, one with digits."""
    rows = []
    for number, text in enumerate(("one two", "three  four", "5 six")):
        write_soundfile(tmp_path / f"{number}.wav", tone(1.0 + number / 10, hertz=300.0 + number), 16_000)
        rows.append({"audio": f"{number}.wav", "duration": 1.0 + number / 10, "text": text})
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_warnings_do_not_fail_unless_strict(manifest) -> None:
    done = run("doctor", manifest)
    assert (done.returncode, done.stderr) == (0, "")
    assert "unspoken_symbols (1)" in done.stdout
    assert "line 3: the text holds 5" in done.stdout
    assert "0 errors, 1 warnings, 1 notes" in done.stdout
    assert run("doctor", manifest, "--strict").returncode == 1


def test_errors_fail_and_the_clean_manifest_does_not(manifest) -> None:
    with manifest.open("a") as file:
        file.write('{"audio": "gone.wav", "duration": 1.0, "text": "lost"}\n')
    clean = manifest.with_name("clean.jsonl")
    done = run("doctor", manifest, "--fix", clean)
    assert done.returncode == 1
    assert "gone.wav is not there" in done.stdout
    assert "1 rows left out, 1 texts mended" in done.stdout
    assert run("doctor", clean).returncode == 0
    assert len(manifest.with_name("clean.dropped.jsonl").read_text().splitlines()) == 1
    assert run("doctor", manifest, "--no_audio").returncode == 0
    assert run("doctor", manifest, "--no-audio").returncode == 0


def test_json_is_the_report_of_the_function(manifest, tmp_path) -> None:
    wanted = json.loads(json.dumps(xlsr.doctor(manifest).to_dict()))
    done = run("doctor", manifest, "--json", "-")
    assert json.loads(done.stdout) == wanted
    assert "unspoken_symbols" in done.stderr
    run("doctor", manifest, "--json", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == wanted


def test_several_manifests_are_held_against_one(manifest, tmp_path) -> None:
    leak = tmp_path / "test.jsonl"
    leak.write_text(manifest.read_text("utf-8").splitlines()[0] + "\n")
    empty = tmp_path / "dev.jsonl"
    empty.write_text('{"audio": "2.wav", "duration": 0.5, "offset": 0.5}\n')
    done = run("doctor", manifest, "--against", empty, "--against", leak)
    assert done.returncode == 1
    assert "line 1: 0.wav is the held-out recording 0.wav" in done.stdout


def test_a_wrong_call_exits_with_two_and_a_missing_manifest_with_one(tmp_path) -> None:
    assert run("doctor", "--strict").returncode == 2
    missing = run("doctor", tmp_path / "none.jsonl")
    assert missing.returncode == 1
    assert "cannot be read" in missing.stderr


def test_without_a_manifest_the_installation_is_shown() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert f"xlsr {xlsr.__version__}" in done.stdout
    assert "xlsr-digits" in done.stdout
    assert "openvino" in done.stdout
    found = json.loads(run("doctor", "--json", "-").stdout)
    assert found["version"] == xlsr.__version__
    assert {"mp3", "aac", "opus", "flac"} <= set(found["codecs"])


def test_every_extra_is_listed_with_its_install_line() -> None:
    found = installation()
    assert {None, "torch", "export", "import", "dev"} <= {package.extra for package in found.packages}
    assert found.problems == ()
    assert found.cpus >= 1
    torch = next(package for package in found.packages if package.name == "torch")
    assert torch.install == "pip install 'xlsr[torch]'"


def test_what_is_missing_is_named_and_fails_where_it_is_needed(monkeypatch) -> None:
    wanted = [("numpy>=1.26", None), ("no-such-package>=2", None), ("no-such-extra>=3; extra == 'fancy'", None)]
    monkeypatch.setattr(module, "_requirements", lambda: wanted)
    found = installation()
    assert [(p.name, p.wanted, p.version is None, p.extra) for p in found.packages] == [
        ("numpy", ">=1.26", False, None), ("no-such-package", ">=2", True, None),
        ("no-such-extra", ">=3", True, "fancy")]  # fmt: skip
    assert found.problems == ("no-such-package is missing: pip install 'xlsr'",)


class Screen(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "patience", "shown"), [(True, -1.0, True), (True, 60.0, False), (False, -1.0, False)]
)
def test_only_a_patient_watcher_sees_the_bar(monkeypatch, terminal: bool, patience: float, shown: bool) -> None:
    screen = Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    module = importlib.import_module("xlsr.cli.app")
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", patience)
    monkeypatch.setenv("TERM", "xterm")
    assert list(module.watched(iter(range(50)), 50, label="listening")) == list(range(50))
    assert ("listening" in screen.getvalue()) == shown
    assert list(module.watched(iter([]), 0)) == []
