"""The lists of Kaldi and fairseq: text files that name recordings line by line.

A `wav.scp` may hold shell commands in place of paths: they are refused by name and never run. Floor 2; below `layouts`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from xlsr.data.corpora.tables import read_lines
from xlsr.data.utterance import UNKNOWN, Utterance, split_name
from xlsr.errors import ManifestError


def read_kaldi(folder: Path) -> list[Utterance]:
    """Read a Kaldi data folder: wav.scp, and segments, text, utt2spk, utt2lang where they are.

    Paths are relative to the folder, or to the two above it, where recipes are run. A speaker that is named like its
    utterance is Kaldi's way of not knowing it. A folder of such folders gives each its name as split.

    Raises:
        ManifestError: a line cannot be read, holds a command, or names what no other list has; names the line.
    """
    if not (folder / "wav.scp").is_file():
        return [utterance for path in sorted(folder.glob("*/wav.scp")) for utterance in read_kaldi(path.parent)]
    recordings = {name: _recording(folder, name, value) for name, value in _pairs(folder / "wav.scp").items()}
    stretches = {name: (path, 0.0, UNKNOWN) for name, path in recordings.items()}
    if (folder / "segments").is_file():
        stretches = {
            name: _segment(f"{folder / 'segments'}: {name}", value, recordings)
            for name, value in _pairs(folder / "segments").items()
        }
    lists = {key: _pairs(folder / key) for key in ("text", "utt2spk", "utt2lang") if (folder / key).is_file()}
    for key, values in lists.items():
        for name in values.keys() - stretches.keys():
            raise ManifestError(f"{folder / key} names {name}, which neither segments nor wav.scp does: mend the lists")
    texts, speakers, languages = (lists.get(key, {}) for key in ("text", "utt2spk", "utt2lang"))
    return [
        Utterance(
            audio=path,
            duration=duration,
            offset=offset,
            text=texts.get(name),
            language=languages.get(name),
            speaker=speakers.get(name) if speakers.get(name) != name else None,
            split=split_name(folder.name),
        )
        for name, (path, offset, duration) in stretches.items()
    ]


def _pairs(path: Path) -> dict[str, str]:
    """The lines `key rest of the line` of a list."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        key, _, value = line.strip().partition(" ") if " " in line.strip() else line.strip().partition("\t")
        if key in pairs:
            raise ManifestError(f"{path} line {number} names {key} a second time")
        pairs[key] = value.strip()
    return pairs


def _recording(folder: Path, name: str, value: str) -> Path:
    found = f"{folder / 'wav.scp'}: {name} is {value!r}"
    if value.endswith("|") or value.startswith("|"):
        raise ManifestError(f"{found}, a command; it is not run: write its output to files and list those")
    if not value or value == "-" or re.search(r"\.ark:\d+$", value):
        raise ManifestError(f"{found}; the path of a recording is wanted: extract it to a file")
    return next((base / value for base in (folder, *folder.parents[:2]) if (base / value).exists()), folder / value)


def _segment(place: str, value: str, recordings: dict[str, Path]) -> tuple[Path, float, float]:
    cells = value.split()
    if len(cells) != 3 or cells[0] not in recordings:
        raise ManifestError(f"{place} is {value!r}; a recording of wav.scp, its start and its end are wanted")
    try:
        start, end = float(cells[1]), float(cells[2])
    except ValueError:
        start, end = math.nan, math.nan
    if end == -1:
        end = math.inf  # to the end of the recording
    if not 0 <= start < end:
        raise ManifestError(f"{place} is from {cells[1]} to {cells[2]}; seconds are wanted, the start before the end")
    return recordings[cells[0]], start, UNKNOWN if end == math.inf else end - start


def read_fairseq(path: Path) -> list[Utterance]:
    """Read a fairseq `.tsv`, with the words of `.wrd` or `.ltr` and the phones of `.phn` beside it.

    Args:
        path: the list, or a folder of lists, which are named after the splits.

    Raises:
        ManifestError: a line cannot be read, or the lists have not as many lines as each other.
    """
    if path.is_dir():
        return [utterance for part in sorted(path.glob("*.tsv")) for utterance in read_fairseq(part)]
    root, *lines = read_lines(path) or [""]
    labels = {kind: _labels(path.with_suffix(f".{kind}"), len(lines)) for kind in ("wrd", "ltr", "phn")}
    texts = labels["wrd"] or [line and line.replace(" ", "").replace("|", " ").strip() for line in labels["ltr"]]
    found = []
    for index, line in enumerate(lines):
        name, _, samples = line.partition("\t")
        if not name or not samples.strip().isdecimal():
            raise ManifestError(
                f"{path} line {index + 2} is {line!r}; a path, a tab and a number of samples are wanted"
            )
        text, phones = (values[index] if values else None for values in (texts, labels["phn"]))
        audio = path.parent / root / name
        found.append(Utterance(audio, UNKNOWN, text=text, phones=phones, split=split_name(path.stem)))
    return found


def _labels(path: Path, count: int) -> list[str]:
    """One line a recording, or no lines if there is no such file."""
    lines = read_lines(path) if path.is_file() else []
    if path.is_file() and len(lines) != count:
        raise ManifestError(f"{path} has {len(lines)} lines; {path.with_suffix('.tsv').name} lists {count} recordings")
    return lines
