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

from xlsr.decoding.ngram.model import BEGIN, END, MAX_ORDER, UNKNOWN, NGram, Unit, infer_unit
from xlsr.decoding.ngram.trie import Level, RepeatedNGramError, build_trie, parents_and_words
from xlsr.errors import LanguageModelError

LN10 = math.log(10.0)
_KENLM = b"mmap lm http://kheafield.com/code format version"
_GZIP = b"\x1f\x8b"
_NO_UNKNOWN = -100.0  # log10 of <unk> where a file has none, as KenLM has it
_MAX_NODES = 2**31 - 2  # nodes are int32
_MAX_EXPANSION, _FREE_BYTES = 100, 1 << 20  # of a gzip file; real ones unfold to 3-10 times their size
_BLOCK_BYTES = 1 << 20  # and of a line
_CHUNK_LINES = 1 << 10  # what fits into a cache is parsed twice as fast
_UNIT = "unit: "


class _Lines:
    """The lines of a file; the number of the last one that was taken is known."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, path: Path, limit: int) -> None:
        self.path, self.number = path, 0
        self._file, self._left = file, limit
        self._waiting, self._taken = list[bytes](), 0
        self._rest = b""

    def take(self, wanted: int) -> list[bytes]:
        """Return so many lines, fewer only at the end of the file."""
        while len(self._waiting) - self._taken < wanted and (data := self._file.read(_BLOCK_BYTES)):
            self._left -= len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._waiting = self._waiting[self._taken :] + lines
            self._taken = 0
            if self._left < 0 or len(self._rest) > _BLOCK_BYTES:
                self.number += len(self._waiting)
                self.fail(f"or the next has more than {_BLOCK_BYTES} bytes, or this gzip file unfolds without end")
        if len(self._waiting) - self._taken < wanted and self._rest:
            self._waiting.append(self._rest)
            self._rest = b""
        lines = self._waiting[self._taken : self._taken + wanted]
        self._taken += len(lines)
        self.number += len(lines)
        return lines

    def next(self, wanted: str) -> bytes:
        """Return the next line without white space at its ends."""
        for line in self.take(1):
            return line.strip()
        raise LanguageModelError(f"{self.path} ends after line {self.number}; wanted {wanted}: it is cut off")

    def fail(self, problem: str, number: int | None = None) -> NoReturn:
        """Raise the error of a line, by default of the last one."""
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
    while (taken := lines.take(1)) and (line := taken[0].strip()) != b"\\data\\":
        if line.startswith(b"#"):
            comment.append(line[1:].decode("utf-8", "replace").strip())
    if not taken:
        raise LanguageModelError(f"{lines.path} is no ARPA file: none of its {lines.number} lines is `\\data\\`")
    counts: list[int] = []
    while line := lines.next("an empty line after the counts"):
        name, _, number = line.decode("utf-8", "replace").partition("=")
        wanted = f"ngram {len(counts) + 1}"
        if " ".join(name.split()) != wanted or not number.strip().isdecimal():
            lines.fail(f"is {_shown(line)}; wanted `{wanted}=COUNT`, or an empty line after the last order")
        counts.append(int(number))
    if not 1 <= len(counts) <= MAX_ORDER:
        lines.fail(f"ends the list of {len(counts)} orders; wanted 1 to {MAX_ORDER}")
    if not 1 <= sum(counts) <= _MAX_NODES:
        lines.fail(f"ends a list of {sum(counts)} n-grams; wanted 1 to {_MAX_NODES}")
    return comment, counts


def _skip_to(lines: _Lines, wanted: str) -> None:
    line = b""
    while not line:
        line = lines.next(f"`{wanted}`")
    if line != wanted.encode():
        lines.fail(f"is {_shown(line)}; wanted `{wanted}`: there are more lines than the counts at the top say")


def _read_section(lines: _Lines, order: int, count: int, ids: dict[bytes, int]) -> Level:
    """Read the n-grams of one order; those of the first are the words, and get their ids here."""
    parts = [(np.zeros((0, order), np.int32), np.zeros((2, 0)))]
    for begun in range(0, count, _CHUNK_LINES):
        start, wanted = lines.number + 1, min(_CHUNK_LINES, count - begun)
        rows = [line.split() for line in lines.take(wanted)]
        if order == 1:
            _take_words(lines, rows, start, ids)
        try:
            first, *columns, last = itertools.zip_longest(*rows, [b""] * (order + 2), fillvalue=b"0")
            words = np.array([[*map(ids.__getitem__, column[:-1])] for column in columns], np.int32).T
            values = np.array([[*map(float, column[:-1])] for column in (first, last)])
            usable = len(columns) == order and bool(np.isfinite(values).all() and (values[0] <= 0).all())
        except (ValueError, KeyError):
            usable = False
        if not usable or min(map(len, rows), default=order + 1) <= order:
            _explain(lines, rows, start, order, ids)
        if len(rows) < wanted:
            lines.next(f"{count} {order}-grams, of which {begun + len(rows)} are there")
        parts.append((words, values))
    log10, backoff = np.concatenate([values for _, values in parts], axis=1) * LN10
    words = np.concatenate([words for words, _ in parts])
    return Level(words, log10.astype(np.float32), backoff.astype(np.float32))


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


def write_arpa(model: NGram, path: Path) -> None:
    """Write an ARPA file, gzipped if its name ends in .gz; the unit and the comment stand in lines before \\data\\."""
    with gzip.open(path, "wt", 6, "utf-8") if path.suffix == ".gz" else path.open("w", encoding="utf-8") as file:
        file.writelines(f"# {line}\n" for line in model.comment.splitlines())
        file.write("\\data\\\n")
        file.writelines(f"ngram {order}={count}\n" for order, count in enumerate(model.counts, 1))
        for order, lines in enumerate(_sections(model), 1):
            file.write(f"\n\\{order}-grams:\n")
            file.writelines(lines)
        file.write("\n\\end\\\n")


def _sections(model: NGram) -> Iterator[Iterator[str]]:
    """Yield the lines of each order."""
    parents, words = parents_and_words(model.arrays)
    log10, backoff = (values / np.float64(LN10) + 0.0 for values in (model.arrays.log_prob, model.arrays.backoff))
    start, texts = 0, [""]  # of the order before
    for order, count in enumerate(model.counts, 1):
        first, stop = start + len(texts), start + len(texts) + count
        before = [texts[parent] for parent in (parents[first:stop] - start).tolist()]
        last = [model.words[word] for word in words[first:stop].tolist()]
        texts = [f"{history} {word}" for history, word in zip(before, last, strict=True)] if order > 1 else last
        columns = [log10[first:stop].tolist(), texts]
        if order < model.order:
            yield map("%.7g\t%s\t%.7g\n".__mod__, zip(*columns, backoff[first:stop].tolist(), strict=True))
        else:
            yield map("%.7g\t%s\n".__mod__, zip(*columns, strict=True))
        start = first
