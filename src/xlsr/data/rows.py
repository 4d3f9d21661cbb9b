"""The rows of a manifest with their bytes, so that a clean copy can keep them as they are. One bad row stops no other.

Knows lines and findings about rows; leaves the meaning of the keys to manifest.py. Floor 2; the first step of `doctor`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xlsr.config import JsonObject
from xlsr.data.findings import KINDS, Finding, Severity
from xlsr.data.manifest import Utterance, _utterance
from xlsr.errors import ManifestError


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a manifest; two rows are never the same.

    Attributes:
        line: its number, from 1.
        raw: its bytes, without the line's end.
        utterance: what it lists.
        content: the JSON object.
    """

    line: int
    raw: bytes
    utterance: Utterance
    content: JsonObject

    @property
    def text(self) -> str:
        """The transcript; empty where there is none."""
        return self.utterance.text or ""

    @property
    def sample_rate(self) -> float | None:
        """What the row says of it, in Hz."""
        value = self.content.get("sample_rate")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None

    @property
    def is_segment(self) -> bool:
        """Whether the row says that it is a part of a recording."""
        return "offset" in self.content

    @property
    def held_out(self) -> bool:
        """Whether it belongs to another split than training."""
        split = self.utterance.split
        return bool(split) and not str(split).lower().startswith("train")

    def finding(self, code: str, message: str, severity: Severity | None = None) -> Finding:
        """A finding about this row; its gravity is its kind's unless given."""
        return Finding(code, severity or KINDS[code][0], message, self.line, str(self.utterance.audio))


def about_corpus(code: str, message: str) -> Finding:
    """A note about the whole corpus."""
    return Finding(code, "note", message)


def read_rows(path: Path) -> tuple[list[Row], dict[int, bytes], list[Finding]]:
    """Read a JSON-lines manifest.

    Returns:
        The rows, the bytes of the lines that are none by their numbers, and a finding for each of these.

    Raises:
        ManifestError: the file cannot be read, or holds no line.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise ManifestError(f"manifest {path} cannot be read: {error}") from error
    rows: list[Row] = []
    bad: dict[int, bytes] = {}
    findings: list[Finding] = []
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8")
            rows.append(Row(number, raw, _utterance(path, number, text), json.loads(text)))
        except (ManifestError, UnicodeDecodeError) as error:
            bad[number] = raw
            findings.append(Finding("bad_row", "error", f"{error}: mend or remove the line", number))
    if not rows and not bad:
        raise ManifestError(f"manifest {path} lists no utterance")
    return rows, bad, findings


def by_language(rows: Sequence[Row]) -> dict[str | None, list[Row]]:
    """Rows that are compared with each other, in their order."""
    groups: dict[str | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.utterance.language, []).append(row)
    return groups
