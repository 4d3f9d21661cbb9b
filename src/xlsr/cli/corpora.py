"""Verbs that make corpora ready for training."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Literal

from xlsr.cli.app import app, usage, watched

Layout = Literal[
    "auto", "manifest", "librispeech", "commonvoice", "ljspeech", "kaldi", "fairseq", "huggingface", "parquet", "plain"
]
FeatureType = Literal["float16", "float32"]


@app.command
def prepare(
    source: Path,
    out: Path,
    /,
    *,
    layout: Layout = "auto",
    language: str | None = None,
    split: str | None = None,
    resplit: bool = False,
    seed: int = 0,
    shards: bool = False,
    shard_megabytes: int = 256,
) -> int:
    """Turn a corpus into manifests: train.jsonl, dev.jsonl, test.jsonl, or one manifest.jsonl.

    Args:
        source: a folder or a list: LibriSpeech, Common Voice, LJ Speech, Kaldi, fairseq, Hugging Face, Parquet, a
            manifest, or recordings with text files beside them.
        out: the folder to write.
        layout: of the source; auto recognises it.
        language: ISO 639-3, for what the corpus does not tell.
        split: shares of the duration for train, dev and test, such as 0.9,0.05,0.05; speakers are kept whole, and so
            are the splits that the corpus has.
        resplit: divide anew what the corpus has divided.
        seed: of the division.
        shards: pack the audio into tar files in out.
        shard_megabytes: size at which a shard is closed.
    """
    from xlsr.data.prepare import prepare as run

    try:
        shares = None if split is None else [float(share) for share in split.split(",")]
    except ValueError:
        return usage(f"--split is {split!r}; shares such as 0.9,0.05,0.05 are wanted")
    report = run(
        source,
        out,
        layout=layout,
        language=language,
        split=shares,
        resplit=resplit,
        seed=seed,
        shards=shards,
        shard_megabytes=shard_megabytes,
    )
    print(report)
    for line in (*report.notes, *report.failures):
        print(f"xlsr: {line}", file=sys.stderr)
    if report.failures:
        print(f"xlsr: {len(report.failures)} recordings were left out", file=sys.stderr)
    return 1 if report.failures else 0


@app.command
def features(
    manifest: Path,
    out: Path,
    /,
    *,
    model: str,
    layer: int | None = None,
    split: str | None = None,
    dtype: FeatureType = "float16",
    shard_megabytes: int = 256,
    device: str = "auto",
    threads: int = 0,
    batch_seconds: float = 20.0,
) -> int:
    """Store what a layer of a model makes of recordings, for xlsr distill to learn from: the teacher runs once.

    Args:
        manifest: a JSON-lines list of recordings.
        out: the folder to write: tar shards, and a manifest that names the features beside the audio.
        model: any checkpoint with an encoder.
        layer: counted from 1; the last unless given.
        split: take the rows of this split only.
        dtype: of the numbers; float16 ends at 65504.
        shard_megabytes: size at which a shard is closed.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to torch.
        batch_seconds: seconds of audio computed at once.
    """
    from xlsr.analysis.storing import store_features

    found = store_features(
        model,
        manifest,
        out,
        layer=layer,
        split=split,
        dtype=dtype,
        shard_megabytes=shard_megabytes,
        device=device,
        threads=threads,
        batch_seconds=batch_seconds,
        progress=partial(watched, label="encoding"),
    )
    print(found.manifest)
    for line in found.failures:
        print(f"xlsr: {line}", file=sys.stderr)
    print(f"xlsr: {found.utterances} utterances stored, {len(found.failures)} left out", file=sys.stderr)
    return 1 if found.failures else 0
