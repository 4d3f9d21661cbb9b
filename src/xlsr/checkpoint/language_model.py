"""The language model of a model folder, in the layout of transformers' `Wav2Vec2ProcessorWithLM`. Floor 3, NumPy half.

    alphabet.json                 the vocabulary once more, as pyctcdecode writes it
    language_model/attrs.json     alpha, beta, unk_score_offset, score_boundary
    language_model/unigrams.txt   the words that are known, a line each; empty: all of the n-gram model
    language_model/NAME.arpa      the n-gram model; no other file may lie there

Knows what the numbers of pyctcdecode are in ours: it weighs natural logarithms as we do (`alpha` is `lm_weight`, `beta`
is `word_score`), but its offset for unknown words is decimal and weighted. Does not search (`decoding`), nor choose
between what users ask for and what a folder says (`recognizer`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xlsr.checkpoint.processor import ALPHABET, LAYOUT_FOLDER, name_processor, write_json
from xlsr.config import read_json_object
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.errors import LanguageModelError
from xlsr.tokenizer import Tokenizer

_ATTRIBUTES, _UNIGRAMS, _MODEL = "attrs.json", "unigrams.txt", "lm.arpa"
_LN10 = math.log(10)
_FORBIDDEN = -1000.0  # decimal offset that stands for -inf, which JSON does not have
_BLANK, _UNKNOWN = re.compile(r"[<\[]pad[>\]]", re.IGNORECASE), re.compile(r"[<\[]unk[>\]]", re.IGNORECASE)


@dataclass(frozen=True)
class _Attributes:
    """The numbers in `attrs.json`."""

    alpha: float
    beta: float
    unk_score_offset: float
    score_boundary: bool


def read_language_model(folder: Path, tokenizer: Tokenizer) -> BeamOptions:
    """Read the language model of a model folder, as options of a beam search.

    Args:
        folder: of the model.
        tokenizer: its vocabulary, which the alphabet must agree with.

    Raises:
        LanguageModelError: a file is missing, damaged, one too many, or of another vocabulary.
    """
    inner = folder / LAYOUT_FOLDER
    attributes = _read_attributes(inner / _ATTRIBUTES)
    _check_alphabet(folder / ALPHABET, tokenizer)
    lm = NGram.load(_model_file(inner))
    offset = attributes.unk_score_offset
    return BeamOptions(
        lm=lm,
        lexicon=_known_words(inner / _UNIGRAMS, lm, tokenizer),
        lm_weight=attributes.alpha,
        word_score=attributes.beta,
        unk_score=-math.inf if offset <= _FORBIDDEN else attributes.alpha * _LN10 * offset,
        score_boundary=attributes.score_boundary,
    )


def write_language_model(folder: Path, tokenizer: Tokenizer, options: BeamOptions) -> None:
    """Put a language model into a model folder, for `read_language_model` and for transformers with pyctcdecode.

    Args:
        folder: of the model; its files for transformers then name the processor with a language model.
        tokenizer: its vocabulary.
        options: `lm`, of words; `lexicon`, whose words are known (None: all of `lm`), however they are spelt; and the
            scores. The rest has no place in this layout.

    Raises:
        LanguageModelError: there is no model of words, or files of another one lie in the folder.
    """
    lm = NGram.load(options.lm) if isinstance(options.lm, str | Path) else options.lm
    if lm is None or lm.unit != "word":
        raise LanguageModelError("a language model of words is wanted for the layout of Wav2Vec2ProcessorWithLM")
    lexicon = options.lexicon
    lexicon = Lexicon.from_file(lexicon, tokenizer) if isinstance(lexicon, str | Path) else lexicon
    unk_score = options.unk_score if options.unk_score is not None else -math.inf if lexicon else -10.0
    inner = folder / LAYOUT_FOLDER
    inner.mkdir(parents=True, exist_ok=True)
    if others := sorted({file.name for file in _files(inner)} - {_ATTRIBUTES, _UNIGRAMS, _MODEL}):
        raise LanguageModelError(f"{inner} holds {', '.join(others)}, where only one language model may lie: remove it")
    words = _plain(lm.words) if lexicon is None else [word for word in lexicon.words if word in lm]
    offset = max(unk_score / (max(options.lm_weight, 1e-3) * _LN10), _FORBIDDEN)
    attributes = _Attributes(options.lm_weight, options.word_score, offset, options.score_boundary)
    lm.save(inner / _MODEL)
    (inner / _UNIGRAMS).write_text("".join(f"{word}\n" for word in sorted(words)), "utf-8", newline="\n")
    write_json(inner / _ATTRIBUTES, vars(attributes))
    write_json(folder / ALPHABET, {"labels": [*_labels(tokenizer)], "is_bpe": False})
    name_processor(folder)


def _read_attributes(path: Path) -> _Attributes:
    if not path.is_file():
        raise LanguageModelError(f"{path} is missing; wanted alpha, beta, unk_score_offset and score_boundary in it")
    try:
        found = json.loads(path.read_text("utf-8"))
        numbers = {name: float(found[name]) for name in ("alpha", "beta", "unk_score_offset")}
        if not all(map(math.isfinite, numbers.values())) or numbers["alpha"] < 0:
            raise ValueError(f"numbers are {numbers}")
        return _Attributes(**numbers, score_boundary=bool(found["score_boundary"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LanguageModelError(
            f"{path} is damaged ({error}); wanted the numbers alpha, beta, unk_score_offset and score_boundary"
        ) from error


def _files(inner: Path) -> list[Path]:
    return [file for file in inner.iterdir() if not file.name.startswith((".", "__"))] if inner.is_dir() else []


def _model_file(inner: Path) -> Path:
    found = [file for file in _files(inner) if file.name not in (_ATTRIBUTES, _UNIGRAMS)]
    if len(found) != 1:
        names = ", ".join(sorted(file.name for file in found)) or "none"
        raise LanguageModelError(f"{inner} holds {len(found)} n-gram models ({names}); wanted one, such as lm.arpa")
    return found[0]


def _known_words(path: Path, lm: NGram, tokenizer: Tokenizer) -> Lexicon | None:
    """Return the words that are known if they are not all of the model's."""
    try:
        words = path.read_text("utf-8").split("\n") if path.is_file() else []
    except UnicodeDecodeError as error:
        raise LanguageModelError(f"{path} cannot be read: {error}; wanted words in UTF-8, a line each") from error
    known = {word.strip() for word in words} - {""}
    if not known or known >= set(_plain(lm.words)):
        return None
    return Lexicon.from_words([word for word in _plain(lm.words) if word in known], tokenizer, skip=True)


def _plain(words: Sequence[str]) -> list[str]:
    return [word for word in words if not (word.startswith("<") and word.endswith(">"))]


def _labels(tokenizer: Tokenizer) -> list[str]:
    """Return what pyctcdecode calls each column: '' the blank, ' ' the word delimiter, ⁇ the unknown symbol."""
    names = {tokenizer.blank_id: ""}
    for symbol, id in tokenizer.vocab.items():
        written = " " if symbol == tokenizer.word_delimiter else "⁇" if _UNKNOWN.fullmatch(symbol) else symbol
        names.setdefault(id, "" if _BLANK.fullmatch(symbol) else written)
    return [names.get(id, f"<{id}>") for id in range(tokenizer.size)]


def _check_alphabet(path: Path, tokenizer: Tokenizer) -> None:
    """Refuse an alphabet that names a column otherwise; folders without one are taken as they are."""
    if not path.is_file():
        return
    labels = read_json_object(path).get("labels")
    wanted = _labels(tokenizer)
    if not isinstance(labels, list) or labels[: len(wanted)] != wanted:
        pairs = enumerate(zip(labels if isinstance(labels, list) else [], wanted, strict=False))
        place, (found, name) = next((p for p in pairs if p[1][0] != p[1][1]), (0, (None, wanted[0])))
        raise LanguageModelError(
            f"{path} calls column {place} {found!r}, vocab.json {name!r}: the language model is of another vocabulary"
        )
