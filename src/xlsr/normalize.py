"""Text as the network learns it, and as it is scored: one Unicode form, one kind of space. Floor 1."""

from __future__ import annotations

import unicodedata

_APOSTROPHES = "'’ʼ"


def normalize_target(text: str, *, lowercase: bool = True) -> str:
    """Return a transcript as training target: NFC, single spaces, lower case if asked.

    Nothing else is changed: what the vocabulary cannot spell is refused there, not dropped here.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.lower() if lowercase else text


def normalize_scored(text: str, *, lowercase: bool = True, drop_punctuation: bool = False) -> str:
    """Return a reference or a hypothesis as it is scored: as a target, and without punctuation if asked.

    Punctuation and symbols (Unicode's P and S) then become spaces, but for apostrophes inside a word, which become '.
    """
    if drop_punctuation:
        text = unicodedata.normalize("NFC", text)  # a sign may be written in two parts
        text = "".join(_without_punctuation(text, place) for place in range(len(text)))
    return normalize_target(text, lowercase=lowercase)


def describe_scoring(*, lowercase: bool, drop_punctuation: bool) -> str:
    """Say what `normalize_scored` does with these options, for those who read the figures."""
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
