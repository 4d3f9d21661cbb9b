"""Tables with one row an utterance: JSON lines, Parquet, and the metadata files of Hugging Face's audio folders.

Knows files and their rows; what the keys mean is `utterance`'s. Floor 2; below `layouts`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from xlsr.data.archives import audio_column, parquet
from xlsr.data.utterance import AUDIO_KEYS, NUMBER_KEYS, WORD_KEYS, Utterance, from_row, split_name
from xlsr.errors import ManifestError

METADATA = ("metadata.jsonl", "metadata.csv")
_KEYS = {*AUDIO_KEYS, *NUMBER_KEYS, *chain.from_iterable(WORD_KEYS.values())}


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, without their ends; U+2028 inside a text ends none.

    Raises:
        ManifestError: it cannot be read.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    return [line.removesuffix("\r") for line in lines[: -1 if not lines[-1] else None]]


def read_jsonl(path: Path, *, measured: bool = True) -> list[Utterance]:
    """Read JSON lines. Raises ManifestError naming the line."""
    lines = enumerate(read_lines(path), 1)
    return [_json_row(line, path, f"{path} line {number}", measured) for number, line in lines if line.strip()]


def _json_row(line: str, path: Path, place: str, measured: bool) -> Utterance:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{place} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise ManifestError(f"{place} holds {type(row).__name__}; an object is wanted")
    return from_row(row, path.parent, place, measured=measured)


def read_delimited(path: Path, delimiter: str, *, quoted: bool = False) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield (place, row) of a table with a header line; empty cells are left out."""
    lines = (f"{line}\n" for line in read_lines(path))
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
    )
    try:
        header = next(reader, [])
        for cells in reader:
            place = f"{path} line {reader.line_num}"
            if cells and len(cells) != len(header):
                raise ManifestError(f"{place} has {len(cells)} cells; its header names {len(header)}")
            if cells:
                yield place, {key: cell for key, cell in zip(header, cells, strict=True) if cell}
    except csv.Error as error:
        raise ManifestError(f"{path} line {reader.line_num} cannot be read: {error}") from error


def read_hugging_face(folder: Path) -> list[Utterance]:
    """Read an audio folder: `metadata.jsonl` or `metadata.csv` in it, or in folders named after the splits."""
    found = []
    for path in metadata_files(folder):
        split = split_name(path.parent.name) if path.parent != folder else None
        if path.suffix == ".jsonl":
            utterances = read_jsonl(path, measured=False)
        else:
            rows = ((place, _numbered(row, place)) for place, row in read_delimited(path, ",", quoted=True))
            utterances = [from_row(row, path.parent, place, measured=False) for place, row in rows]
        found += [with_split(utterance, split) for utterance in utterances]
    return found


def metadata_files(folder: Path) -> list[Path]:
    """The metadata files of an audio folder; a metadata.csv without the column `file_name` is another layout's."""
    found = sorted(path for name in METADATA for pattern in (name, f"*/{name}") for path in folder.glob(pattern))
    return [path for path in found if path.suffix == ".jsonl" or "file_name" in first_line(path).split(",")]


def first_line(path: Path) -> str:
    """The first line of a text file, at most 4 KiB of it; empty where it is none."""
    try:
        with path.open("rb") as file:
            return file.readline(4096).decode("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return ""


def with_split(utterance: Utterance, split: str | None) -> Utterance:
    """The utterance with this split, if it has none of its own."""
    return utterance if split is None or utterance.split is not None else replace(utterance, split=split)


def _numbered(row: dict[str, object], place: str) -> dict[str, object]:
    """Cells of a text table as numbers, where numbers are wanted."""
    for key in NUMBER_KEYS:
        if key in row:
            try:
                row[key] = float(str(row[key]))
            except ValueError as error:
                raise ManifestError(f"{place}: {key} is {row[key]!r}; a number is wanted") from error
    return row


def read_parquet(path: Path) -> list[Utterance]:
    """Read a Parquet table whose audio is a column of paths, or of structs {bytes, path} as `datasets` writes them.

    Raises:
        ManifestError: it is no Parquet, or a row names no audio.
        MissingDependencyError: pyarrow is not installed.
    """
    module = parquet()
    try:
        table = module.ParquetFile(path)
        column = audio_column(table.schema_arrow)
        wanted = sorted(_KEYS.intersection(table.schema_arrow.names) - {column})
        wanted += [f"{column}.path"] if column else []  # the recordings themselves stay where they are
        rows = [row for batch in table.iter_batches(columns=wanted) for row in batch.to_pylist()]
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are these
        raise ManifestError(f"{path} cannot be read as Parquet: {error}") from error
    split = split_name(path.stem)
    found = []
    for number, row in enumerate(rows):
        folder, place = path.parent, f"{path} row {number}"
        if column is not None:
            name = Path(str((row.pop(column) or {}).get("path") or ""))
            folder, row = path, {**row, "audio": f"{number}{name.suffix}"}
        found.append(with_split(from_row(row, folder, place, measured=False), split))
    return found
