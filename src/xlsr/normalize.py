"""Text as the network learns it: one Unicode form, one kind of space. Floor 1."""

from __future__ import annotations

import unicodedata


def normalize_target(text: str, *, lowercase: bool = True) -> str:
    """Return a transcript as training target: NFC, single spaces, lower case if asked.

    Nothing else is changed: what the vocabulary cannot spell is refused there, not dropped here.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.lower() if lowercase else text
