"""The six commands of docs/training.md take a newcomer from a folder of recordings to a model that writes them down."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest
import soundfile

from tests.conftest import REPOSITORY
from xlsr.data.manifest import load_utterance, read_manifest

# A network from random weights learns nothing in so few updates; the tour is what is tested.
SHORT = "--optim.updates 30 --run.eval_every 15 --run.threads 1".split()


def commands() -> list[list[str]]:
    text = (REPOSITORY / "docs" / "training.md").read_text("utf-8").partition("## A worked run")[0]
    return [shlex.split(line) for line in re.findall(r"^    (xlsr .*)$", text, re.MULTILINE)]


@pytest.fixture(scope="module")
def place(shared, tmp_path_factory):
    """A folder `my_recordings` with real spoken digits and a text file beside each."""
    folder = tmp_path_factory.mktemp("tour")
    (folder / "my_recordings").mkdir()
    for index, utterance in enumerate(read_manifest(shared / "data" / "fsdd" / "manifest.jsonl", split="train")[::12]):
        soundfile.write(folder / "my_recordings" / f"{index:03d}.flac", load_utterance(utterance), 16_000)
        (folder / "my_recordings" / f"{index:03d}.txt").write_text(f"{utterance.text}\n")
    return folder


@pytest.mark.slow
def test_the_tour_of_the_documents(place) -> None:
    verbs = [command[1] for command in commands()]
    assert verbs == ["prepare", "doctor", "finetune", "finetune", "evaluate", "transcribe"]
    printed = []
    for command in commands():
        options = SHORT if command[1] == "finetune" else []
        done = subprocess.run(
            [sys.executable, "-m", *command, *options], cwd=place, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
        printed.append(done.stdout)
    splits = {name: read_manifest(place / "lists" / f"{name}.jsonl") for name in ("train", "dev", "test")}
    count = len(list((place / "my_recordings").glob("*.flac")))
    assert sum(map(len, splits.values())) == count
    assert len(read_manifest(place / "lists" / "clean.jsonl")) <= len(splits["train"])
    assert "start the run" in printed[2]
    assert {"best", "last", "log.jsonl", "report.html"} <= {path.name for path in (place / "run").iterdir()}
    rows = [json.loads(line) for line in (place / "run" / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0]
    assert re.search(r"WER.*\n.*%", printed[4])
    assert "<html" in (place / "report.html").read_text()
    assert len(printed[5].splitlines()) == count
