"""Vocabularies made from texts or phones, held against every text before anything is trained. Floor 2.

On the path it stands between the manifest and training: an utterance becomes its target text (`target_of`), the texts
of a corpus become a vocabulary (`build_vocabulary`), and a text becomes labels which are decoded again at once
(`spell`): what does not come back is named by its symbols. A `Survey` counts all that for the report of a run. Knows
no audio, no network, and not what becomes of a text that cannot be spelt: its callers decide.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from xlsr.config import JsonObject
from xlsr.data.manifest import Utterance
from xlsr.errors import TokenizerError
from xlsr.normalize import normalize_text
from xlsr.tokenizer import SPECIAL_SYMBOLS, WORD_DELIMITER, Tokenizer

Case = Literal["lower", "upper", "keep"]
Targets = Literal["text", "phones"]

_RARE = 5  # symbols seen less often are shown with an example: most are slips of the pen
_FAILURES = 5  # shown by name; all are counted
_SHOWN = 60  # characters of an example


@dataclass(frozen=True)
class Spelling:
    """What a vocabulary makes of a text.

    Attributes:
        ids: the labels.
        outside: symbols of the text that the vocabulary does not hold.
        changed: symbols that it holds, but which decoding the labels does not bring back.
    """

    ids: list[int]
    outside: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class SymbolCount:
    """How often a symbol occurs, and the first text in which it does."""

    count: int
    example: str


@dataclass(frozen=True)
class VocabularyReport:
    """What a corpus is to a vocabulary.

    Attributes:
        texts: how many were counted.
        symbols: symbol -> how often it occurs, most frequent first.
        unused: symbols of the vocabulary that no text has, special ones left out.
        rare: those of `symbols` that occur less than five times.
        left_out: symbols of the texts that the vocabulary does not hold.
        scripts: writing systems -> letters, by the first word of the letters' Unicode names.
        failures: how many texts are not spelt as they are.
        failed: the first of them with the symbols at fault.
    """

    texts: int
    symbols: dict[str, int]
    unused: tuple[str, ...]
    rare: dict[str, SymbolCount]
    left_out: dict[str, SymbolCount]
    scripts: dict[str, int]
    failures: int
    failed: dict[str, tuple[str, ...]]

    def to_dict(self) -> JsonObject:
        """Plain values, as written beside the weights."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{len(self.symbols)} symbols in {self.texts} texts: {' '.join(self.symbols)}"]
        if len(self.scripts) > 1:
            lines.append("scripts: " + ", ".join(f"{name} {count}" for name, count in self.scripts.items()))
        for title, found in (("rare", self.rare), ("outside the vocabulary", self.left_out)):
            if found:
                shown = [f"{symbol} {seen.count} x, in {_cut(seen.example)!r}" for symbol, seen in found.items()]
                lines.append(f"{title}: {'; '.join(shown[:10])}{' ...' if len(shown) > 10 else ''}")
        if self.failures:
            lines.append(f"{self.failures} texts cannot be spelt, the first of them:")
            lines += [f"  {_cut(text)!r} for {' '.join(map(repr, at))}" for text, at in self.failed.items()]
        return "\n".join(lines)


class Survey:
    """Spells texts one after the other and counts their symbols."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.texts = self.failures = 0
        self.counts: Counter[int] = Counter()
        self.examples: dict[int, str] = {}
        self.left_out: dict[str, SymbolCount] = {}
        self.failed: dict[str, tuple[str, ...]] = {}

    def add(self, text: str) -> Spelling:
        """Spell a normalised text."""
        spelling = spell(self.tokenizer, text)
        self.texts += 1
        self.counts.update(spelling.ids)
        for id in set(spelling.ids) - self.examples.keys():
            self.examples[id] = text
        symbols = text.split() if self.tokenizer.is_phones else text
        for symbol in spelling.outside:
            seen = self.left_out.get(symbol, SymbolCount(0, text))
            self.left_out[symbol] = SymbolCount(seen.count + symbols.count(symbol), seen.example)
        if spelling.outside or spelling.changed:
            self.failures += 1
            if len(self.failed) < _FAILURES:
                self.failed[text] = spelling.outside or spelling.changed
        return spelling

    def report(self) -> VocabularyReport:
        """What was counted so far."""
        tokenizer = self.tokenizer
        counts = {tokenizer.symbol(id): count for id, count in self.counts.most_common() if id != tokenizer.unk_id}
        examples = {tokenizer.symbol(id): text for id, text in self.examples.items()}
        scripts: Counter[str] = Counter()
        for symbol, count in [*counts.items(), *((s, seen.count) for s, seen in self.left_out.items())]:
            for script in {_script(char) for char in symbol} - {""}:
                scripts[script] += count
        return VocabularyReport(
            texts=self.texts,
            symbols=counts,
            unused=tuple(s for s in tokenizer.vocab if s not in counts and s not in SPECIAL_SYMBOLS),
            rare={s: SymbolCount(count, examples[s]) for s, count in counts.items() if count < _RARE},
            left_out=self.left_out,
            scripts=dict(scripts.most_common()),
            failures=self.failures,
            failed=self.failed,
        )


def target_of(utterance: Utterance, targets: Targets, case: Case, *, drop_punctuation: bool = False) -> str:
    """Return what an utterance is to be spelt as: NFC, single spaces; empty where it has neither text nor phones.

    Phones keep their case, which has meaning in some notations.
    """
    if targets == "phones":
        return normalize_text(utterance.phones or "", lowercase=False)
    text = normalize_text(utterance.text or "", lowercase=case == "lower", drop_punctuation=drop_punctuation)
    return text.upper() if case == "upper" else text


def case_of(tokenizer: Tokenizer) -> Case:
    """Return the case that texts must have to be spelt: that of the vocabulary, if it has one only."""
    if tokenizer.lowercase:
        return "lower"  # which is what it gives back
    # "[PAD]" and "<mask>" tell nothing of the texts.
    letters = [symbol for symbol in tokenizer.vocab if len(symbol) == 1 or symbol[0] not in "<["]
    has_upper = any(symbol != symbol.lower() for symbol in letters)
    has_lower = any(symbol != symbol.upper() for symbol in letters)
    if tokenizer.is_phones or has_upper == has_lower:
        return "keep"
    return "upper" if has_upper else "lower"


def build_vocabulary(texts: Iterable[str], *, targets: Targets = "text", min_count: int = 1) -> Tokenizer:
    """Make a vocabulary of the characters of texts, or of phones which spaces separate.

    Ids are in Hugging Face's order: `<pad>` 0 (the blank), `<s>` 1, `</s>` 2, `<unk>` 3, `|` 4 (of phones only where
    they hold it), then symbols, most frequent first and equally frequent ones by code point.

    Args:
        texts: normalised.
        targets: what they are.
        min_count: symbols that occur less often are left out.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.split() if targets == "phones" else text)
    delimiter = WORD_DELIMITER if targets == "text" or WORD_DELIMITER in counts else None
    taken = {*SPECIAL_SYMBOLS, WORD_DELIMITER}
    kept = [s for s, count in counts.items() if count >= min_count and not s.isspace() and s not in taken]
    kept.sort(key=lambda symbol: (-counts[symbol], symbol))
    return Tokenizer.from_symbols(
        [*SPECIAL_SYMBOLS, *([delimiter] if delimiter else []), *kept],
        is_phones=targets == "phones",
        word_delimiter=delimiter,
    )


def spell(tokenizer: Tokenizer, text: str) -> Spelling:
    """Turn a normalised text into labels, and hold what they decode to against it.

    The word delimiter stands between words whatever the symbols are: those of several characters, such as whole
    words, would swallow a space beside them as transformers has it.
    """
    delimiter = tokenizer.word_delimiter
    try:
        ids = tokenizer.encode(text if delimiter is None or tokenizer.is_phones else text.replace(" ", delimiter))
    except TokenizerError:  # there is no unknown symbol
        return Spelling([], _outside(tokenizer, text))
    if tokenizer.unk_id in ids:
        return Spelling(ids, _outside(tokenizer, text))
    if tokenizer.is_phones:  # decoding leaves the word delimiter out
        wanted, back = text.split(), [tokenizer.symbol(id) for id in ids if id != tokenizer.blank_id]
    else:
        wanted, back = list(text), list(tokenizer.decode(ids, group=False))
    if back == wanted:
        return Spelling(ids)
    lost = Counter(wanted) - Counter(back) or Counter(back) - Counter(wanted)
    return Spelling(ids, changed=tuple(lost) or (text,))


def _outside(tokenizer: Tokenizer, text: str) -> tuple[str, ...]:
    """The symbols of a text that the vocabulary does not hold, in order."""
    if tokenizer.is_phones:
        return tuple(
            dict.fromkeys(s for s in text.split() if tokenizer.vocab.get(s, tokenizer.unk_id) == tokenizer.unk_id)
        )
    for symbol in sorted(tokenizer.vocab, key=len, reverse=True):
        if len(symbol) > 1 and symbol != SPECIAL_SYMBOLS[3]:
            text = text.replace(symbol, " ")
    text = text.upper() if tokenizer.lowercase else text
    known = {*tokenizer.vocab, " "} if tokenizer.word_delimiter is not None else tokenizer.vocab.keys()
    return tuple(dict.fromkeys(char for char in text if char not in known)) or (SPECIAL_SYMBOLS[3],)


def _script(char: str) -> str:
    """The writing system of a letter, such as LATIN; empty for anything else."""
    is_letter = unicodedata.category(char) in ("Lu", "Ll", "Lt", "Lo")
    return unicodedata.name(char, "UNNAMED").partition(" ")[0] if is_letter else ""


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
