"""Text as the network learns it, and as it is scored: one Unicode form, one kind of space. Floor 1."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile("['’ʼ]")


class _Spaces(dict[int, str]):
    """Characters to what stands for them without punctuation; each category is looked up once."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        self[code] = " " if letter != "'" and unicodedata.category(letter)[0] in "PS" else letter
        return self[code]


_SPACES = _Spaces()


def normalize_text(text: str, *, lowercase: bool = True, drop_punctuation: bool = False) -> str:
    """Return a transcript as it is learnt and scored: NFC, single spaces, lower case and without punctuation if asked.

    Punctuation and symbols (Unicode's P and S) then become spaces, but for apostrophes inside a word, which become '.
    Nothing else is changed: what a vocabulary cannot spell is refused there, not dropped here.
    """
    text = unicodedata.normalize("NFC", text)
    if drop_punctuation:
        text = _APOSTROPHES.sub(_apostrophe, text).translate(_SPACES)
    text = " ".join(text.split())
    return text.lower() if lowercase else text


KEEPS_CASE, KEEPS_PUNCTUATION = "case kept", "punctuation kept"
"""How a description says that nothing is done."""


def describe_scoring(*, lowercase: bool, drop_punctuation: bool) -> str:
    """Say what `normalize_text` does with these options, for those who read the figures."""
    return ", ".join(
        [
            "NFC, single spaces",
            "lower case" if lowercase else KEEPS_CASE,
            "punctuation dropped" if drop_punctuation else KEEPS_PUNCTUATION,
        ]
    )


def _apostrophe(found: re.Match[str]) -> str:
    text, place = found.string, found.start()
    if text[max(place - 1, 0) : place].isalpha() and text[place + 1 : place + 2].isalpha():
        return "'"
    return found[0] if found[0].isalpha() else " "  # ʼ is a letter where it is no apostrophe
