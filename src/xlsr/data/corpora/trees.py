"""Corpora that are trees of files: LibriSpeech, Common Voice, LJ Speech, and plain folders.

Durations are `UNKNOWN` here: headers tell them. Floor 2; below `layouts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlsr.audio import SUFFIXES
from xlsr.data.corpora.tables import read_delimited, read_lines
from xlsr.data.utterance import UNKNOWN, Utterance, from_row, split_name
from xlsr.errors import ManifestError

COMMON_VOICE = ("train", "dev", "test", "validated")
_FORMATS = (".flac", ".wav", ".opus", ".ogg", ".mp3")


def read_librispeech(folder: Path) -> list[Utterance]:
    """Read `SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` and the recordings beside it, from any level upwards."""
    found = []
    for path in sorted(folder.rglob("*.trans.txt")):
        speaker = path.name.split("-")[0]
        subset = split_name(path.resolve().parents[2].name)
        for line in read_lines(path):
            name, _, text = line.strip().partition(" ")
            if name:
                audio = _recording(path.parent, name)
                found.append(Utterance(audio, UNKNOWN, text=text.strip(), speaker=speaker, split=subset))
    return found


def read_common_voice(source: Path) -> list[Utterance]:
    """Read a release: train, dev and test.tsv, or validated.tsv where there are none, with `clips/` beside them.

    Args:
        source: the folder of a language, or one of its lists.
    """
    if source.is_file():
        split = split_name(source.stem)
        return [_clip(row, source, place, split) for place, row in read_delimited(source, "\t")]
    lists = [path for path in (source / f"{name}.tsv" for name in COMMON_VOICE) if path.is_file()]
    if len(lists) > 1:
        lists = [path for path in lists if path.stem != "validated"]  # which repeats the others
    return [utterance for path in lists for utterance in read_common_voice(path)]


def _clip(row: dict[str, object], source: Path, place: str, split: str | None) -> Utterance:
    name = str(row.get("path", ""))
    if not name:
        raise ManifestError(f"{place} names no clip; the column path is wanted")
    clip = name if Path(name).suffix else f"{name}.mp3"  # as the first releases have it
    known = {key: row.get(key) for key in ("sentence", "locale", "client_id")} | {"audio": clip, "split": split}
    return from_row(known, source.parent / "clips", place, measured=False)


def read_ljspeech(folder: Path) -> list[Utterance]:
    """Read `metadata.csv` with the lines `id|text|normalised text`, of which the last is taken, and `wavs/`."""
    path = folder / "metadata.csv"
    found = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("|")
        if len(cells) not in (2, 3) or not cells[0]:
            raise ManifestError(f"{path} line {number} is {line!r}; id|text or id|text|normalised text is wanted")
        audio = _recording(folder / "wavs", cells[0])
        found.append(Utterance(audio, UNKNOWN, text=cells[-1].strip() or cells[1].strip()))
    return found


def read_plain(folder: Path) -> list[Utterance]:
    """Read every recording below a folder, with the text of the `.txt` or `.lab` file of its name, if there is one."""
    found = []
    for audio in recordings(folder):
        beside = next((path for path in map(audio.with_suffix, (".txt", ".lab")) if path.is_file()), None)
        text = " ".join(" ".join(read_lines(beside)).split()) if beside else None
        top = audio.relative_to(folder).parts[0]
        found.append(Utterance(audio, UNKNOWN, text=text, split=split_name(top) if top != audio.name else None))
    return found


def recordings(folder: Path) -> Iterator[Path]:
    """Sound files below a folder in the order of their names; hidden ones are none."""
    inside = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return iter(sorted(path for path in inside if not path.name.startswith(".") and path.is_file()))


def _recording(folder: Path, name: str) -> Path:
    """The recording of this name, in the first format that is there."""
    found = (folder / f"{name}{suffix}" for suffix in ("", *_FORMATS))
    return next((path for path in found if path.is_file()), folder / f"{name}{_FORMATS[0]}")
