"""A corpus as it was downloaded -> manifests that training reads, with or without its audio packed into shards.

Knows the order of the steps: read the lists, read the headers, divide, pack, write, report. Leaves each to its module.
Floor 2; the top of `data`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xlsr.data.corpora.layouts import Layout, read_corpus
from xlsr.data.loading import measure
from xlsr.data.manifest import check_unused, write_manifest
from xlsr.data.shards import write_shards
from xlsr.data.splits import NAMES, divide
from xlsr.data.utterance import Utterance
from xlsr.errors import ManifestError

_ISO_639_3 = re.compile("[a-z]{3}")
_FILE_NAME = re.compile(r"\w[\w.-]{0,99}")


@dataclass(frozen=True)
class SplitSummary:
    """What one manifest holds.

    Attributes:
        name: of the split; "all" where there is one.
        manifest: the file.
        utterances: how many.
        hours: of audio.
        speakers: how many are told apart; 0 where the corpus names none.
        without_text: utterances that have neither text nor phones.
    """

    name: str
    manifest: Path
    utterances: int
    hours: float
    speakers: int
    without_text: int


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did; printed, it is a table.

    Attributes:
        splits: what was written.
        failures: why each recording that was left out could not be read.
        notes: what the user should know of the corpus and its division.
    """

    splits: tuple[SplitSummary, ...]
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The table of the splits; failures and notes are not in it."""
        lines = [f"{'split':<12} {'utterances':>10} {'hours':>9} {'speakers':>8} {'no text':>8}  manifest"]
        lines += [
            f"{row.name:<12} {row.utterances:>10} {row.hours:>9.3f} {row.speakers or '?':>8} {row.without_text:>8}  "
            f"{row.manifest}"
            for row in self.splits
        ]
        return "\n".join(lines)


def prepare(
    source: Path | str,
    out: Path | str,
    *,
    layout: Layout = "auto",
    language: str | None = None,
    split: Sequence[float] | None = None,
    resplit: bool = False,
    seed: int = 0,
    shards: bool = False,
    shard_megabytes: int = 256,
) -> PrepareReport:
    """Turn a corpus into manifests: `train.jsonl`, `dev.jsonl`, `test.jsonl`, or one `manifest.jsonl`.

    Every header is read. Recordings that cannot be used are reported by name, and the others go on.

    Args:
        source: a folder or a list: LibriSpeech, Common Voice, LJ Speech, Kaldi, fairseq, Hugging Face, Parquet, a
            manifest, or recordings with text files beside them.
        out: the folder to write; what an earlier run wrote there is not replaced.
        layout: of the source; auto recognises it.
        language: ISO 639-3, for what the corpus does not tell.
        split: shares of the duration for train, dev and test, such as (0.9, 0.05, 0.05); speakers are kept whole, and
            so are the splits that the corpus has.
        resplit: divide anew what the corpus has divided.
        seed: of the division.
        shards: pack the audio into tar files in `out`.
        shard_megabytes: size at which a shard is closed.

    Raises:
        ManifestError: the source cannot be read, holds nothing usable or fits no layout, or `out` is in use.
    """
    source, out = Path(source), Path(out)
    if language is not None and not _ISO_639_3.fullmatch(language):
        raise ManifestError(f"language is {language!r}; a code of ISO 639-3 is wanted, three letters such as eng")
    check_unused(out)
    found = list(measure(read_corpus(source, layout)))
    utterances = [each for each in found if isinstance(each, Utterance)]
    failures = [str(each) for each in found if not isinstance(each, Utterance)]
    if not utterances:
        raise ManifestError("\n".join([f"{source} lists no utterance that can be read", *failures]))
    utterances, notes = _in_language(utterances, language)
    if split is not None:
        utterances = [replace(each, split=None) for each in utterances] if resplit else utterances
        utterances, division = divide(utterances, split, seed=seed)
        notes += division
    parts = _by_split(utterances)
    out.mkdir(parents=True, exist_ok=True)
    summaries = []
    for name, rows in parts.items():
        if shards:
            packed = write_shards(rows, out / name, shard_megabytes=shard_megabytes)
            rows, failures = list(packed.utterances), [*failures, *packed.failures]
        write_manifest(rows, out / f"{name}.jsonl")
        summaries.append(_summary(name if len(parts) > 1 else "all", out / f"{name}.jsonl", rows))
    return PrepareReport(tuple(summaries), tuple(failures), (*notes, *_shared(parts)))


def _in_language(utterances: list[Utterance], language: str | None) -> tuple[list[Utterance], list[str]]:
    """The utterances with a language where the corpus tells none that ISO 639-3 knows, and what remains unclear."""
    unclear = {each.language for each in utterances if not _ISO_639_3.fullmatch(each.language or "")}
    if language is not None:
        return [replace(each, language=language) if each.language in unclear else each for each in utterances], []
    names = ", ".join(sorted(name or "unknown" for name in unclear))
    return utterances, [f"language is {names}: give its ISO 639-3 code (--language)"] if names else []


def _by_split(utterances: list[Utterance]) -> dict[str, list[Utterance]]:
    """Name of the manifest -> its rows: train, dev and test first, and what has no split in `manifest`."""
    splits = {each.split for each in utterances}
    for name in splits:
        if name is not None and (not _FILE_NAME.fullmatch(name) or name == "manifest"):
            raise ManifestError(f"a split is called {name!r}, which cannot be the name of a file: rename it")
    if len(splits) == 1:
        return {"manifest": utterances}
    order = [*NAMES, *sorted(name for name in splits if name is not None and name not in NAMES), None]
    return {name or "manifest": [each for each in utterances if each.split == name] for name in order if name in splits}


def _summary(name: str, manifest: Path, rows: list[Utterance]) -> SplitSummary:
    return SplitSummary(
        name=name,
        manifest=manifest,
        utterances=len(rows),
        hours=sum(row.duration for row in rows) / 3600,
        speakers=len({row.speaker for row in rows} - {None}),
        without_text=sum(not row.text and not row.phones for row in rows),
    )


def _shared(parts: dict[str, list[Utterance]]) -> list[str]:
    """How many utterances of the measuring splits have a speaker or a sentence that the training split has too."""
    notes = []
    for what, attribute in (("speaker", "speaker"), ("sentence", "text")):
        trained = {getattr(row, attribute) for row in parts.get("train", [])} - {None, ""}
        for name, rows in parts.items():
            count = sum(getattr(row, attribute) in trained for row in rows)
            if count and name != "train":
                notes.append(f"{count} utterances of {name} have a {what} that train has too")
    return notes
