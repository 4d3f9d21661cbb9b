"""A language model as decoders use it: words, ids, states, scores. Knows its files by their first bytes only.

Probabilities are natural logarithms here; ARPA files hold decimal ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from xlsr.decoding.ngram.lookup import Float32, NGramArrays, score_ids
from xlsr.errors import LanguageModelError

Unit = Literal["word", "char"]
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPECIALS = (UNKNOWN, BEGIN, END)
MAX_ORDER = 20


@dataclass(frozen=True, eq=False)
class NGram:
    """A back-off n-gram model of words or characters.

    Attributes:
        arrays: its trie; a state is a node of it.
        words: by id; <s>, </s> and <unk> are among them.
        counts: number of n-grams of each order.
        unit: whether its words are words, or characters with a symbol for the space.
        comment: what its file says of itself, a line each.
    """

    arrays: NGramArrays
    words: tuple[str, ...]
    counts: tuple[int, ...]
    unit: Unit = "word"
    comment: str = ""

    @property
    def order(self) -> int:
        """Length of its longest n-grams."""
        return len(self.counts)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words)}

    @cached_property
    def unk_id(self) -> int:
        """Id of <unk>, which stands for every word outside the model."""
        return self._ids[UNKNOWN]

    @cached_property
    def end_id(self) -> int:
        """Id of </s>, the end of a sentence."""
        return self._ids[END]

    @property
    def empty(self) -> int:
        """State without a history."""
        return 0

    @cached_property
    def start(self) -> int:
        """State at the start of a sentence, after <s>."""
        node = self._ids[BEGIN] + 1
        return node if self.arrays.is_state[node] else 0

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def id_of(self, word: str) -> int:
        """Return the id of a word; of one outside the model that of <unk>."""
        return self._ids.get(word, self.unk_id)

    def score(self, words: Iterable[str], *, bos: bool = True, eos: bool = True) -> float:
        """Return the natural log-probability of a sentence.

        Args:
            words: or characters, as `unit` says.
            bos: whether it follows <s>; else it begins without a history.
            eos: whether </s> counts as its last word.
        """
        return float(self.word_scores(words, bos=bos, eos=eos).sum(dtype=np.float64))

    def word_scores(self, words: Iterable[str], *, bos: bool = True, eos: bool = True) -> Float32:
        """Return the natural log-probability of each word, and of </s> if asked, as (words,) float32."""
        ids = np.array([*map(self.id_of, words), *([self.end_id] if eos else [])], np.int32)
        return score_ids(self.arrays, self.start if bos else self.empty, ids, self.end_id)

    @staticmethod
    def load(path: str | Path, *, unit: Unit | None = None) -> NGram:
        """Read an ARPA file, plain or gzipped, or a `.ngram` file; the content decides which.

        Args:
            path: the file.
            unit: of its words; None: as the file says, else `char` if no word has two characters.

        Raises:
            LanguageModelError: the file is damaged, of another kind, or a binary of KenLM.
        """
        from xlsr.decoding.ngram import arpa, binary

        path = Path(path)
        check_file(path)
        with path.open("rb") as file:
            ours = file.read(len(binary.MAGIC)) == binary.MAGIC
        return binary.read_binary(path, unit=unit) if ours else arpa.read_arpa(path, unit=unit)

    def save(self, path: str | Path, *, quantize: bool = False) -> None:
        """Write the model as its suffix says: `.arpa`, `.arpa.gz`, or `.ngram`, which loads at once.

        Args:
            path: the file.
            quantize: write a `.ngram` of three to five bytes an n-gram: each probability becomes the nearest of 256 of
                its order.

        Raises:
            LanguageModelError: another suffix, or `quantize` with an ARPA file.
        """
        from xlsr.decoding.ngram import arpa, binary

        path = Path(path)
        check_suffix(path, quantize=quantize)
        part = path.with_name(f".{path.name}")  # a model that was not written to its end has not its name
        try:
            if path.suffix == ".ngram":
                binary.write_binary(self, part, quantize=quantize)
            else:
                arpa.write_arpa(self, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def check_file(path: Path) -> None:
    """Raise LanguageModelError where there is no file."""
    if not path.exists() or path.is_dir():
        raise LanguageModelError(f"{path} is not there, or no file; wanted a text or an n-gram model: check the name")


def check_suffix(path: Path, *, quantize: bool) -> None:
    """Raise LanguageModelError unless a model can be written under this name."""
    if path.suffix != ".ngram" and not path.name.endswith((".arpa", ".arpa.gz")):
        raise LanguageModelError(f"{path.name} is no name for a language model; wanted .arpa, .arpa.gz or .ngram")
    if quantize and path.suffix != ".ngram":
        raise LanguageModelError(f"{path.name} cannot hold quantised values; name it .ngram")


def infer_unit(words: Sequence[str]) -> Unit:
    """Guess the unit of a model: characters if no word but those in angle brackets has two."""
    plain = [word for word in words if not (word.startswith("<") and word.endswith(">"))]
    return "char" if plain and all(len(word) == 1 for word in plain) else "word"
