"""Verbs that make corpora ready for training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from xlsr.cli.app import app, usage

Layout = Literal[
    "auto", "manifest", "librispeech", "commonvoice", "ljspeech", "kaldi", "fairseq", "huggingface", "parquet", "plain"
]


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
