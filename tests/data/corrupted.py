"""A real corpus, and a copy of it with faults of every kind put into known rows.

Knows how to spoil rows and which finding each must bring; asserts nothing.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE
from xlsr.data.manifest import load_utterance, read_manifest

EACH = 3  # rows a fault


@dataclass
class Corpus:
    """Rows of a manifest that can be spoiled, and what must be found in them.

    Attributes:
        folder: where spoiled recordings are written.
        rows: JSON objects, or lines that are none.
        untouched: places of rows that no fault has taken, in random order.
        expected: (line, code) of every fault.
    """

    folder: Path
    rows: list[dict | str]
    rng: np.random.Generator
    untouched: list[int] = field(default_factory=list)
    expected: set[tuple[int, str]] = field(default_factory=set)

    def pick(self, code: str, accept: Callable[[dict], bool] = lambda row: row["split"] == "train") -> list[int]:
        """Take rows for a fault, and expect it there."""
        taken = [place for place in self.untouched if accept(self.rows[place])][:EACH]
        assert len(taken) == EACH, f"too few rows are left for {code}"
        self.untouched = [place for place in self.untouched if place not in taken]
        self.expected |= {(place + 1, code) for place in taken}
        return taken

    def add(self, row: dict | str, code: str) -> None:
        """Append a row that is a fault."""
        self.rows.append(row)
        self.expected.add((len(self.rows), code))

    def samples(self, place: int) -> NDArray[np.float32]:
        """(samples,) at 16 kHz of a row."""
        return _samples(self.rows[place]["audio"], self.rows[place]["duration"])

    def write(self, place: int, samples: NDArray[np.float32], rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> Path:
        """Give a row another recording."""
        path = self.folder / f"spoiled-{place}.wav"
        soundfile.write(path, samples, rate, subtype)
        self.rows[place]["audio"] = str(path)
        return path

    def save(self, name: str) -> Path:
        """Write the manifest."""
        path = self.folder / name
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in self.rows]
        path.write_text("".join(line + "\n" for line in lines), "utf-8")
        return path


def _samples(audio: str, duration: float) -> NDArray[np.float32]:
    from xlsr.data.manifest import Utterance

    return load_utterance(Utterance(Path(audio), duration))


def real_rows(manifest: Path, *, num_train: int, num_held_out: int) -> list[dict]:
    """Rows of a real corpus with absolute paths, spread over its readers."""
    lines = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    rows = [line | {"audio": str(u.audio)} for line, u in zip(lines, read_manifest(manifest), strict=True)]
    train = [row for row in rows if row["split"] == "train" and row["duration"] < 12]
    held = [row for row in rows if row["split"] != "train" and row["duration"] < 12]
    chosen = [*train[:: len(train) // num_train][:num_train], *held[:: len(held) // num_held_out][:num_held_out]]
    return [{key: row[key] for key in ("audio", "language", "text", "speaker", "duration", "sample_rate", "split")}
            for row in chosen]  # fmt: skip


def spoil(corpus: Corpus) -> None:
    """Put every kind of fault into rows of its own."""
    corpus.untouched = corpus.rng.permutation(len(corpus.rows)).tolist()
    for fault in (_held_out, _copies, _levels, _speeds, _lengths, _rates, _files, _spelling, _missing):
        fault(corpus)


def _held_out(corpus: Corpus) -> None:
    rows = corpus.rows
    is_held = lambda row: row["split"] != "train"  # noqa: E731
    train_speaker = next(row["speaker"] for row in rows if row["split"] == "train")
    for place in corpus.pick("speaker_leak", is_held):
        rows[place]["speaker"] = train_speaker
    for place, letter in zip(corpus.pick("unseen_characters", is_held), "žßя", strict=True):
        rows[place]["text"] += f" {letter}"
    held = [place for place in corpus.untouched if is_held(rows[place])]
    for place in corpus.pick("text_leak"):
        length = len(rows[place]["text"])
        twin = min(held, key=lambda other: abs(len(rows[other]["text"]) - length))
        rows[place]["text"] = rows[twin]["text"]
        corpus.untouched = [other for other in corpus.untouched if other != twin]
    for place in [p for p in corpus.untouched if is_held(rows[p])][:EACH]:
        path = corpus.folder / f"leak-{place}.flac"
        soundfile.write(path, corpus.samples(place), SAMPLE_RATE, "PCM_24")
        samples = soundfile.read(path, dtype="float32")[0]
        corpus.write(place, samples, subtype="FLOAT")  # the same samples in another container
        corpus.untouched.remove(place)
        corpus.add(rows[place] | {"audio": str(path), "split": "train"}, "audio_leak")


def _copies(corpus: Corpus) -> None:
    rows = corpus.rows
    originals = [place for place in corpus.untouched if rows[place]["split"] == "train"][: 2 * EACH]
    for number, place in enumerate(originals):
        path = corpus.write(place, corpus.samples(place))
        copy = path.with_name(f"copy-{place}.wav")
        copy.write_bytes(path.read_bytes())
        corpus.untouched.remove(place)
        if number % 2:
            corpus.add(rows[place] | {"audio": str(copy)}, "duplicate_audio")
        else:
            words = rows[place]["text"].split()[::-1]
            corpus.add(rows[place] | {"audio": str(copy), "text": " ".join(words)}, "contradictory_text")


def _levels(corpus: Corpus) -> None:
    for number, place in enumerate(corpus.pick("silent_audio")):
        noise = corpus.rng.standard_normal(len(corpus.samples(place))) * 1e-5 * number
        corpus.write(place, noise.astype(np.float32))
    for place in corpus.pick("clipped_audio"):
        loud = corpus.samples(place)
        corpus.write(place, np.clip(loud / np.abs(loud).max() * corpus.rng.uniform(4, 10), -1, 1))
    for place in corpus.pick("dc_offset"):
        corpus.write(place, corpus.samples(place) * 0.5 + corpus.rng.choice([-1, 1]) * corpus.rng.uniform(0.03, 0.2))
    for place in corpus.pick("mostly_silence", lambda row: row["split"] == "train" and row["duration"] > 8):
        spoken = corpus.samples(place)
        loudest = int(np.abs(spoken).argmax())
        hushed = np.zeros_like(spoken)
        hushed[max(loudest - 2400, 0) : loudest + 2400] = spoken[max(loudest - 2400, 0) : loudest + 2400]
        corpus.write(place, hushed)
        corpus.rows[place]["text"] = corpus.rows[place]["text"].split()[0]
    for place in corpus.pick("nan_audio"):
        broken = corpus.samples(place).copy()
        broken[corpus.rng.integers(len(broken))] = corpus.rng.choice([np.nan, np.inf])
        corpus.write(place, broken, subtype="FLOAT")


def _speeds(corpus: Corpus) -> None:
    for place, rate in zip(corpus.pick("wrong_rate"), (8_000, 32_000, 22_050), strict=True):
        corpus.write(place, corpus.samples(place), rate)
    for place in corpus.pick("wrong_rate"):
        corpus.rows[place]["sample_rate"] = 44_100


def _lengths(corpus: Corpus) -> None:
    first, second, third = corpus.pick("truncated_audio")
    path = corpus.write(first, corpus.samples(first))  # its header promises more
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    flac = corpus.folder / "cut.flac"
    soundfile.write(flac, corpus.samples(second), SAMPLE_RATE)
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size * 6 // 10])
    corpus.rows[second]["audio"] = str(flac)
    whole = corpus.samples(third)  # its row promises more
    corpus.write(third, whole[: int(len(whole) * 0.83)])
    for place in corpus.pick("wrong_duration"):
        corpus.rows[place]["duration"] = round(corpus.rows[place]["duration"] * 0.83, 3)
    short, *long = corpus.pick("duration_outlier")
    corpus.write(short, corpus.samples(short)[8_000:9_200])
    corpus.rows[short] |= {"duration": 0.075, "text": "a"}
    for place in long:
        repeats = int(31 / corpus.rows[place]["duration"]) + 1
        corpus.write(place, np.tile(corpus.samples(place), repeats))
        corpus.rows[place]["duration"] *= repeats
        corpus.rows[place]["text"] = " ".join([corpus.rows[place]["text"]] * repeats)


def _rates(corpus: Corpus) -> None:
    for place in corpus.pick("too_many_labels"):
        corpus.rows[place]["text"] = " ".join([corpus.rows[place]["text"]] * 8)
    fast, faster, slow = corpus.pick("implausible_rate", lambda row: row["split"] == "train" and row["duration"] > 8)
    for place in (fast, faster):
        wanted = 14.7 * 2.6 * corpus.rows[place]["duration"]  # the usual rate of the corpus, 2.6 times
        text = " ".join([corpus.rows[place]["text"]] * 8)
        corpus.rows[place]["text"] = text[: int(wanted)].rsplit(" ", 1)[0]
    corpus.rows[slow]["text"] = corpus.rows[slow]["text"].split()[0]


def _files(corpus: Corpus) -> None:
    for place, content in zip(corpus.pick("unreadable_audio"), (None, b"", b"<html>not found</html>"), strict=True):
        path = corpus.folder / f"unreadable-{place}.wav"
        if content is not None:
            path.write_bytes(content)
        corpus.rows[place]["audio"] = str(path)
    for line in ("{broken", "[1, 2]", '{"audio": "x.wav", "duration": "long"}'):
        corpus.add(line, "bad_row")


def _spelling(corpus: Corpus) -> None:
    def change(code: str, *changes: Callable[[str], str]) -> None:
        for place, spoiled in zip(corpus.pick(code, spellable), changes, strict=True):
            corpus.rows[place]["text"] = spoiled(corpus.rows[place]["text"])

    def spellable(row: dict) -> bool:
        return row["split"] == "train" and len(row["text"]) > 10 and set("eoa ") <= set(row["text"])

    change("confusable_characters", *[lambda t, pair=pair: t.replace(*pair, 1) for pair in ("eе", "oο", "aа")])
    change("invisible_characters", lambda t: t[:3] + "\u200b" + t[3:], lambda t: t.replace(" ", "\u00a0", 1),
           lambda t: t[:5] + "\u00ad" + t[5:])  # fmt: skip
    change("unspoken_symbols", lambda t: "25 " + t, lambda t: t.replace(" ", " & ", 1), lambda t: t + " 5%")
    change("mixed_case", str.upper, str.capitalize, str.title)
    change("not_nfc", *[lambda text: unicodedata.normalize("NFD", text + " café")] * 3)
    change("whitespace", lambda t: " " + t, lambda t: t + "\n", lambda t: t.replace(" ", "  ", 1))


def _missing(corpus: Corpus) -> None:
    for place, text in zip(corpus.pick("empty_text"), (None, "", "..."), strict=True):
        corpus.rows[place]["text"] = text
