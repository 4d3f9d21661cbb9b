"""Texts -> sentences of word ids. Knows files and how they are normalised; counts nothing but words.

A line is a sentence. The ids of a text too large for memory wait in a temporary file.
"""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from xlsr.decoding.ngram.lookup import Int32
from xlsr.decoding.ngram.model import BEGIN, END, SPECIALS, Unit, check_file
from xlsr.errors import LanguageModelError
from xlsr.normalize import describe_scoring, normalize_text

STDIN = "-"
_MAX_LINE_BYTES = 1 << 24
_GZIP = b"\x1f\x8b"
_BLOCK_TOKENS = 1 << 18


@dataclass(frozen=True)
class Normalization:
    """What is done to a line before it is counted or scored.

    Attributes:
        lowercase: as `normalize_text` has it.
        drop_punctuation: as `normalize_text` has it.
        unit: words, or characters.
        space: stands for the space between words in a model of characters.
    """

    lowercase: bool = True
    drop_punctuation: bool = True
    unit: Unit = "word"
    space: str = "|"

    def __post_init__(self) -> None:
        if self.space.split() != [self.space]:
            raise LanguageModelError(f"space is {self.space!r}; wanted a symbol without white space, such as |")

    def __str__(self) -> str:
        said = describe_scoring(lowercase=self.lowercase, drop_punctuation=self.drop_punctuation)
        return said if self.unit == "word" else f"{said}, characters with {self.space} for the space"

    def words(self, line: str) -> list[str]:
        """Return the words, or characters, of a line."""
        text = normalize_text(line, lowercase=self.lowercase, drop_punctuation=self.drop_punctuation)
        return text.split() if self.unit == "word" else list(text.replace(" ", self.space))


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a text, plain or gzipped; `-` is stdin. A byte-order mark at the start is dropped.

    Raises:
        LanguageModelError: a line is not UTF-8 or longer than 16 MiB, or the gzip file is damaged.
    """
    number = 0
    with _opened(path) as file:
        try:
            while line := file.readline(_MAX_LINE_BYTES):
                number += 1
                if len(line) == _MAX_LINE_BYTES:
                    raise LanguageModelError(
                        f"{path}, line {number}, has {_MAX_LINE_BYTES >> 20} MiB and more; wanted one sentence a line"
                    )
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise LanguageModelError(
                f"{path}, line {number}, is not UTF-8 ({error.reason}); convert it: iconv -f ENCODING -t UTF-8"
            ) from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise LanguageModelError(f"{path} is a damaged gzip file, after line {number}: {error}") from error


@contextmanager
def _opened(path: str | Path) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """Open a text; pipes cannot go back, so the first bytes are looked at and stay."""
    stdin = str(path) == STDIN
    if not stdin:
        check_file(Path(path))
    with open(sys.stdin.fileno() if stdin else path, "rb", closefd=not stdin) as file:
        if file.peek(len(_GZIP))[: len(_GZIP)] != _GZIP:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked


class Corpus:
    """Sentences as word ids, each ended by </s>; a context manager, since what does not fit into memory lies on disk.

    Ids are given in order of appearance; `number_words` gives the final ones.

    Attributes:
        counts: (words,) int64, how often each occurs; of </s> the number of sentences.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._ids: defaultdict[str, int] = defaultdict()
        self._ids.default_factory = self._ids.__len__
        self._ids.update({word: place for place, word in enumerate(SPECIALS)})
        self.counts = np.zeros(len(SPECIALS), np.int64)
        self._final = np.zeros(0, np.int32)
        self._waiting: list[int] = []
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_bytes)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def words(self) -> list[str]:
        """The words by id; <unk>, <s> and </s> come first."""
        return list(self._ids)

    def read(self, path: str | Path, normalization: Normalization) -> None:
        """Add the sentences of a text; lines without a word are none.

        Raises:
            LanguageModelError: as `read_lines`, or a line holds <s> or </s>.
        """
        ids, end = self._ids, self._ids[END]
        for number, line in enumerate(read_lines(path), 1):
            words = normalization.words(line)
            if "s>" in line and not {BEGIN, END}.isdisjoint(words):
                raise LanguageModelError(
                    f"{path}, line {number}, has the word <s> or </s>; every line gets them anyway"
                )
            if words:
                self._waiting += [ids[word] for word in words]
                self._waiting.append(end)
                if len(self._waiting) > _BLOCK_TOKENS:
                    self._store()
        self._store()

    def number_words(self, vocabulary: Sequence[str] | None, vocab_size: int | None) -> None:
        """Give the words their final ids, the commonest first; those outside the vocabulary become <unk>.

        Args:
            vocabulary: the words of the model; None: all that occur.
            vocab_size: so many of them at most, the commonest.

        Raises:
            LanguageModelError: there are no words at all.
        """
        if not self.counts.any():
            raise LanguageModelError("the texts have no words; wanted one sentence a line")
        counts = dict(zip(self._ids, self.counts.tolist(), strict=True))
        chosen = set(counts if vocabulary is None else vocabulary).difference(SPECIALS)
        words = sorted(chosen, key=lambda word: (-counts.get(word, 0), word))[:vocab_size]
        final = {word: place for place, word in enumerate((*SPECIALS, *words))}
        self._final = np.array([final.get(word, 0) for word in self._ids], np.int32)
        self.counts = np.bincount(self._final, self.counts, len(final)).astype(np.int64)
        self._ids.clear()
        self._ids.update(final)

    def blocks(self, tokens: int) -> Iterator[Int32]:
        """Yield whole sentences of about so many words, one after the other, in final ids."""
        end = self._ids[END]
        self._file.seek(0)
        rest = np.zeros(0, np.int32)
        while data := self._file.read(tokens * rest.itemsize):
            block = np.concatenate((rest, self._final[np.frombuffer(data, np.int32)]))
            ends = np.flatnonzero(block == end)
            whole = int(ends[-1]) + 1 if len(ends) else 0
            rest = block[whole:]
            if whole:
                yield block[:whole]

    def _store(self) -> None:
        block = np.array(self._waiting, np.int32)
        self._waiting.clear()
        self._file.write(block.tobytes())
        self.counts = np.bincount(block, minlength=len(self._ids)) + np.pad(
            self.counts, (0, len(self._ids) - len(self.counts))
        )
