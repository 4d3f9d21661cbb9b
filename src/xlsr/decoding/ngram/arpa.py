"""ARPA files, plain or gzipped: the text format that every n-gram toolkit reads and writes.

Reads what SRILM, KenLM and others write: n-grams in any order, without <unk>, without back-off weights where nothing
follows, and with n-grams pruned away below longer ones. Every mistake is told with its line. Nothing is allocated by
what the file declares; a gzip file may unfold to so many times its size and no more.

Sources: ngram-format(5) of SRILM; Heafield 2011 (which lines stand before \\data\\).
"""

from __future__ import annotations

import gzip
import itertools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from xlsr.decoding.ngram.model import BEGIN, END, UNKNOWN, NGram, Unit, infer_unit
from xlsr.decoding.ngram.trie import Level, RepeatedNGramError, build_trie
from xlsr.errors import LanguageModelError

LN10 = math.log(10.0)
_KENLM = b"mmap lm http://kheafield.com/code format version"
_GZIP = b"\x1f\x8b"
_NO_UNKNOWN = -100.0  # log10 of <unk> where a file has none, as KenLM has it
_MAX_ORDER = 20
_MAX_LINE_BYTES = 1 << 16
_MAX_NODES = 2**31 - 2  # nodes are int32
_MAX_EXPANSION, _FREE_BYTES = 100, 1 << 20  # of a gzip file; real ones unfold to 3-10 times their size
_CHUNK_LINES = 1 << 15
_UNIT = "unit: "


class _Lines:
    """The lines of a file, counted, without their ends."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, path: Path, limit: int) -> None:
        self.path, self.number = path, 0
        self._file, self._left = file, limit

    def __iter__(self) -> Iterator[bytes]:
        while line := self._file.readline(_MAX_LINE_BYTES):
            self.number += 1
            self._left -= len(line)
            if len(line) == _MAX_LINE_BYTES:
                self.fail(f"is longer than {_MAX_LINE_BYTES} bytes")
            if self._left < 0:
                self.fail(f"is more than {_MAX_EXPANSION} times as far as a file of this size unfolds")
            yield line.rstrip(b"\r\n")

    def next(self, wanted: str) -> bytes:
        for line in self:
            return line
        raise LanguageModelError(f"{self.path} ends after line {self.number}; wanted {wanted}: it is cut off")

    def fail(self, problem: str, number: int | None = None) -> NoReturn:
        raise LanguageModelError(f"{self.path}, line {number or self.number}, {problem}")


def read_arpa(path: Path, *, unit: Unit | None = None) -> NGram:
    """Read an ARPA file.

    Args:
        path: plain or gzipped, whatever its name.
        unit: of its words; None: as a comment of ours says, else by their length.

    Raises:
        LanguageModelError: what is wrong, in which line, and what is wanted.
    """
    with path.open("rb") as file:
        start = file.read(len(_KENLM))
        if start == _KENLM:
            raise LanguageModelError(
                f"{path} is a binary of KenLM, which cannot be turned back; give the ARPA file that build_binary read, "
                "or make one from the text: lmplz -o 3 < TEXT > lm.arpa, or: xlsr lm build TEXT lm.arpa"
            )
        packed = start.startswith(_GZIP)
        limit = path.stat().st_size * (_MAX_EXPANSION if packed else 1) + _FREE_BYTES
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file) if packed else file as opened:
                return _read(_Lines(opened, path, limit), unit)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise LanguageModelError(f"{path} is a damaged gzip file: {error}") from error


def _read(lines: _Lines, unit: Unit | None) -> NGram:
    comment, counts = _read_header(lines)
    ids: dict[bytes, int] = {}
    levels, starts = [], []
    for order, count in enumerate(counts, 1):
        _skip_to(lines, f"\\{order}-grams:")
        starts.append(lines.number + 1)
        levels.append(_read_section(lines, order, count, ids))
        if order == 1:
            words = _decode(lines, ids, starts[0])
    _skip_to(lines, "\\end\\")
    if UNKNOWN not in words:
        words.append(UNKNOWN)
        levels[0] = _with_unknown(levels[0])
    for special in (BEGIN, END):
        if special not in words:
            raise LanguageModelError(f"{lines.path} has no word {special}; wanted <s> and </s> among its 1-grams")
    try:
        arrays, found = build_trie(levels)
    except RepeatedNGramError as error:
        lines.fail(f"repeats a {error.order}-gram; wanted each once", starts[error.order - 1] + error.row)
    said = next((line[len(_UNIT) :] for line in comment if line.startswith(_UNIT)), None)
    stated: Unit | None = "char" if said == "char" else "word" if said == "word" else None
    return NGram(arrays, tuple(words), found, unit or stated or infer_unit(words), "\n".join(comment))


def _read_header(lines: _Lines) -> tuple[list[str], list[int]]:
    comment: list[str] = []
    for line in lines:
        if line.strip() == b"\\data\\":
            break
        if line.startswith(b"#"):
            comment.append(line[1:].decode("utf-8", "replace").strip())
    else:
        raise LanguageModelError(f"{lines.path} is no ARPA file: none of its {lines.number} lines is \\data\\")
    counts: list[int] = []
    for line in lines:
        if not line.strip():
            break
        name, _, number = line.decode("utf-8", "replace").partition("=")
        wanted = f"ngram {len(counts) + 1}"
        if " ".join(name.split()) != wanted or not number.strip().isdecimal():
            lines.fail(f"is {_shown(line)}; wanted `{wanted}=COUNT`, or an empty line after the last order")
        counts.append(int(number))
    if not 1 <= len(counts) <= _MAX_ORDER:
        lines.fail(f"ends the list of {len(counts)} orders; wanted 1 to {_MAX_ORDER}")
    if not 1 <= sum(counts) <= _MAX_NODES:
        lines.fail(f"ends a list of {sum(counts)} n-grams; wanted 1 to {_MAX_NODES}")
    return comment, counts


def _skip_to(lines: _Lines, wanted: str) -> None:
    line = b""
    while not line:
        line = lines.next(f"`{wanted}`").strip()
    if line != wanted.encode():
        lines.fail(f"is {_shown(line)}; wanted `{wanted}`: there are more lines than the counts at the top say")


def _read_section(lines: _Lines, order: int, count: int, ids: dict[bytes, int]) -> Level:
    """Read the n-grams of one order; those of the first are the words, and get their ids here."""
    parts = [(np.zeros((0, order), np.int32), np.zeros(0), np.zeros(0))]
    for begun in range(0, count, _CHUNK_LINES):
        start = lines.number + 1
        wanted = min(_CHUNK_LINES, count - begun)
        rows = [line.split() for line in itertools.islice(lines, wanted)]
        if len(rows) < wanted:
            lines.next(f"{count} {order}-grams, of which {begun + len(rows)} are there")
        if order == 1:
            _take_words(lines, rows, start, ids)
        try:
            found = np.array([[ids[word] for word in row[1 : order + 1]] for row in rows], np.int32)
            log10 = np.array([float(row[0]) for row in rows])
            backoff = np.array([float(row[order + 1]) if len(row) > order + 1 else 0.0 for row in rows])
            usable = found.shape[1] == order and (log10 <= 0).all() and np.isfinite(log10 + backoff).all()
            usable &= max(map(len, rows)) <= order + 2
        except (ValueError, KeyError, IndexError):
            usable = False
        if not usable:
            _explain(lines, rows, start, order, ids)
        parts.append((found, log10, backoff))
    words, log10, backoff = map(np.concatenate, zip(*parts, strict=True))
    return Level(words, (log10 * LN10).astype(np.float32), (backoff * LN10).astype(np.float32))


def _explain(lines: _Lines, rows: list[list[bytes]], start: int, order: int, ids: dict[bytes, int]) -> NoReturn:
    """Say what is wrong with the first bad line of a chunk."""
    wanted = f"log10 probability, {order} words" if order > 1 else "log10 probability, word"
    for number, row in enumerate(rows, start):
        line = b" ".join(row)
        if not order + 1 <= len(row) <= order + 2:
            lines.fail(f"is {_shown(line)}; wanted {wanted} and perhaps a back-off weight", number)
        try:
            log10, backoff = float(row[0]), float(row[-1]) if len(row) == order + 2 else 0.0
        except ValueError:
            lines.fail(f"is {_shown(line)}, where a number cannot be read; wanted {wanted}", number)
        if not math.isfinite(log10 + backoff) or log10 > 0:
            lines.fail(f"is {_shown(line)}; wanted a log10 probability of at most 0 and finite numbers", number)
        for word in row[1 : order + 1]:
            if word not in ids:
                lines.fail(f"has the word {_shown(word)}, which is no 1-gram of this file", number)
    raise AssertionError("one of the lines is wrong")


def _take_words(lines: _Lines, rows: list[list[bytes]], start: int, ids: dict[bytes, int]) -> None:
    for number, row in enumerate(rows, start):
        if len(row) > 1:
            if row[1] in ids:
                lines.fail(f"repeats the word {_shown(row[1])}; wanted each once", number)
            ids[row[1]] = len(ids)


def _decode(lines: _Lines, ids: dict[bytes, int], start: int) -> list[str]:
    words = []
    for number, word in enumerate(ids, start):
        try:
            words.append(word.decode("utf-8"))
        except UnicodeDecodeError:
            lines.fail(f"has the word {_shown(word)}; wanted UTF-8: convert the file with iconv", number)
    if UNKNOWN not in words and "<UNK>" in words:
        words[words.index("<UNK>")] = UNKNOWN
    return words


def _with_unknown(level: Level) -> Level:
    return Level(
        np.append(level.words, np.full((1, 1), len(level.words), np.int32), axis=0),
        np.append(level.log_prob, np.float32(_NO_UNKNOWN * LN10)),
        np.append(level.backoff, np.float32(0.0)),
    )


def _shown(text: bytes) -> str:
    return repr(text[:60].decode("utf-8", "backslashreplace"))
