"""Symbols <-> ids: the vocabulary of a CTC model, as Hugging Face folders write it. Floor 1.

Knows `vocab.json` (flat, or nested by language as MMS has it) and the files beside it, and writes back what it read,
unknown keys included. Knows two kinds of model: letters (`Wav2Vec2CTCTokenizer`) and phones
(`Wav2Vec2PhonemeCTCTokenizer`, for which text is phones with spaces). Does not know frames or times (`decoding`), text
normalisation (`normalize`) or how a word is pronounced (`phonemes`).

On the path it stands twice: text -> labels in training, best ids -> text after decoding.

Behaviour equals that of the classes named above, with four deliberate exceptions: an id or character outside the
vocabulary is an error where there is no unknown symbol to stand for it; a space becomes the word delimiter also where
that has several characters; `clean_up_tokenization_spaces` is kept in the files but never rewrites English
punctuation in the output; and a phone model's word delimiter that is not in its vocabulary counts as none.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import cast

from xlsr.errors import TokenizerError

LETTER_CLASSES = ("Wav2Vec2CTCTokenizer", "Wav2Vec2Tokenizer")
PHONE_CLASS = "Wav2Vec2PhonemeCTCTokenizer"
FILE_NAMES = ("vocab.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
SPECIAL_SYMBOLS = ("<pad>", "<s>", "</s>", "<unk>")
WORD_DELIMITER = "|"

JsonObject = dict[str, object]

_PHONES: JsonObject = {"tokenizer_class": PHONE_CLASS, "phone_delimiter_token": " ", "do_phonemize": False}


@dataclass(frozen=True)
class TokenizerFiles:
    """The JSON objects of a folder, as read; None is a file that is not there."""

    vocab: JsonObject
    config: JsonObject
    special_tokens_map: JsonObject | None = None
    added_tokens: JsonObject | None = None


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary with its CTC blank, unknown symbol and word delimiter.

    Make one with `from_folder` or `from_symbols`; `data.vocabulary` makes one of texts.

    Attributes:
        vocab: symbol -> id, of one language, added tokens included.
        blank_id: the CTC blank; what Hugging Face calls the padding token.
        unk_id: stands for symbols outside the vocabulary; None if there is none.
        word_delimiter: the symbol of the space between words; None if there is none.
        lowercase: text is upper-cased on input and lower-cased on output, over a vocabulary of capitals.
        is_phones: symbols are phones, which text separates by spaces.
        language: the language chosen from a nested vocabulary, else None.
        space: what the word delimiter becomes in text.
        files: the JSON behind it, written back by `to_folder`.
    """

    vocab: dict[str, int]
    blank_id: int
    unk_id: int | None
    word_delimiter: str | None
    lowercase: bool
    is_phones: bool
    language: str | None
    space: str
    files: TokenizerFiles = field(repr=False)

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        *,
        language: str | None = None,
        pad_token_id: int | None = None,
        are_phones: bool = False,
    ) -> Tokenizer:
        """Read the tokenizer of a model folder.

        Args:
            folder: holds `vocab.json` and, mostly, `tokenizer_config.json`.
            language: which language of a nested vocabulary; default: the folder's `target_lang`.
            pad_token_id: of the model's `config.json`; it is the blank that the network was trained with, and so
                goes before the tokenizer's own padding token.
            are_phones: what the symbols of a vocab.json are that has no tokenizer_config.json beside it to say so.

        Raises:
            TokenizerError: a file is missing or unreadable, the vocabulary contradicts itself, or has no such language.
        """
        folder = Path(folder)
        folder = folder.parent if folder.name == FILE_NAMES[0] else folder
        vocab = _read_object(folder / FILE_NAMES[0])
        if vocab is None:
            raise TokenizerError(
                f"{folder} has no vocab.json, which names the model's symbols: a model without one is only "
                "pre-trained and cannot transcribe; fine-tune it first"
            )
        config, special_tokens_map, added_tokens = (_read_object(folder / name) for name in FILE_NAMES[1:])
        if config is None and are_phones:
            config = _PHONES | {"word_delimiter_token": WORD_DELIMITER if WORD_DELIMITER in vocab else None}
        files = TokenizerFiles(vocab, config or {}, special_tokens_map, added_tokens)
        return _from_files(files, language=language, pad_token_id=pad_token_id)

    @classmethod
    def from_symbols(
        cls,
        symbols: Sequence[str],
        *,
        is_phones: bool = False,
        word_delimiter: str | None = None,
        lowercase: bool = False,
    ) -> Tokenizer:
        """Make a tokenizer whose ids are the positions in a list.

        Args:
            symbols: must hold `<pad>`, the blank; `<s>`, `</s>` and `<unk>` have their meaning where they occur.
            is_phones: the symbols are phones.
            word_delimiter: default: `|` where a letter vocabulary holds it, else none.
            lowercase: upper-case text on input, lower-case it on output.

        Raises:
            TokenizerError: a symbol occurs twice, or the blank or the delimiter is missing.
        """
        repeated = [symbol for symbol, count in Counter(symbols).items() if count > 1]
        if repeated:
            raise TokenizerError(f"the list of symbols holds {_quoted(repeated)} more than once: each may occur once")
        if word_delimiter is None and not is_phones and WORD_DELIMITER in symbols:
            word_delimiter = WORD_DELIMITER
        names = ("pad_token", "bos_token", "eos_token", "unk_token")
        special = {name: symbol for name, symbol in zip(names, SPECIAL_SYMBOLS, strict=True) if symbol in symbols}
        config: JsonObject = {**dict.fromkeys(names), **special, "pad_token": SPECIAL_SYMBOLS[0]}
        config |= {"word_delimiter_token": word_delimiter, "do_lower_case": lowercase}
        if is_phones:
            config |= _PHONES
        else:
            config |= {"tokenizer_class": LETTER_CLASSES[0], "replace_word_delimiter_char": " ", "target_lang": None}
        vocab: JsonObject = {symbol: index for index, symbol in enumerate(symbols)}
        return _from_files(TokenizerFiles(vocab, config, dict(special)))

    def to_folder(self, folder: Path | str) -> None:
        """Write the files that `from_folder` and transformers read, with every key that was read."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        contents = (self.files.vocab, self.files.config, self.files.special_tokens_map, self.files.added_tokens)
        for name, content in zip(FILE_NAMES, contents, strict=True):
            if content is not None:
                text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
                (folder / name).write_text(text, encoding="utf-8", newline="\n")

    @property
    def size(self) -> int:
        """Largest id + 1: the columns of log-probabilities that the vocabulary needs."""
        return max(self.vocab.values()) + 1

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of a nested vocabulary; empty for a flat one."""
        return tuple(self.files.vocab) if self.language is not None else ()

    def symbol(self, id: int) -> str:
        """Return the symbol of an id.

        Raises:
            TokenizerError: no symbol has this id.
        """
        try:
            return self._symbols[int(id)]
        except KeyError:
            raise TokenizerError(
                f"no symbol has id {id}: the vocabulary has {len(self.vocab)} symbols with ids up to {self.size - 1}; "
                "the ids come from a model with another vocabulary"
            ) from None

    def encode(self, text: str) -> list[int]:
        """Turn text into label ids, without blanks or sentence marks.

        Letters: a space is the word delimiter; symbols of several characters are matched where they occur, the
        longest first, and swallow the white space around them. Phones: separated by white space.

        Raises:
            TokenizerError: a character or phone is not in the vocabulary, and there is no unknown symbol.
        """
        if self.is_phones:
            return [self._id_of(phone) for phone in text.split()]
        ids: list[int] = []
        pieces = self._long_symbols.split(text) if self._long_symbols else [text]
        for index, piece in enumerate(pieces):
            if index % 2:  # a symbol of several characters
                ids.append(self.vocab[piece])
                continue
            for char in piece.upper() if self.lowercase else piece:
                is_space = char == " " and self.word_delimiter is not None
                ids.append(self._id_of(cast(str, self.word_delimiter) if is_space else char))
        return ids

    def decode(self, ids: Iterable[int], *, group: bool = True) -> str:
        """Turn ids into text.

        Args:
            ids: one a frame, or label ids.
            group: merge runs of one id before blanks are dropped, as CTC does; False for labels, whose repetitions
                are real.

        Raises:
            TokenizerError: an id is outside the vocabulary.
        """
        kept = [id for id, _ in groupby(ids)] if group else list(ids)
        symbols = [self.symbol(id) for id in kept if id != self.blank_id]
        if self.is_phones:
            return " ".join(symbol for symbol in symbols if symbol != self.word_delimiter).strip()
        text = "".join(self.space if symbol == self.word_delimiter else symbol for symbol in symbols).strip()
        return text.lower() if self.lowercase else text

    def _id_of(self, symbol: str) -> int:
        id = self.vocab.get(symbol, self.unk_id)
        if id is None:
            kind = "phone" if self.is_phones else "character"
            raise TokenizerError(
                f"the {kind} {symbol!r} is not in the vocabulary of {len(self.vocab)} symbols, which has no unknown "
                "symbol: normalise the text, or make a vocabulary from it"
            )
        return id

    @cached_property
    def _symbols(self) -> dict[int, str]:
        return {id: symbol for symbol, id in self.vocab.items()}

    @cached_property
    def _long_symbols(self) -> re.Pattern[str] | None:
        long = sorted((symbol for symbol in self.vocab if len(symbol) > 1), key=len, reverse=True)
        return re.compile(rf"\s*({'|'.join(map(re.escape, long))})\s*") if long else None


def _from_files(files: TokenizerFiles, *, language: str | None = None, pad_token_id: int | None = None) -> Tokenizer:
    is_phones = _is_phones(files.config)
    vocab, language = _vocabulary_of(files, language)
    _add_tokens(vocab, files, is_nested=language is not None)
    if language is not None:
        files = replace(files, config={**files.config, "target_lang": language})
    unk_token = _special_token(files, "unk_token", "<unk>")
    space = files.config.get("replace_word_delimiter_char", " ")
    return Tokenizer(
        vocab=vocab,
        blank_id=_blank_id(vocab, files, pad_token_id),
        unk_id=None if unk_token is None else vocab.get(unk_token),
        word_delimiter=_word_delimiter(vocab, files, is_phones=is_phones),
        lowercase=bool(files.config.get("do_lower_case", False)) and not is_phones,
        is_phones=is_phones,
        language=language,
        space=space if isinstance(space, str) else " ",
        files=files,
    )


def _is_phones(config: JsonObject) -> bool:
    name = config.get("tokenizer_class")
    if name is None:  # older folders do not name the class
        return any(key in config for key in ("do_phonemize", "phone_delimiter_token", "phonemizer_lang"))
    if name != PHONE_CLASS and name not in LETTER_CLASSES:
        raise TokenizerError(f"tokenizer_class is {name!r}; wanted one of {_quoted([LETTER_CLASSES[0], PHONE_CLASS])}")
    return name == PHONE_CLASS


def _vocabulary_of(files: TokenizerFiles, language: str | None) -> tuple[dict[str, int], str | None]:
    """Return a checked copy of the vocabulary, and the language it is for if vocab.json is nested."""
    nested = [key for key, value in files.vocab.items() if isinstance(value, dict)]
    if not nested:
        if language is not None:
            raise TokenizerError(f"this vocab.json does not go by languages: leave the language {language!r} out")
        return _checked(files.vocab, "vocab.json"), None
    if len(nested) < len(files.vocab):
        raise TokenizerError("vocab.json mixes ids and languages: wanted {symbol: id} or {language: {symbol: id}}")
    language = language or _text_of(files.config.get("target_lang"))
    if language is None:
        raise TokenizerError(f"choose one of the {len(nested)} languages of vocab.json, such as {_quoted(nested[:5])}")
    if language not in files.vocab:
        near = difflib.get_close_matches(language.lower(), nested, n=5, cutoff=0.5)
        hint = f"near names are {_quoted(near)}" if near else f"it has, for example, {_quoted(nested[:5])}"
        raise TokenizerError(f"language {language!r} is not among the {len(nested)} of this vocab.json: {hint}")
    return _checked(cast(JsonObject, files.vocab[language]), f"vocab.json, language {language!r},"), language


def _checked(vocab: Mapping[str, object], where: str) -> dict[str, int]:
    if not vocab:
        raise TokenizerError(f"{where} is empty: wanted {{symbol: id}}")
    checked: dict[str, int] = {}
    taken: dict[int, str] = {}
    for symbol, id in vocab.items():
        if not isinstance(id, int) or isinstance(id, bool) or id < 0:
            raise TokenizerError(f"{where} gives {symbol!r} the id {id!r}: wanted a whole number from 0")
        if id in taken:
            raise TokenizerError(f"{where} gives id {id} to {taken[id]!r} and to {symbol!r}: each id has one symbol")
        taken[id] = symbol
        checked[symbol] = id
    return checked


def _add_tokens(vocab: dict[str, int], files: TokenizerFiles, *, is_nested: bool) -> None:
    """Add the tokens that transformers keeps outside vocab.json. One language's entry goes before them."""
    added = list((files.added_tokens or {}).items())
    decoder = files.config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        added = [(_text_of(token) or "", int(id) if str(id).isdigit() else id) for id, token in decoder.items()]
    taken = {id: symbol for symbol, id in vocab.items()}
    for token, id in added:
        if not isinstance(id, int) or id < 0:
            raise TokenizerError(f"the added token {token!r} has the id {id!r}: wanted a whole number from 0")
        if vocab.get(token) == id or (is_nested and (token in vocab or id in taken)):
            continue
        if token in vocab or id in taken:
            other = f"{token!r} is {vocab[token]}" if token in vocab else f"{id} is {taken[id]!r}"
            raise TokenizerError(f"the added token {token!r} has id {id}, but in vocab.json {other}: make them agree")
        vocab[token] = id
        taken[id] = token


def _blank_id(vocab: Mapping[str, int], files: TokenizerFiles, pad_token_id: int | None) -> int:
    if pad_token_id is not None:
        if pad_token_id not in vocab.values():
            raise TokenizerError(f"pad_token_id, the CTC blank, is {pad_token_id}, an id that no symbol has")
        return pad_token_id
    token = _special_token(files, "pad_token", "<pad>")
    if token is None or token not in vocab:
        raise TokenizerError(
            f"the padding token, which is the CTC blank, is {token!r}, but the vocabulary does not hold it: add it, "
            "or name the right pad_token in tokenizer_config.json"
        )
    return vocab[token]


def _word_delimiter(vocab: Mapping[str, int], files: TokenizerFiles, *, is_phones: bool) -> str | None:
    token = _special_token(files, "word_delimiter_token", None if is_phones else WORD_DELIMITER)
    if token is None or token in vocab:
        return token
    if is_phones:  # the released XLSR-53 phone model names "|", which none of its outputs is
        return None
    raise TokenizerError(
        f"the word delimiter is {token!r}, but the vocabulary does not hold it: add it, or set word_delimiter_token "
        "to null in tokenizer_config.json if the script has no spaces"
    )


def _special_token(files: TokenizerFiles, name: str, default: str | None) -> str | None:
    """Find a named token where transformers does: newer folders say all in tokenizer_config.json."""
    older = (files.special_tokens_map or {}, files.config)
    for place in reversed(older) if "added_tokens_decoder" in files.config else older:
        if name in place:
            return _text_of(place[name])
    return default


def _text_of(token: object) -> str | None:
    """Return the text of a token that is a string or a serialised AddedToken."""
    text = token.get("content") if isinstance(token, dict) else token
    if text is not None and not isinstance(text, str):
        raise TokenizerError(f"a special token is {token!r}: wanted a string, or an object with its `content`")
    return text


def _read_object(path: Path) -> JsonObject | None:
    """Return the object in a JSON file, or None if there is no such file."""
    if not path.is_file():
        return None

    def without_repeats(pairs: list[tuple[str, object]]) -> JsonObject:
        repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if repeated:
            raise TokenizerError(f"{path} holds {_quoted(repeated)} more than once: each may occur once")
        return dict(pairs)

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=without_repeats)
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} holds a {type(content).__name__}: wanted a JSON object")
    return cast(JsonObject, content)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
