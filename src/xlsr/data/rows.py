"""The rows of a manifest with their bytes, so that a clean copy can keep them as they are. One bad row stops no other.

Knows lines and findings about rows; leaves the meaning of the keys to manifest.py. Floor 2; the first step of `doctor`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xlsr.config import JsonObject
from xlsr.data.corpora.layouts import recognise
from xlsr.data.findings import KINDS, Finding, Severity
from xlsr.data.manifest import Utterance, read_manifest
from xlsr.data.utterance import from_row
from xlsr.errors import ManifestError


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a manifest; two rows are never the same.

    Attributes:
        line: its number, from 1.
        raw: its bytes, without the line's end; empty where the list is no JSON lines.
        utterance: what it lists.
        content: the JSON object; empty as above.
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
    def is_segment(self) -> bool:
        """Whether the row says that it is a part of a recording."""
        return "offset" in self.content or self.utterance.offset > 0

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks: noises and room responses say that they are none."""
        return self.utterance.kind not in ("noise", "rir")

    @property
    def held_out(self) -> bool:
        """Whether it belongs to another split than training."""
        split = self.utterance.split
        return bool(split) and not str(split).lower().startswith("train")

    def key(self, names: Sequence[str]) -> str:
        """Which of several names of a column the row has; the first if none."""
        return next((name for name in names if isinstance(self.content.get(name), str)), names[0])

    def finding(self, code: str, message: str, severity: Severity | None = None) -> Finding:
        """A finding about this row; its gravity is its kind's unless given."""
        return Finding(code, severity or KINDS[code][0], message, self.line, str(self.utterance.audio))


def about_corpus(code: str, message: str) -> Finding:
    """A note about the whole corpus."""
    return Finding(code, "note", message)


def is_json_lines(path: Path) -> bool:
    """Whether a list has lines that can be kept byte for byte; the first step of telling what it is."""
    return path.is_file() and recognise(path) == "manifest"


def read_rows(path: Path) -> tuple[list[Row], dict[int, bytes], list[Finding]]:
    """Read a list of utterances; of other forms than JSON lines, rows are counted from 1 and one bad row is all.

    Returns:
        The rows, the bytes of the lines that are none by their numbers, and a finding for each of these.

    Raises:
        ManifestError: the file cannot be read, or holds no line.
        AudioError: a list without durations names a recording that cannot be read.
    """
    if not is_json_lines(path):
        return [Row(number, b"", utterance, {}) for number, utterance in enumerate(read_manifest(path), 1)], {}, []
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
            rows.append(_row(raw, number, path))
        except ManifestError as error:
            bad[number] = raw
            findings.append(Finding("bad_row", "error", f"{error}: mend or remove the line", number))
    if not rows and not bad:
        raise ManifestError(f"manifest {path} lists no utterance")
    return rows, bad, findings


def _row(raw: bytes, number: int, path: Path) -> Row:
    place = f"{path} line {number}"
    try:
        content = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{place} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{place} holds {type(content).__name__}; an object is wanted")
    return Row(number, raw, from_row(content, path.parent, place), content)


def by_language(rows: Sequence[Row]) -> dict[str | None, list[Row]]:
    """Rows that are compared with each other, in their order."""
    groups: dict[str | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.utterance.language, []).append(row)
    return groups
