"""The examples and the README's Python run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
SPOKEN = (REPOSITORY / "examples" / "digits.txt").read_text().strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_run_and_hear_the_digits(path) -> None:
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert SPOKEN in done.stdout


def snippets(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / name).read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_python_in_the_documents_runs(name: str) -> None:
    code = "\n".join(snippets(name)).replace("talk.mp3", "examples/digits.wav")
    assert "xlsr.load_model" in code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert SPOKEN in done.stdout


def test_the_readme_shows_what_the_command_prints() -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    assert f"$ xlsr transcribe examples/digits.wav\n{SPOKEN}\n" in readme
