"""Text as the network learns it, and as it is scored: one Unicode form, one kind of space. Floor 1."""

from __future__ import annotations

import unicodedata

_APOSTROPHES = "'’ʼ"


def normalize_text(text: str, *, lowercase: bool = True, drop_punctuation: bool = False) -> str:
    """Return a transcript as it is learnt and scored: NFC, single spaces, lower case and without punctuation if asked.

    Punctuation and symbols (Unicode's P and S) then become spaces, but for apostrophes inside a word, which become '.
    Nothing else is changed: what a vocabulary cannot spell is refused there, not dropped here.
    """
    text = unicodedata.normalize("NFC", text)
    if drop_punctuation:
        text = "".join(_without_punctuation(text, place) for place in range(len(text)))
    text = " ".join(text.split())
    return text.lower() if lowercase else text


def describe_scoring(*, lowercase: bool, drop_punctuation: bool) -> str:
    """Say what `normalize_text` does with these options, for those who read the figures."""
    return ", ".join(
        [
            "NFC, single spaces",
            "lower case" if lowercase else "case kept",
            "punctuation dropped" if drop_punctuation else "punctuation kept",
        ]
    )


def _without_punctuation(text: str, place: int) -> str:
    letter = text[place]
    if letter in _APOSTROPHES and text[:place][-1:].isalpha() and text[place + 1 :][:1].isalpha():
        return "'"
    return " " if unicodedata.category(letter)[0] in "PS" else letter
