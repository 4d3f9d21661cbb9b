"""Numbers written in digits as they are said, for the languages of Unicode's CLDR. Floor 3, for `spelling`.

The words come from unicode-rbnf, an optional package. Where it is not installed or does not know the language, there
are none, and the aligner takes a wildcard in their place.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from xlsr.errors import ConfigError, MissingDependencyError, require

if TYPE_CHECKING:
    from unicode_rbnf import RbnfEngine

NUMBER = re.compile(r"\d+(?:st|nd|rd|th)\b|\d+(?:[.,:]\d+)*")
# ISO 639-3 and what CLDR calls it.
_CLDR = dict(
    pair.split(":")
    for pair in (
        "afr:af aka:ak amh:am ara:ar aze:az bel:be bos:bs bul:bg cat:ca ces:cs cmn:zh cym:cy dan:da deu:de ell:el "
        "eng:en epo:eo est:et ewe:ee fao:fo fas:fa fil:fil fin:fi fra:fr ful:ff gle:ga heb:he hin:hi hrv:hr hun:hu "
        "hye:hy ind:id isl:is ita:it jpn:ja kal:kl kat:ka kaz:kk khm:km kir:ky kor:ko lao:lo lav:lv lit:lt ltz:lb "
        "lrc:lrc mkd:mk mlt:mt msa:ms mya:my nep:ne nld:nl nno:nn nob:no nor:no pes:fa pol:pl por:pt que:qu ron:ro "
        "rus:ru slk:sk slv:sl sme:se spa:es sqi:sq srp:sr sun:su swa:sw swe:sv swh:sw tam:ta tha:th tur:tr ukr:uk "
        "vec:vec vie:vi yue:yue zho:zh zsm:ms"
    ).split()
)
_POINT_LANGUAGES = frozenset("en zh ja ko th he hi km lo ms my ne sw ta yue".split())  # the others write 3,25
_MOST_DIGITS, _MOST_GROUPED_DIGITS = 7, 15  # of one number


def known_language(language: str | None) -> str | None:
    """Return a language in which numbers can be said; None stays.

    Raises:
        ConfigError: numbers are not known in that language.
        MissingDependencyError: unicode-rbnf is not installed.
    """
    if language is None:
        return None
    require("unicode_rbnf", "numbers", f"saying numbers in {language}")
    if _engine(_CLDR.get(language, language)) is None:
        raise ConfigError(f"numbers cannot be said in {language!r}; wanted an ISO 639-3 code, such as eng, deu or cmn")
    return language


def say_number(text: str, language: str | None) -> str | None:
    """Return a number in words, or None where they are not known.

    Four digits from 1100 to 2099 are a year. Numbers of more than seven digits, and those with a leading zero, are said
    digit by digit; what is neither a whole number nor a fraction part by part, as 10:30.

    Args:
        text: what `NUMBER` matches: "1984", "3,000.5", "10:30", "3rd".
        language: ISO 639-3, or the code that CLDR has for it.
    """
    engine = _engine(_CLDR.get(language or "", language or ""))
    if engine is None:
        return None
    from unicode_rbnf import FormatPurpose

    if text[-1].isalpha():
        return engine.format_number(int(text[:-2]), FormatPurpose.ORDINAL).text if engine.language == "en" else None
    point, comma = (".", ",") if engine.language in _POINT_LANGUAGES else (",", ".")
    is_grouped = re.fullmatch(rf"\d{{1,3}}(\{comma}\d{{3}})+(\{point}\d+)?", text) is not None
    whole, _, fraction = (text.replace(comma, "") if is_grouped else text).partition(point)
    if (is_grouped or fraction) and (whole + fraction).isdecimal() and len(whole + fraction) <= _MOST_GROUPED_DIGITS:
        return engine.format_number(f"{int(whole)}.{fraction}" if fraction else int(whole)).text
    return " ".join(word for part in re.findall(r"\d+", text) for word in _say_whole(engine, part))


def _say_whole(engine: RbnfEngine, digits: str) -> list[str]:
    from unicode_rbnf import FormatPurpose

    if len(digits) > _MOST_DIGITS or (digits[0] == "0" and len(digits) > 1):
        return [engine.format_number(int(digit)).text for digit in digits]
    number = int(digits)
    is_year = len(digits) == 4 and 1100 <= number <= 2099
    return [engine.format_number(number, FormatPurpose.YEAR if is_year else FormatPurpose.CARDINAL).text]


@cache
def _engine(language: str) -> RbnfEngine | None:
    """The rules of a language; None where there are none."""
    if not re.fullmatch(r"[a-z]{2,3}(_[A-Za-z]+)?", language):
        return None
    try:
        module = require("unicode_rbnf", "numbers", "spelling numbers")
        engine: RbnfEngine = module.RbnfEngine.for_language(language)
    except (MissingDependencyError, ValueError):
        return None
    return engine
