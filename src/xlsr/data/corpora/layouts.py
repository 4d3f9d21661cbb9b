"""Which layout a corpus has, and its reader.

A corpus is recognised by what must be there in its layout; where two layouts fit, or none does, that is an error which
says what was looked for. Floor 2; between the readers and `manifest`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from xlsr.data.corpora.tables import (
    METADATA,
    first_line,
    metadata_files,
    read_hugging_face,
    read_jsonl,
    read_parquet,
    with_split,
)
from xlsr.data.corpora.toolkits import read_fairseq, read_kaldi
from xlsr.data.corpora.trees import (
    COMMON_VOICE,
    read_common_voice,
    read_librispeech,
    read_ljspeech,
    read_plain,
    recordings,
)
from xlsr.data.utterance import Utterance, split_name
from xlsr.errors import ManifestError

Layout = Literal[
    "auto", "manifest", "librispeech", "commonvoice", "ljspeech", "kaldi", "fairseq", "huggingface", "parquet", "plain"
]
LOOKED_FOR = {
    "manifest": "*.jsonl",
    "commonvoice": "clips/ and one of train, dev, test, validated.tsv",
    "ljspeech": "metadata.csv without a header, and wavs/",
    "kaldi": "wav.scp, or folders with it",
    "fairseq": "*.tsv that begins with a folder",
    "huggingface": "metadata.jsonl or metadata.csv with the column file_name",
    "parquet": "*.parquet, or data/*.parquet",
    "librispeech": "*.trans.txt at any depth",
    "plain": "recordings with .txt or .lab beside them",
}


def read_corpus(source: Path, layout: Layout = "auto") -> list[Utterance]:
    """Read a corpus as it lies there; what it does not tell of an utterance stays unknown, its duration too.

    Args:
        source: a folder or a list.
        layout: how it is laid out; auto recognises it.

    Raises:
        ManifestError: it is not there, fits no layout or several, or a list in it cannot be read.
    """
    if layout not in get_args(Layout):
        raise ManifestError(f"layout is {layout!r}; one of {', '.join(get_args(Layout))} is wanted")
    found = recognise(source) if layout == "auto" else layout
    match found:
        case "manifest":
            return read_jsonl(source) if source.is_file() else _read_manifests(source)
        case "parquet":
            paths = _tables(source) if source.is_dir() else [source]
            return [utterance for path in paths for utterance in read_parquet(path)]
        case "commonvoice":
            return read_common_voice(source)
        case "fairseq":
            return read_fairseq(source)
        case "huggingface":
            return read_hugging_face(source)
        case "kaldi":
            return read_kaldi(source)
        case "librispeech":
            return read_librispeech(source)
        case "ljspeech":
            return read_ljspeech(source)
        case _:
            return read_plain(source)


def recognise(source: Path) -> Layout:
    """Return the layout of a corpus.

    Raises:
        ManifestError: it is not there, or fits no layout or several; says what was looked for.
    """
    if not source.is_dir():
        return _recognise_file(source)
    fits = [layout for layout, fit in _fits(source).items() if fit]
    if not fits and next(source.rglob("*.trans.txt"), None):
        fits = ["librispeech"]
    if not fits and any(path.with_suffix(end).is_file() for path in recordings(source) for end in (".txt", ".lab")):
        fits = ["plain"]
    if len(fits) == 1:
        return fits[0]
    looked = "; ".join(f"{layout} ({what})" for layout, what in LOOKED_FOR.items() if not fits or layout in fits)
    if fits:
        raise ManifestError(f"{source} fits more than one layout, {looked}: name it (--layout)")
    raise ManifestError(
        f"{source} has no layout that is known; looked for: {looked}. --layout plain lists recordings without text too"
    )


def _recognise_file(source: Path) -> Layout:
    if not source.is_file():
        raise ManifestError(f"{source} cannot be read: it is not there")
    if source.suffix.lower() == ".parquet":
        return "parquet"
    if source.suffix.lower() == ".tsv":
        return "fairseq" if _begins_with_folder(source) else "commonvoice"
    return "manifest"


def _fits(folder: Path) -> dict[Layout, bool]:
    """Which layouts the upper levels of a folder fit; the order is that of messages."""
    lists = list(folder.glob("*.tsv"))
    return {
        "manifest": bool(_manifests(folder)),
        "commonvoice": (folder / "clips").is_dir() and any(path.stem in COMMON_VOICE for path in lists),
        "ljspeech": (folder / "wavs").is_dir()
        and (folder / "metadata.csv").is_file()
        and (folder / "metadata.csv") not in metadata_files(folder),
        "kaldi": any(path.is_file() for pattern in ("wav.scp", "*/wav.scp") for path in folder.glob(pattern)),
        "fairseq": any(map(_begins_with_folder, lists)),
        "huggingface": bool(metadata_files(folder)),
        "parquet": bool(_tables(folder)),
    }


def _manifests(folder: Path) -> list[Path]:
    """The manifests of a folder; `metadata.jsonl` is Hugging Face's."""
    return sorted(path for path in folder.glob("*.jsonl") if path.name not in METADATA)


def _read_manifests(folder: Path) -> list[Utterance]:
    """Read those that are named after splits, or the only one."""
    paths = _manifests(folder)
    if len(paths) > 1 and not all(split_name(path.stem) for path in paths):
        raise ManifestError(f"{folder} holds {', '.join(path.name for path in paths)}: name the one that is meant")
    return [with_split(utterance, split_name(path.stem)) for path in paths for utterance in read_jsonl(path)]


def _tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))


def _begins_with_folder(path: Path) -> bool:
    line = first_line(path)
    return bool(line) and "\t" not in line
