"""Verbs that read and write models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from xlsr.cli.app import app


@app.command
def export(
    format: Literal["openvino", "onnx"],
    model: str,
    out: Path,
    /,
    *,
    language: str | None = None,
    tolerance: float = 1e-3,
    precision: Literal["fp32", "int8"] = "fp32",
    calibration: Path | None = None,
    limit: float = 0.1,
    force: bool = False,
) -> int:
    """Export a model's network as a graph, beside a copy of the model.

    Args:
        format: the graph's runtime.
        model: a model folder.
        out: the folder to write; the model's own folder adds the graph to it.
        language: for models of several languages: the one that the graph will speak.
        tolerance: largest accepted difference of a log-probability from torch's.
        precision: int8 rounds weights and activations to eight bits (openvino only).
        calibration: for int8, a manifest of speech as the model will hear it, best with texts.
        limit: points of word error rate that int8 may cost.
        force: keep an int8 graph that costs more.
    """
    from xlsr.errors import require

    require("torch", "torch", "exporting")
    from xlsr.export.graph import export_model as run

    receipt = run(
        format, model, out, language=language, tolerance=tolerance, precision=precision, calibration=calibration,
        limit=limit, force=force,
    )  # fmt: skip
    print(receipt.path)
    print(
        f"xlsr: {receipt.megabytes} MB; largest difference from torch {receipt.largest_difference:.2g} "
        f"(at most {receipt.tolerance:.2g} was accepted)",
        file=sys.stderr,
    )
    if receipt.change:
        print(f"xlsr: int8: {receipt.change}", file=sys.stderr)
    return 0


@app.command(name="import")
def import_model(
    source: str,
    out: Path,
    /,
    *,
    head: Literal["ctc"] | None = None,
    vocabulary: Annotated[Path | None, Parameter(alias="--vocab")] = None,
    language: str | None = None,
    config: Path | None = None,
    adapter: Path | None = None,
) -> int:
    """Write a fairseq, torchaudio, TensorFlow, Flax or hub checkpoint as a Hugging Face folder.

    Args:
        source: a file, a folder, or a name on the hub.
        out: the folder to write.
        head: ctc puts a fresh head on an encoder, to be fine-tuned.
        vocabulary: a folder with vocab.json, for that head.
        language: for models of several languages.
        config: a config.json, for files that do not tell their architecture in full.
        adapter: a folder with a LoRA adapter as peft saves it, to be added to the weights.
    """
    from xlsr.errors import require

    require("torch", "torch", "importing weights")
    from xlsr.checkpoint.load import import_model as run

    report = run(source, out, head=head, vocabulary=vocabulary, language=language, config=config, adapter=adapter)
    print(report, file=sys.stderr)
    print(out)
    return 0


@app.command
def info(model: str = "default", /) -> int:
    """Say what a model is: architecture, parameters, vocabulary, licence, problems.

    Args:
        model: a model folder.
    """
    from xlsr.checkpoint.summary import info as describe

    print(describe(model))
    return 0
