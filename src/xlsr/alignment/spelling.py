"""Written text -> the symbols to look for in a recording, and which written characters each stands for. Floor 3.

What is written stays outside, what is said goes inside: case and accents follow the vocabulary, digits become words
(`numbers`), punctuation is silent, and what the vocabulary cannot spell becomes a wildcard, so that every word is
found somewhere. A lone `*` is a wildcard too: for words that are said and not written. Knows no audio.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xlsr.alignment.numbers import NUMBER, say_number
from xlsr.decoding.hypothesis import WILDCARD
from xlsr.errors import AlignmentError
from xlsr.tokenizer import WORD_DELIMITER, Tokenizer

ANYTHING = "*"
_SAID = frozenset("%&@#°§")  # read aloud, like letters, numbers, and signs of currency and mathematics
_APOSTROPHES = frozenset("'’ʼ")
_MODIFIERS = frozenset(("Mn", "Mc", "Lm", "Sk"))  # Unicode's categories of marks on and after a letter
_MARK = re.compile(r"<.+>|\[.+\]")  # a symbol of the vocabulary that is never heard


@dataclass(frozen=True)
class Piece:
    """Written characters of a word that are said together.

    Attributes:
        text: one character, or several: digits, a symbol such as "ch".
        labels: where their symbols stand in `Spelling.ids`; empty where they are silent.
    """

    text: str
    labels: range


@dataclass(frozen=True)
class WrittenWord:
    """A word as it is written, with what surrounds it.

    Attributes:
        pieces: all of its characters, in order.
        line: of the text, from 0.
    """

    pieces: tuple[Piece, ...]
    line: int

    @property
    def text(self) -> str:
        """As it is written."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def labels(self) -> range:
        """Where its symbols stand; empty where it is silent."""
        spoken = [piece.labels for piece in self.pieces if piece.labels]
        return range(spoken[0].start, spoken[-1].stop) if spoken else range(0)


@dataclass(frozen=True)
class Spelling:
    """A text as the model would hear it.

    Attributes:
        ids: symbols, spaces between words, and `WILDCARD`s; these also begin and end it.
        words: in order.
        space_id: the space among `ids`; None where the vocabulary has none.
    """

    ids: tuple[int, ...]
    words: tuple[WrittenWord, ...]
    space_id: int | None


def spell(text: str, tokenizer: Tokenizer, *, language: str | None = None) -> Spelling:
    """Find the symbols of a text.

    Args:
        text: words, or for a phone model phones, with white space between them; a `|` between phones is passed over.
        tokenizer: of the model that heard the recording.
        language: ISO 639-3, for numbers.

    Raises:
        AlignmentError: the text has nothing in it that can be said.
    """
    writer = _Writer(tokenizer, language)
    lines = unicodedata.normalize("NFC", text).splitlines()
    words = [
        WrittenWord(tuple(writer.write(chunk)), number) for number, line in enumerate(lines) for chunk in line.split()
    ]
    words = [word for word in words if word.labels] if tokenizer.is_phones else _joined(words)
    if not words:
        raise AlignmentError(f"the text {text[:40]!r} has nothing in it that can be said")
    is_open = writer.ids[-1] == WILDCARD
    return Spelling((*writer.ids, *([] if is_open else [WILDCARD])), tuple(words), writer.space_id)


def _joined(words: Sequence[WrittenWord]) -> list[WrittenWord]:
    """Put what is silent, such as a lone dash, to the word before it, or at the beginning to the word after it."""
    found: list[WrittenWord] = []
    waiting: tuple[Piece, ...] = ()
    for word in words:
        if word.labels:
            found.append(WrittenWord((*waiting, *word.pieces), word.line))
            waiting = ()
        elif found:
            found[-1] = WrittenWord((*found[-1].pieces, Piece(" ", range(0)), *word.pieces), found[-1].line)
        else:
            waiting += (*word.pieces, Piece(" ", range(0)))
    return found


class _Writer:
    """Appends the symbols of one word after the other to `ids`."""

    def __init__(self, tokenizer: Tokenizer, language: str | None) -> None:
        self.tokenizer, self.language = tokenizer, language
        self.space_id = None if tokenizer.word_delimiter is None else tokenizer.vocab[tokenizer.word_delimiter]
        silent = {tokenizer.blank_id, tokenizer.unk_id, self.space_id}
        self.vocab = {
            symbol: id for symbol, id in tokenizer.vocab.items() if id not in silent and not _MARK.fullmatch(symbol)
        }
        self.longest = max(map(len, self.vocab), default=1)
        self.ids = [WILDCARD]
        self.has_begun = False
        self.is_apart = False  # from what was written before, by a space

    def write(self, chunk: str) -> list[Piece]:
        """Return the pieces of a word, or of a phone."""
        self.is_apart = True
        if chunk == ANYTHING:
            return [self._piece(chunk, [WILDCARD])]
        if self.tokenizer.is_phones and chunk == WORD_DELIMITER:
            return [Piece(chunk, range(0))]
        if self.tokenizer.is_phones:
            # Where the vocabulary has no long, nasal or aspirated one, the plain one is the nearest.
            plain = "".join(c for c in unicodedata.normalize("NFD", chunk) if unicodedata.category(c) not in _MODIFIERS)
            return [self._piece(chunk, [self.vocab.get(chunk, self.vocab.get(plain, WILDCARD))])]
        return self._letters(chunk)

    def _letters(self, chunk: str) -> list[Piece]:
        pieces: list[Piece] = []
        place = 0
        while place < len(chunk):
            number = NUMBER.match(chunk, place)
            if number and not all(char in self.vocab for char in number[0]):
                has_unit = place > 0 and unicodedata.category(chunk[place - 1]) == "Sc"  # said after it: $5
                pieces.append(self._number(number[0], has_unit=has_unit))
            else:
                pieces.append(self._piece(*self._symbol(chunk, place)))
            place += len(pieces[-1].text)
        return pieces

    def _number(self, digits: str, *, has_unit: bool) -> Piece:
        words = say_number(digits, self.language)
        if words is None:
            return self._piece(digits, [WILDCARD])
        spoken = [piece.labels for word in words.split() for piece in self._word(word) if piece.labels]
        if has_unit:
            spoken.append(self._piece("", [WILDCARD]).labels)
        return Piece(digits, range(spoken[0].start, spoken[-1].stop))

    def _word(self, word: str) -> list[Piece]:
        self.is_apart = True
        return self._letters(word)

    def _symbol(self, chunk: str, place: int) -> tuple[str, list[int]]:
        """The longest symbol at a place, and its id; else one character and the ids of the letters nearest to it."""
        char = chunk[place]
        if char in _APOSTROPHES and not (chunk[:place][-1:].isalpha() and chunk[place + 1 :][:1].isalpha()):
            return char, []  # a quotation mark
        for length in range(min(self.longest, len(chunk) - place), 0, -1):
            text = chunk[place : place + length]
            for form in (text, text.lower(), text.upper()):
                if form in self.vocab:
                    return text, [self.vocab[form]]
        for form in _forms(char):
            if form and all(letter in self.vocab for letter in form):
                return char, [self.vocab[letter] for letter in form]
        category = unicodedata.category(char)
        is_said = category[0] in "LN" or category in ("Sc", "Sm") or char in _SAID
        return char, [WILDCARD] if is_said and char != self.tokenizer.word_delimiter else []

    def _piece(self, text: str, ids: Sequence[int]) -> Piece:
        """Append symbols, after a space where they are apart from the last, and return the piece that they make."""
        if not ids:
            self.is_apart |= text not in _APOSTROPHES and unicodedata.category(text)[0] in "PSZ"
            return Piece(text, range(0))
        if self.is_apart and self.has_begun and self.space_id is not None:
            self.ids.append(self.space_id)
        if self.has_begun or ids[0] != WILDCARD:  # one at the beginning is there already
            self.ids.extend(ids)
        self.is_apart, self.has_begun = False, True
        return Piece(text, range(len(self.ids) - len(ids), len(self.ids)))


def _forms(char: str) -> Iterator[str]:
    """Other ways to write a character: a plain apostrophe, without its accent, two letters for one, in either case."""
    if char in _APOSTROPHES:
        yield "'"
        return
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
    for form in (unicodedata.normalize("NFKC", char), plain, char):
        yield from (form.lower(), form.upper(), form.casefold())
