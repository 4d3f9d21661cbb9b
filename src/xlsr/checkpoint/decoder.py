"""The beam search that a model folder brings with it: its language model, its lexicon, and the weights found for them.

Two places hold one. The key `decoder` of `xlsr.json` names files of the folder and options of `BeamOptions`; where it
names no language model, that of `language_model/` is meant (`language_model`), if there is one, and its numbers count
unless the key has others. Floor 3, NumPy half. Does not choose between this and what a user asks for (`recognizer`).
"""

from __future__ import annotations

import math
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from xlsr.checkpoint.folder import Description, update_extras
from xlsr.checkpoint.language_model import has_language_model, read_language_model
from xlsr.config import Json, JsonObject
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.errors import ConfigError, LanguageModelError

KEY = "decoder"
"""The key of `xlsr.json`."""
_MODEL, _LEXICON = "lm.ngram", "lexicon.txt"
_FILES = ("lm", "lexicon")
_NOT_STORED = ("nbest", "hotwords")  # of one use, not of a model
_NUMBERS = tuple(field.name for field in fields(BeamOptions) if field.name not in (*_FILES, *_NOT_STORED))


def read_decoder(description: Description) -> BeamOptions | None:
    """Return the options of the beam search that a model folder brings; None where it brings none.

    Raises:
        ConfigError: the key of `xlsr.json` holds what is no option, or names a file outside the folder.
        LanguageModelError: a file is missing, or does not fit the model.
    """
    folder, stored = description.folder, description.extras.get(KEY)
    if folder is None or description.tokenizer is None:
        return None
    if stored is not None and not isinstance(stored, dict):
        raise ConfigError(f"{folder / 'xlsr.json'}: {KEY} is {stored!r}; wanted an object with options of beam search")
    options = None
    if has_language_model(folder) and "lm" not in (stored or {}):
        options = read_language_model(folder, description.tokenizer)
    if not stored:
        return options
    given = {name: _option(folder, name, value) for name, value in stored.items()}
    try:
        return replace(options or BeamOptions(), **given)
    except TypeError as error:  # a text where a number is compared
        raise ConfigError(f"{folder / 'xlsr.json'}: an option of {KEY} is no number: {error}") from error


def store_decoder(folder: Path, options: BeamOptions) -> None:
    """Let a model folder bring a beam search: put its files there and name them in `xlsr.json`.

    Args:
        folder: of the model.
        options: what is to be used from now on; `nbest` and hotwords are not kept. The language model becomes
            `lm.ngram`, quantised if it was; a lexicon must be a file.

    Raises:
        LanguageModelError: there is no language model, or it cannot be read, or the lexicon is no file.
    """
    if options.lm is None:
        raise LanguageModelError("a decoder to store wants a language model: an ARPA file, or a .ngram file")
    if isinstance(options.lexicon, Lexicon):
        raise LanguageModelError("a decoder to store wants its lexicon as a file")
    stored: JsonObject = {"lm": _MODEL}
    _put_model(options.lm, folder / _MODEL)
    if options.lexicon is not None:
        stored["lexicon"] = _LEXICON
        if not (folder / _LEXICON).exists() or not (folder / _LEXICON).samefile(options.lexicon):
            shutil.copyfile(options.lexicon, folder / _LEXICON)
    usual = BeamOptions()
    for name in _NUMBERS:
        if (value := getattr(options, name)) != getattr(usual, name):
            stored[name] = str(value) if value == -math.inf else value
    update_extras(folder, {KEY: stored})


def _put_model(lm: str | Path | NGram, out: Path) -> None:
    if not isinstance(lm, NGram):
        if out.exists() and out.samefile(lm):
            return
        if Path(lm).suffix == out.suffix:
            shutil.copyfile(lm, out)
            return
        lm = NGram.load(lm)
    lm.save(out)


def _option(folder: Path, name: str, value: Json) -> Any:
    """Return the value of an option as `BeamOptions` takes it."""
    place = f"{folder / 'xlsr.json'}: {KEY}.{name}"
    if name in _FILES:
        if not isinstance(value, str) or Path(value).name != value or not (folder / value).is_file():
            raise ConfigError(f"{place} is {value!r}; wanted the name of a file in that folder")
        return folder / value
    if name not in _NUMBERS:
        raise ConfigError(f"{place} is no option of beam search; wanted {', '.join((*_FILES, *_NUMBERS))}")
    if value == str(-math.inf):
        return -math.inf
    if value is not None and not isinstance(value, int | float):
        raise ConfigError(f"{place} is {value!r}; wanted a number")
    return value
