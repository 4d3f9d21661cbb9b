"""What can be wrong with a corpus: the kinds, one finding, and the report of them all.

Knows the name, the gravity and the meaning of every kind; knows no threshold and looks at nothing itself (checks_*.py
do). Floor 2; NumPy only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from xlsr.config import JsonObject

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

KINDS: Mapping[str, tuple[Severity, str]] = {
    "bad_row": ("error", "a line that is no utterance"),
    "unreadable_audio": ("error", "a recording that is missing or cannot be read"),
    "truncated_audio": ("error", "a recording that ends before its header or its row says"),
    "nan_audio": ("error", "samples that are not finite"),
    "silent_audio": ("error", "a recording of nothing"),
    "empty_text": ("error", "no text, or no letter in it"),
    "too_many_labels": ("error", "more labels than frames"),
    "audio_leak": ("error", "a training recording that is also held out"),
    "wrong_rate": ("warning", "a sample rate or a speed that disagrees with the row"),
    "wrong_duration": ("warning", "a recording that is longer than its row says"),
    "clipped_audio": ("warning", "peaks cut off at full scale"),
    "dc_offset": ("warning", "samples that lie beside zero"),
    "mostly_silence": ("warning", "hardly any sound in a long recording"),
    "implausible_rate": ("warning", "far more or less text than the audio can hold"),
    "duration_outlier": ("warning", "shorter or longer than fine-tuning takes"),
    "duplicate_audio": ("warning", "the same recording twice"),
    "contradictory_text": ("warning", "the same recording with another text"),
    "text_leak": ("warning", "a training sentence that is also held out"),
    "speaker_leak": ("warning", "a held-out speaker who is also in training"),
    "unseen_characters": ("warning", "characters that training never shows"),
    "confusable_characters": ("warning", "characters that look like others"),
    "invisible_characters": ("warning", "characters that nobody sees"),
    "unspoken_symbols": ("warning", "digits and symbols, which are not written as spoken"),
    "mixed_case": ("warning", "casing unlike the rest of the corpus"),
    "not_nfc": ("note", "letters in pieces (Unicode form other than NFC)"),
    "whitespace": ("note", "spaces before, after or doubled"),
    "rare_characters": ("note", "characters too rare to be learnt"),
}
"""Code -> how grave it is, and what it means. An error cannot train or must not; a warning is suspicious; a note is
worth knowing and changes nothing. A finding about the whole corpus is at most a note."""


@dataclass(frozen=True)
class Finding:
    """One fault of one utterance, or of the corpus.

    Attributes:
        code: a key of `KINDS`.
        severity: error, warning or note.
        message: what, got, wanted, what to do.
        line: of the manifest, from 1; None where the whole corpus is meant.
        audio: the recording, as messages call it; None as above, or where the row names none.
    """

    code: str
    severity: Severity
    message: str
    line: int | None = None
    audio: str | None = None


@dataclass(frozen=True)
class Repair:
    """A text that was mended in the clean manifest."""

    line: int
    before: str
    after: str


@dataclass(frozen=True)
class DoctorReport:
    """What was looked at and what was found.

    Attributes:
        manifest: its path.
        utterances: rows of the manifest, bad ones too.
        seconds: of audio: measured where it was read, else as the rows say.
        audio_checked: whether the recordings were read.
        findings: the gravest first, then by kind and line.
        repaired: texts that the clean manifest has in a mended form; empty without `fix`.
        dropped: lines that the clean manifest leaves out; empty without `fix`.
    """

    manifest: str
    utterances: int
    seconds: float
    audio_checked: bool
    findings: tuple[Finding, ...]
    repaired: tuple[Repair, ...] = ()
    dropped: tuple[int, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each kind that occurs, the gravest kinds first."""
        found = Counter(finding.code for finding in self.findings)
        return {code: found[code] for code in KINDS if found[code]}

    def count(self, severity: Severity) -> int:
        """Findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def failed(self, *, strict: bool = False) -> bool:
        """Whether there are errors; with `strict`, warnings count too."""
        return bool(self.count("error") or (strict and self.count("warning")))

    def to_dict(self) -> JsonObject:
        """The report as JSON."""
        return {
            "manifest": self.manifest,
            "utterances": self.utterances,
            "seconds": round(self.seconds, 3),
            "audio_checked": self.audio_checked,
            "totals": {f"{severity}s": self.count(severity) for severity in SEVERITIES},
            "counts": dict(self.counts),
            "findings": [asdict(finding) for finding in self.findings],
            "repaired": [asdict(repair) for repair in self.repaired],
            "dropped": list(self.dropped),
        }


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """The same findings: the gravest first, then by kind and line."""
    places = {code: place for place, code in enumerate(KINDS)}
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), places[f.code], f.line or 0)))
