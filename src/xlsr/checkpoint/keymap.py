"""Names of tensors in other systems <-> Hugging Face's, one strict table for each format.

A table lists pairs of templates; `{i}` and `{n}` stand for numbers and must agree on both sides. Names are matched
whole, so `layer_norm` never catches `encoder.layer_norm`. Every name has one partner at most, in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Alignment:
    """Names of a file paired with Hugging Face's.

    Attributes:
        names: Hugging Face name -> name in the file.
        unknown: names of the file that the table does not know.
    """

    names: dict[str, str]
    unknown: tuple[str, ...]


class KeyMap:
    """A table of name templates, Hugging Face's to another system's."""

    def __init__(self, table: Mapping[str, str]) -> None:
        assert len(set(table.values())) == len(table), "two names of ours have the same partner"
        self._to_hf = [(_pattern(theirs), ours) for ours, theirs in table.items()]
        self._from_hf = [(_pattern(ours), theirs) for ours, theirs in table.items()]

    def to_hf(self, name: str) -> str | None:
        """The Hugging Face name of another system's tensor; None if the table does not know it."""
        return _translate(self._to_hf, name)

    def from_hf(self, name: str) -> str | None:
        """The other system's name of a Hugging Face tensor; None if the table does not know it."""
        return _translate(self._from_hf, name)

    def align(self, found: Iterable[str]) -> Alignment:
        """Pair every name of a file."""
        pairs = [(self.to_hf(name), name) for name in found]
        return Alignment(
            {ours: theirs for ours, theirs in pairs if ours is not None},
            tuple(theirs for ours, theirs in pairs if ours is None),
        )


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template)
    for placeholder in "in":
        escaped = escaped.replace(rf"\{{{placeholder}\}}", rf"(?P<{placeholder}>[0-9]+)", 1)
    return re.compile(escaped)


def _translate(table: Iterable[tuple[re.Pattern[str], str]], name: str) -> str | None:
    for pattern, template in table:
        if match := pattern.fullmatch(name):
            return template.format(**match.groupdict())
    return None
