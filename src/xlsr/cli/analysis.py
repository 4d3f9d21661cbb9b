"""Verbs that look into a pre-trained encoder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from xlsr.cli.app import app, watched

if TYPE_CHECKING:
    from xlsr.recognizer import Failure


class _Report(Protocol):
    @property
    def failures(self) -> Sequence[Failure]: ...
    def to_text(self) -> str: ...
    def to_json(self) -> str: ...


@app.command
def codes(
    manifest: Path,
    /,
    *,
    model: str,
    split: str | None = None,
    max_seconds: float | None = None,
    families: Path | None = None,
    report: Path | None = None,
    json: str | None = None,
    device: str = "auto",
    threads: int = 0,
    batch_seconds: float = 20.0,
) -> int:
    """Show which codebook entries of a pre-trained model each language uses, and which languages use the same.

    Args:
        manifest: a JSON-lines list of recordings with their languages.
        model: a pre-training checkpoint; a model with another head has no codebooks.
        split: take the rows of this split only.
        max_seconds: of each language count recordings drawn at random until so many seconds are reached.
        families: a table of language code, tab, family in place of the one in the package.
        report: write an HTML page here: clusters, a map, nearest languages.
        json: write all counts and similarities here; - prints them in place of the tables.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to torch.
        batch_seconds: seconds of audio computed at once.
    """
    from xlsr.analysis.codes import codes as run

    found = run(
        model,
        manifest,
        split=split,
        max_seconds=max_seconds,
        families=families,
        report=report,
        device=device,
        threads=threads,
        batch_seconds=batch_seconds,
        progress=partial(watched, label="counting"),
    )
    return _emit(found, json, "not counted")


@app.command
def probe_features(
    manifest: Path,
    /,
    *,
    model: str,
    split: str | None = None,
    layer: int | Literal["all"] = "all",
    report: Path | None = None,
    json: str | None = None,
    device: str = "auto",
    threads: int = 0,
    batch_seconds: float = 20.0,
    seed: int = 0,
) -> int:
    """Measure how well phones can be told from the frozen frames of each layer, without fine-tuning.

    Args:
        manifest: a JSON-lines list of recordings with phones and their times.
        model: any checkpoint with an encoder.
        split: take the rows of this split only.
        layer: this layer only; 0 is the input of the first.
        report: write an HTML page here.
        json: write all figures here; - prints them in place of the table.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to torch.
        batch_seconds: seconds of audio computed at once.
        seed: of the halves and of the random network that stands beside the model.
    """
    from xlsr.analysis.probing import probe_features as run

    found = run(
        model,
        manifest,
        split=split,
        layer=layer,
        report=report,
        device=device,
        threads=threads,
        batch_seconds=batch_seconds,
        seed=seed,
        progress=partial(watched, label="encoding"),
    )
    status = _emit(found, json, "left out")
    print(f"xlsr: {found.note}", file=sys.stderr)
    return status


def _emit(found: _Report, json: str | None, fate: str) -> int:
    """Print the tables or the JSON, and on stderr what failed; returns the exit status."""
    from xlsr.recordings import STDIN

    to_stdout = json in ("-", STDIN)  # a lone hyphen comes as the name of stdin
    sys.stdout.write(found.to_json() if to_stdout else found.to_text())
    if json is not None and not to_stdout:
        Path(json).parent.mkdir(parents=True, exist_ok=True)
        Path(json).write_text(found.to_json(), "utf-8")
    for failure in found.failures:
        print(f"xlsr: {failure.error}", file=sys.stderr)
    if found.failures:
        print(f"xlsr: {len(found.failures)} {fate}", file=sys.stderr)
    return 1 if found.failures else 0
