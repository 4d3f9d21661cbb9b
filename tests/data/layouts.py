"""Small corpora of real speech in each layout that `prepare` reads, built as their own tools write them.

Knows how to write; asserts nothing. `CLIPS` is what every corpus holds: six stretches of the spoken digits of
examples/.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000
SAMPLES, _ = soundfile.read(Path(__file__).parents[2] / "examples" / "digits.wav", dtype="int16")
NAMES = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
CLIPS: dict[str, NDArray[np.int16]] = {
    name: SAMPLES[start : start + 8_000 + 80 * number]
    for number, (name, start) in enumerate(zip(NAMES, range(0, 60_000, 10_000), strict=True))
}


def text(name: str) -> str:
    return f"say {name} now"


def speaker(name: str) -> str:
    return f"s{NAMES.index(name) % 3}"


def waveform(name: str) -> NDArray[np.float32]:
    """What `load_utterance` must give, exactly."""
    return CLIPS[name].astype(np.float32) / 32_768


def save(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, CLIPS[name], RATE, subtype="PCM_16")
    return path


def lines(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return path


def manifest(folder: Path) -> Path:
    rows = []
    for name in NAMES:
        save(folder / "audio" / f"{name}.wav", name)
        row = {"audio": f"audio/{name}.wav", "duration": round(len(CLIPS[name]) / RATE, 2), "text": text(name)}
        rows.append(json.dumps({**row, "speaker": speaker(name)}))
    return lines(folder / "list.jsonl", rows)


def librispeech(folder: Path) -> Path:
    for number, name in enumerate(NAMES):
        chapter = folder / ("train-clean-5", "dev-clean-2", "test-other")[number % 3] / f"{number % 3}" / f"{number}"
        save(chapter / f"{number % 3}-{number}-0000.flac", name)
        lines(chapter / f"{number % 3}-{number}.trans.txt", [f"{number % 3}-{number}-0000 {text(name)}"])
    return folder


def commonvoice(folder: Path) -> Path:
    columns = ("client_id", "path", "sentence_id", "sentence", "up_votes", "locale")
    rows = []
    for name in NAMES:
        save(folder / "clips" / f"{name}.wav", name)
        rows.append("\t".join((speaker(name), f"{name}.wav", "", text(name), "2", "kab")))
    for split, part in (("train", rows[::3]), ("dev", rows[1::3]), ("test", rows[2::3]), ("validated", rows)):
        lines(folder / f"{split}.tsv", ["\t".join(columns), *part])
    lines(folder / "clip_durations.tsv", ["clip\tduration[ms]"])
    return folder


def ljspeech(folder: Path) -> Path:
    for name in NAMES:
        save(folder / "wavs" / f"{name}.wav", name)
    lines(folder / "metadata.csv", [f"{name}|Say {name}, 1 now|{text(name)}" for name in NAMES])
    return folder


def kaldi(folder: Path) -> Path:
    """One long recording with segments; its path is relative to the recipe's folder, two above the list."""
    data = folder / "data" / "train"
    (folder / "corpus").mkdir(parents=True)
    soundfile.write(folder / "corpus" / "long.wav", SAMPLES, RATE)
    lines(data / "wav.scp", ["long corpus/long.wav"])
    starts = {name: 10_000 * number / RATE for number, name in enumerate(NAMES)}
    ends = {name: starts[name] + len(CLIPS[name]) / RATE for name in NAMES}
    lines(data / "segments", [f"{name} long {starts[name]:.3f} {ends[name]:.3f}" for name in NAMES])
    lines(data / "text", [f"{name} {text(name)}" for name in NAMES])
    lines(data / "utt2spk", [f"{name} {speaker(name)}" for name in NAMES])
    return data


def fairseq(folder: Path) -> Path:
    for split, part in (("train", NAMES[:4]), ("valid", NAMES[4:])):
        for name in part:
            save(folder / "audio" / f"{name}.flac", name)
        rows = [f"{name}.flac\t{len(CLIPS[name])}" for name in part]
        lines(folder / f"{split}.tsv", [str(folder / "audio"), *rows])
        letters = [" ".join(text(name).replace(" ", "|")) + " |" for name in part]
        lines(folder / f"{split}.ltr", letters)
    return folder


def huggingface(folder: Path) -> Path:
    for split, part in (("train", NAMES[:4]), ("test", NAMES[4:])):
        for name in part:
            save(folder / split / f"{name}.wav", name)
        with (folder / split / "metadata.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("file_name", "transcription", "speaker_id"))
            writer.writerows((f"{name}.wav", text(name), speaker(name)) for name in part)
    return folder


def parquet(folder: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    (folder / "data").mkdir(parents=True)
    for split, part in (("train", NAMES[:4]), ("test", NAMES[4:])):
        rows = []
        for number, name in enumerate(part):
            content = io.BytesIO()
            soundfile.write(content, CLIPS[name], RATE, format="WAV")
            audio = {"bytes": content.getvalue(), "path": f"{name}.wav"}
            rows.append({"audio": audio, "text": text(name), "speaker_id": number, "extra": [1, 2]})
        table = pyarrow.Table.from_pylist(rows)
        pyarrow.parquet.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet", row_group_size=3)
    return folder


def plain(folder: Path) -> Path:
    for number, name in enumerate(NAMES):
        audio = save(folder / speaker(name) / f"{name}.wav", name)
        lines(audio.with_suffix((".txt", ".lab")[number % 2]), [text(name)])
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "manifest": manifest,
    "librispeech": librispeech,
    "commonvoice": commonvoice,
    "ljspeech": ljspeech,
    "kaldi": kaldi,
    "fairseq": fairseq,
    "huggingface": huggingface,
    "parquet": parquet,
    "plain": plain,
}
SPLITS = {
    "librispeech": {"train": 2, "dev": 2, "test": 2},
    "commonvoice": {"train": 2, "dev": 2, "test": 2},
    "fairseq": {"train": 4, "dev": 2},
    "huggingface": {"train": 4, "test": 2},
    "parquet": {"train": 4, "test": 2},
}  # the others have one manifest
