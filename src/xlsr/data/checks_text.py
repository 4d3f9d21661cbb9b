"""Faults of transcripts, one text at a time and against the texts of the same language; and the repair of some.

Knows Unicode; knows no audio and no vocabulary. Texts are judged as they stand in the manifest. Floor 2; NumPy only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from xlsr.data.findings import Finding
from xlsr.data.rows import Row, about_corpus, by_language

# The scripts that share letters that look alike; all others stand apart by sight.
_LOOKALIKE = ("LATIN", "CYRILLIC", "GREEK")
# Letters that are written alike in two of them; a word of these alone may be of either.
_AMBIGUOUS = set("aceopxyisjABCEHIKMOPSTXYJаеорсхуіѕјАВЕНІКМОРЅСТХУЈοΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
_NO_BREAK = {"\u00a0", "\u202f", "\u2007"}
_JOINERS = {"\u200c", "\u200d"}  # part of the spelling in Arabic and Indic scripts
_APOSTROPHES = ("'", "’")
_SYMBOLS = set("&@#%*/\\_^|~<>{}[]•§†‡¶‰")  # punctuation to Unicode, words to a reader
# Share of a language's rows that makes a habit: corpora of one case are so throughout, Common Voice has 3 % of
# lower-case fragments, LJ Speech 36 %.
_DOMINANT = 0.9
_MIN_HABIT = 20  # rows of a language that can have a habit
_MIN_SHOUT = 8  # cased letters of a text that is upper case on purpose: NATO and BBC are not
# Below, one rare letter is chance: 80 sentences of a language miss a tenth of its letters.
_MIN_RARE_ROWS = 500
_RARE_SHARE = 0.001  # of the rows: one in a thousand is seen once an hour of speech
_MAX_ALPHABET = 150  # above lie syllabaries and Chinese, where most characters are rare


def repaired_text(text: str) -> str:
    """Return a text in NFC, without invisible characters, with single plain spaces.

    What a reader would hear differently is left alone: digits, casing, letters of another script.
    """
    kept = []
    for place, char in enumerate(text):
        if _is_invisible(text, place):
            kept.append(" " if char in _NO_BREAK else "")
        else:
            kept.append(char)
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def text_findings(rows: Sequence[Row]) -> list[Finding]:
    """Check every transcript; a corpus without any is asked for none."""
    rows = [row for row in rows if row.is_speech]
    spelled = [row for row in rows if row.utterance.text is not None]
    found = list(_missing(rows, spelled))
    for row in spelled:
        found += _of_one(row)
    for language, group in by_language([row for row in spelled if row.text.strip()]).items():
        name = language or "the corpus"
        found += [*_scripts_of(group, name), *_casing(group, name), *_apostrophes(group, name), *_rare(group, name)]
    return [*found, *_unseen(spelled)]


def _missing(rows: Sequence[Row], spelled: Sequence[Row]) -> Iterator[Finding]:
    """Rows without text, where others have some; phones alone are labels enough where nobody has text."""
    if not spelled:
        if rows and not any(row.utterance.phones for row in rows):
            yield about_corpus("empty_text", "no row has a text; the corpus is fit for pre-training alone")
        return
    for row in rows:
        if row.utterance.text is None:
            yield row.finding("empty_text", "the row has no text; a transcript is wanted: add it or remove the row")


def _of_one(row: Row) -> Iterator[Finding]:
    text = row.text
    if not any(char.isalnum() for char in text):
        wanted = "the words that are spoken are wanted: add them or remove the row"
        yield row.finding("empty_text", f"the text is {text!r}, without a letter; {wanted}")
        return
    hidden = {char for place, char in enumerate(text) if _is_invisible(text, place)}
    if hidden:
        wanted = "nobody sees them, but each becomes a symbol to learn: use --fix"
        yield row.finding("invisible_characters", f"the text holds {_named(hidden)}; {wanted}")
    plain = "".join(" " if char in _NO_BREAK else char for char in text if char not in hidden - _NO_BREAK)
    if " ".join(plain.split()) != plain:
        yield row.finding("whitespace", f"the text {text!r} has stray spaces; single ones are wanted: use --fix")
    if unicodedata.normalize("NFC", text) != text:
        wanted = "xlsr composes them itself, other tools count each piece: use --fix"
        yield row.finding("not_nfc", f"letters of the text are not in Unicode's form NFC; {wanted}")
    unspoken = {char for char in text if unicodedata.category(char) in ("Nd", "No", "Nl", "Sc", "Sm", "So")}
    unspoken |= _SYMBOLS & set(text)
    if unspoken:
        wanted = "words as they are spoken are wanted: write them out"
        yield row.finding("unspoken_symbols", f"the text holds {' '.join(sorted(unspoken))}; {wanted}")


def _is_invisible(text: str, place: int) -> bool:
    char = text[place]
    if char in _NO_BREAK:
        return True
    if char in "\t\n\r\v\f" or char == " ":
        return False  # spaces, to be counted as such
    if char in _JOINERS:
        sides = text[place - 1 : place] + text[place + 1 : place + 2]
        return len(sides) < 2 or any(side.isspace() or _script(side) in _LOOKALIKE for side in sides)
    return unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs")


@cache
def _script(char: str) -> str | None:
    """LATIN, CYRILLIC or GREEK; None for everything else."""
    first = unicodedata.name(char, "").partition(" ")[0] if char.isalpha() else ""
    return first if first in _LOOKALIKE else None


def _scripts(word: str) -> set[str]:
    return {script for script in map(_script, word) if script}


def _scripts_of(group: Sequence[Row], name: str) -> Iterator[Finding]:
    """Words of two scripts, and words that only look like the script of their language."""
    words = [re.findall(r"[^\W\d_]+", row.text) for row in group]
    counts = Counter(script for row in words for word in row for script in map(_script, word) if script)
    habit = counts.most_common(1)[0][0] if counts else None
    for row, candidates in zip(group, words, strict=True):
        for word in candidates:
            strange = {char for char in word if _script(char) not in (habit, None)}
            if strange and (len(_scripts(word)) > 1 or set(word) <= _AMBIGUOUS):
                got = f"{word!r} has {_named(strange)} among letters of {habit}, the script of {name}"
                yield row.finding("confusable_characters", f"{got}: spell it in one script")
                break


def _named(chars: set[str]) -> str:
    return ", ".join(f"{unicodedata.name(char, 'control')} (U+{ord(char):04X})" for char in sorted(chars))


def _style(text: str) -> str:
    cased = [char for char in text if char.lower() != char.upper()]
    if not cased:
        return "none"
    if all(char.islower() for char in cased):
        return "lower"
    if all(char.isupper() for char in cased):
        return "upper" if len(cased) >= _MIN_SHOUT else "short upper"
    return "sentence"


def _casing(group: Sequence[Row], name: str) -> Iterator[Finding]:
    """Rows that are cased unlike nine tenths of their language.

    Sentences that begin in lower case are common in corpora of sentence case, so only capitals stand out there.
    """
    styles = [_style(row.text) for row in group]
    counts = Counter(style.removeprefix("short ") for style in styles if style != "none")
    if counts.total() < _MIN_HABIT:
        return
    habit, most = counts.most_common(1)[0]
    strange = {"lower": {"upper", "short upper", "sentence"}, "upper": {"lower", "sentence"}}.get(habit, {"upper"})
    odd = [(row, style) for row, style in zip(group, styles, strict=True) if style in strange]
    if len(odd) > (1 - _DOMINANT) * counts.total():
        shares = ", ".join(f"{count} {style}" for style, count in counts.most_common())
        yield about_corpus("mixed_case", f"casing of {name} is mixed: {shares}; one is wanted: train with lowercase")
        return
    for row, style in odd:
        got = f"the text is of {style} case, {most} of {counts.total()} of {name} are of {habit} case"
        yield row.finding("mixed_case", f"{got}: write it like the others or train with lowercase")


def _apostrophes(group: Sequence[Row], name: str) -> Iterator[Finding]:
    """Rows with the rarer of two apostrophes between letters."""
    pattern = r"(?<=[^\W\d_]){}(?=[^\W\d_])"
    both = [[row for row in group if re.search(pattern.format(mark), row.text)] for mark in _APOSTROPHES]
    (rarer, odd), (common, usual) = sorted(zip(_APOSTROPHES, both, strict=True), key=lambda pair: len(pair[1]))
    got = f"the apostrophe is {rarer} in {len(odd)} rows of {name} and {common} in {len(usual)}"
    if len(odd) > (1 - _DOMINANT) * len(usual):
        yield about_corpus("confusable_characters", f"{got}; one is wanted: settle on one")
        return
    for row in odd:
        yield row.finding("confusable_characters", f"{got}; one is wanted: write it like the others")


def _alphabet(text: str) -> set[str]:
    return {char for char in unicodedata.normalize("NFC", text).lower() if not char.isspace()}


def _rare(group: Sequence[Row], name: str) -> Iterator[Finding]:
    """Letters that hardly any row of a large corpus has."""
    if len(group) < _MIN_RARE_ROWS:
        return
    alphabets = [{char for char in _alphabet(row.text) if unicodedata.category(char)[0] in "LM"} for row in group]
    counts = Counter(char for alphabet in alphabets for char in alphabet)
    limit = max(1, int(_RARE_SHARE * len(group)))
    if len(counts) > _MAX_ALPHABET:
        return
    for row, alphabet in zip(group, alphabets, strict=True):
        rare = sorted(char for char in alphabet if counts[char] <= limit)
        if rare:
            got = f"{' '.join(rare)} ({_named(set(rare))}) is in {counts[rare[0]]} of {len(group)} texts of {name}"
            yield row.finding("rare_characters", f"{got}; hundreds are wanted to learn it: respell it if it can be")


def _unseen(rows: Sequence[Row]) -> Iterator[Finding]:
    """Held-out rows with characters that no training row has; a large alphabet never is complete."""
    train = [row for row in rows if not row.held_out]
    if not train:
        return
    alphabets = {
        language: {char for row in group for char in _alphabet(row.text)}
        for language, group in by_language(train).items()
    }
    known = {char for alphabet in alphabets.values() for char in alphabet}
    for language, group in by_language([row for row in rows if row.held_out]).items():
        name = language or "the corpus"
        if language not in alphabets:
            got = f"{len(group)} held-out rows are in {name}, no training row is"
            yield about_corpus("unseen_characters", f"{got}; fit for tests of unseen languages alone")
            continue
        unseen = [(row, sorted(_alphabet(row.text) - known)) for row in group]
        missing = {char for _, chars in unseen for char in chars}
        if len(alphabets[language] | missing) > _MAX_ALPHABET:
            if missing:
                got = f"{len(missing)} characters of held-out rows in {name} are in no training row"
                yield about_corpus("unseen_characters", f"{got}; those rows cannot be spelled: add text to training")
            continue
        for row, chars in unseen:
            if chars:
                got = f"{' '.join(chars)} ({_named(set(chars))}) is in no training row"
                yield row.finding("unseen_characters", f"{got}; the model cannot spell it: respell it or add training")
