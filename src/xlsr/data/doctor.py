"""A manifest to a report of every utterance that cannot train or is suspicious, and to a clean manifest.

The order of the checks and what becomes of their findings; the checks themselves are in checks_*.py. Nothing is ever
changed in place. Floor 2; between a corpus and its first training step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from xlsr.config import Json
from xlsr.data.checks_audio import Measurement, audio_findings, failure_finding, measure_rows
from xlsr.data.checks_corpus import corpus_findings
from xlsr.data.checks_text import repaired_text, text_findings
from xlsr.data.findings import DoctorReport, Finding, Repair, ordered
from xlsr.data.rows import Row, is_json_lines, read_rows
from xlsr.data.utterance import AUDIO_KEYS, WORD_KEYS
from xlsr.errors import AudioError, ManifestError

Heard = Iterator[tuple[Row, Measurement | AudioError]]
_MAX_THREADS = 8  # the disk is the limit above


def doctor(
    manifest: str | Path,
    *,
    against: Sequence[str | Path] = (),
    audio: bool = True,
    fix: str | Path | None = None,
    threads: int = 0,
    progress: Callable[[Heard, int], Heard] | None = None,
) -> DoctorReport:
    """Check a manifest, its texts and its recordings, and write a clean copy if asked.

    Args:
        manifest: JSON lines, or any list or folder that `read_manifest` takes; several splits, or one.
        against: manifests that it must share no recording, sentence or speaker with, such as those of the test sets.
        audio: whether the recordings are read; without, lengths are what the rows say.
        fix: write the rows without errors here, as they are but for texts that can be mended, and the others with
            their reasons to the same name with .dropped.jsonl.
        threads: recordings read at once; 0 takes one a CPU, up to 8.
        progress: wraps what is heard of each row, given their number, such as with a progress bar.

    Returns:
        What was found. The whole corpus is in memory as rows and one measurement a row, its audio never.

    Raises:
        ManifestError: a manifest cannot be read or lists nothing, or `fix` would overwrite one of them
            or wants another form than JSON lines.
    """
    path = Path(manifest)
    if fix is not None:
        _check_target(Path(fix), [path, *map(Path, against)])
    rows, bad, findings = read_rows(path)
    others = [row for other in against for row in read_rows(Path(other))[0]]
    heard: dict[Row, Measurement] = {}
    if audio:
        everything = [*rows, *others]
        results = measure_rows(everything, threads=threads or min(os.cpu_count() or 1, _MAX_THREADS))
        heard, failures = _sorted(progress(results, len(everything)) if progress else results, set(rows))
        findings += failures
        findings += audio_findings([(row, heard[row]) for row in rows if row in heard], _whole_files(rows))
    findings += text_findings(rows)
    findings += corpus_findings(rows, others, heard, findings)
    report = DoctorReport(
        str(path),
        len(rows) + len(bad),
        sum(heard[row].seconds if row in heard else row.utterance.duration for row in rows),
        audio,
        ordered(findings),
    )
    return report if fix is None else _written(report, rows, bad, Path(fix))


def _sorted(results: Heard, ours: set[Row]) -> tuple[dict[Row, Measurement], list[Finding]]:
    """What could be read, and findings of what could not; the other manifests' failures are theirs to report."""
    heard: dict[Row, Measurement] = {}
    failures: list[Finding] = []
    for row, result in results:
        if not isinstance(result, AudioError):
            heard[row] = result
        elif row in ours:
            failures.append(failure_finding(row, result))
    return heard, failures


def _whole_files(rows: Sequence[Row]) -> set[Path]:
    """Recordings that one row stands for: no other row has another part of them."""
    parts: dict[Path, set[tuple[float, float]]] = {}
    for row in rows:
        parts.setdefault(row.utterance.audio, set()).add((row.utterance.offset, row.utterance.duration))
    return {path for path, spans in parts.items() if len(spans) == 1}


def _check_target(fix: Path, sources: Sequence[Path]) -> None:
    if not is_json_lines(sources[0]):
        raise ManifestError(f"{sources[0]} is no JSON lines, of which alone a clean copy is written: xlsr prepare it")
    for source in sources:
        if fix.resolve() == source.resolve() or _dropped_path(fix).resolve() == source.resolve():
            raise ManifestError(f"{fix} would overwrite {source}; the clean manifest wants a name of its own")
    if fix.exists() and not _dropped_path(fix).exists():
        raise ManifestError(
            f"{fix} is there already, and no earlier clean manifest ({_dropped_path(fix).name} is not beside it); "
            "the clean manifest wants a name of its own"
        )


def _dropped_path(fix: Path) -> Path:
    return fix.with_name(f"{fix.name.removesuffix('.jsonl')}.dropped.jsonl")


def _written(report: DoctorReport, rows: Sequence[Row], bad: dict[int, bytes], fix: Path) -> DoctorReport:
    """Write the clean manifest and the dropped rows; the report with what was done."""
    reasons: dict[int, list[Finding]] = {}
    for finding in report.findings:
        if finding.severity == "error" and finding.line is not None:
            reasons.setdefault(finding.line, []).append(finding)
    repaired = []
    clean, dropped = [], []
    lines = {row.line: row.raw for row in rows} | bad
    kept = {row.line: row for row in rows if row.line not in reasons}
    for line, raw in sorted(lines.items()):
        if line in kept:
            after = repaired_text(kept[line].text)
            if after != kept[line].text:
                repaired.append(Repair(line, kept[line].text, after))
            clean.append(_clean_row(kept[line], after, fix.parent))
        else:
            why = [{"code": finding.code, "message": finding.message} for finding in reasons[line]]
            entry = {"line": line, "row": raw.decode("utf-8", "replace"), "reasons": why}
            dropped.append(_json_bytes(entry))
    fix.parent.mkdir(parents=True, exist_ok=True)
    for path, content in ((_dropped_path(fix), dropped), (fix, clean)):
        partial = path.with_name(f".{path.name}.part")
        partial.write_bytes(b"".join(row + b"\n" for row in content))
        partial.replace(path)
    return DoctorReport(
        report.manifest, report.utterances, report.seconds, report.audio_checked, report.findings,
        tuple(repaired), tuple(sorted(reasons)),
    )  # fmt: skip


def _clean_row(row: Row, text: str, folder: Path) -> bytes:
    """The bytes of a row, verbatim unless its text is mended or its files are relative to another folder."""
    changes: dict[str, Json] = {}
    if text != row.text:
        changes[row.key(WORD_KEYS["text"])] = text
    for key, file in ((row.key(AUDIO_KEYS), row.utterance.audio), ("features", row.utterance.features)):
        name = Path(str(row.content.get(key)))
        if file and not name.is_absolute() and os.path.abspath(folder / name) != os.path.abspath(file):
            changes[key] = Path(os.path.relpath(file, folder)).as_posix()
    return _json_bytes(row.content | changes) if changes else row.raw


def _json_bytes(value: object) -> bytes:
    """One line of JSON; half a character pair, which UTF-8 has not, stays the escape that it was."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
