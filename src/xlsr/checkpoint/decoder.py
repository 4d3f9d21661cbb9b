"""The beam search that a model folder brings with it: its language model, its lexicon, and the weights found for them.

Two places hold one. The key `decoder` of `xlsr.json` names files of the folder and options of `BeamOptions`; where it
names no language model, that of `language_model/` is meant (`language_model`), if there is one, and its numbers count
unless the key has others. Floor 3, NumPy half. Does not choose between this and what a user asks for (`recognizer`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from xlsr.checkpoint.copies import copy_model, writable_folder
from xlsr.checkpoint.folder import Description, find_model, read_description, update_extras
from xlsr.checkpoint.processor import ALPHABET, LAYOUT_FOLDER, name_processor
from xlsr.config import Json, JsonObject, read_json_object
from xlsr.decoding.options import BeamOptions
from xlsr.errors import CheckpointError, ConfigError, LanguageModelError

# Language models are compiled code, which most do not need: it is imported where there is one.

Layout = Literal["xlsr", "transformers"]

KEY = "decoder"
"""The key of `xlsr.json`."""
_MODEL, _LEXICON = "lm.ngram", "lexicon.txt"
_FILES = ("lm", "lexicon")
_NOT_STORED = ("nbest", "hotwords")  # of one use, not of a model
_WEIGHED = ("lm_weight", "word_score", "unk_score")  # against one language model
_LANGUAGE = "language"
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
    if (folder / LAYOUT_FOLDER).is_dir() and "lm" not in (stored or {}):
        from xlsr.checkpoint.language_model import read_language_model

        try:
            options = read_language_model(folder, description.tokenizer)
        except LanguageModelError as error:
            raise LanguageModelError(f'{error}; --beam_size 1 (decoder="greedy") does without it') from error
    spoken = description.tokenizer.language
    if not stored or stored.get(_LANGUAGE, spoken) != spoken:
        return options
    given = {name: _option(folder, name, value) for name, value in stored.items() if name != _LANGUAGE}
    try:
        return replace(options or BeamOptions(), **given)
    except TypeError as error:  # a text where a number is compared
        raise ConfigError(f"{folder / 'xlsr.json'}: an option of {KEY} is no number: {error}") from error


def store_decoder(
    folder: Path,
    numbers: Mapping[str, Json],
    *,
    lm: Path | str | None = None,
    lexicon: Path | str | None = None,
    language: str | None = None,
) -> None:
    """Let a model folder bring a beam search: put its files there, and name them in `xlsr.json`.

    Args:
        folder: of the model.
        numbers: options of `BeamOptions` by name.
        lm: becomes `lm.ngram`, and numbers that were weighed against another one go; None: what the folder has stays.
        lexicon: becomes `lexicon.txt`; None: what the folder has stays.
        language: of the vocabulary, for models of several: the search is for this one only.

    Raises:
        LanguageModelError: the language model cannot be read.
    """
    stored = _stored(folder)
    if lm is not None:
        stored = {name: value for name, value in stored.items() if name not in _WEIGHED} | {"lm": _MODEL}
        _put_model(Path(lm), folder)
    if lexicon is not None:
        stored["lexicon"] = _LEXICON
        _copy(Path(lexicon), folder / _LEXICON)
    stored |= {} if language is None else {_LANGUAGE: language}
    stored |= {name: str(value) if value == -math.inf else value for name, value in numbers.items()}
    update_extras(folder, {KEY: stored})


def attach_lm(
    model: Path | str,
    lm: Path | str,
    *,
    lexicon: Path | str | None = None,
    lm_weight: float | None = None,
    word_score: float | None = None,
    unk_score: float | None = None,
    layout: Layout = "xlsr",
    language: str | None = None,
    output: Path | str | None = None,
) -> Path:
    """Put a language model into a model folder, which then searches with it unless told otherwise.

    Args:
        model: what `load_model` takes, if it is a folder.
        lm: n-gram model.
        lexicon: file of the words that can be heard.
        lm_weight: factor of the language model; `tune_lm` finds one.
        word_score: added for each word, likewise.
        unk_score: added for each word that is not known.
        layout: "xlsr" (`lm.ngram`, named in `xlsr.json`), or "transformers" (`language_model/` as
            `Wav2Vec2ProcessorWithLM` reads it, with an ARPA file).
        language: for models of several vocabularies: the language model is for this one only.
        output: a new folder for a copy of the model, in place of its own.

    Returns:
        The folder.

    Raises:
        LanguageModelError, LexiconError: a file cannot be read, or does not fit the model.
        CheckpointError: nothing can be stored beside the model, or not in `output`.
    """
    from xlsr.checkpoint.language_model import write_language_model
    from xlsr.decoding.beam import BeamSearchDecoder

    if layout not in get_args(Layout):
        raise ConfigError(f"layout is {layout!r}; wanted one of {', '.join(get_args(Layout))}")
    description = read_description(find_model(model), language=language)
    if description.tokenizer is None:
        raise CheckpointError(f"{model} has no vocabulary, so that a language model has no use there")
    folder = writable_folder(description, output, "a decoder")
    given = {"lm_weight": lm_weight, "word_score": word_score, "unk_score": unk_score}
    numbers: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    options = replace(BeamOptions(lm=lm, lexicon=lexicon), **numbers)
    BeamSearchDecoder(description.tokenizer, options)  # refuses what does not fit
    copy_model(description, folder)
    if layout == "transformers":
        write_language_model(folder, description.tokenizer, options)
        if stored := _stored(folder):  # what it says of another language model would go before
            gone = (*_FILES, *_WEIGHED)
            update_extras(folder, {KEY: {name: value for name, value in stored.items() if name not in gone}})
    else:
        store_decoder(folder, numbers, lm=lm, lexicon=lexicon, language=description.tokenizer.language)
    return folder


def copy_decoder(source: Path, out: Path) -> None:
    """Copy the files of a folder's beam search, which go on with a model of the same vocabulary."""
    for name in (_MODEL, _LEXICON):
        if (source / name).is_file():
            _copy(source / name, out / name)
    if (source / LAYOUT_FOLDER).is_dir():
        shutil.copytree(source / LAYOUT_FOLDER, out / LAYOUT_FOLDER, dirs_exist_ok=True)
        if (source / ALPHABET).is_file():
            _copy(source / ALPHABET, out / ALPHABET)
        name_processor(out)


def _stored(folder: Path) -> JsonObject:
    """What `xlsr.json` says of the decoder."""
    path = folder / "xlsr.json"
    found = read_json_object(path).get(KEY) if path.is_file() else None
    return dict(found) if isinstance(found, dict) else {}


def _put_model(lm: Path, folder: Path) -> None:
    """Write a language model into a folder; one that is mapped from there meanwhile stays whole."""
    if lm.suffix == Path(_MODEL).suffix:
        _copy(lm, folder / _MODEL)
        return
    from xlsr.decoding.ngram import NGram

    partial = folder / f".part-{_MODEL}"
    try:
        NGram.load(lm).save(partial)
        partial.replace(folder / _MODEL)
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: Path, out: Path) -> None:
    """Copy a file, whole or not at all."""
    if out.exists() and out.samefile(source):
        return
    partial = out.with_name(f".part-{out.name}")
    try:
        shutil.copyfile(source, partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


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
