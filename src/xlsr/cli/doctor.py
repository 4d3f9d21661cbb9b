"""The verb that looks for faults: of a corpus, or of the installation."""

from __future__ import annotations

import json as json_format
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from xlsr.cli.app import app, usage, watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from xlsr.cli.installation import Installation
    from xlsr.config import JsonObject
    from xlsr.data.findings import DoctorReport

_SHOWN = 10  # findings of a kind that a table shows; --json has all
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


@app.command
def doctor(
    manifest: Path | None = None,
    /,
    *,
    against: tuple[Path, ...] = (),
    audio: Annotated[bool, Parameter(negative=("--no_audio", "--no-audio"))] = True,
    fix: Path | None = None,
    threads: int = 0,
    json: str | None = None,
    strict: bool = False,
) -> int:
    """Name every utterance that cannot train or is suspicious, and why; without a manifest: what is installed.

    Args:
        manifest: JSON lines, or any list or folder that training takes.
        against: another manifest, such as a test set, with which this one must share nothing; may be repeated.
        audio: read the recordings; without, lengths are what the rows say.
        fix: write a clean manifest here, and what it leaves out beside it as .dropped.jsonl.
        threads: recordings read at once; 0 takes one a CPU, up to 8.
        json: write the whole report here; - is stdout.
        strict: exit with status 1 for warnings too.
    """
    if manifest is None:
        if against or fix or strict or not audio:
            return usage("doctor without a manifest looks at the installation; name a manifest")
        from xlsr.cli.installation import installation

        found = installation()
        _emit(found.to_dict(), json, lambda console: _show_installation(found, console))
        return 1 if found.problems else 0
    from xlsr.data.doctor import doctor as run

    report = run(
        manifest, against=against, audio=audio, fix=fix, threads=threads, progress=partial(watched, label="listening")
    )
    _emit(report.to_dict(), json, lambda console: _show_report(report, console))
    return 1 if report.failed(strict=strict) else 0


def _emit(report: JsonObject, json: str | None, show: Callable[[Console], None]) -> None:
    """Print the tables, and write the JSON; where that goes to stdout, the tables go to stderr."""
    from rich.console import Console

    to_stdout = json in ("-", "<stdin>")  # what a lone hyphen becomes before the verb sees it
    show(Console(stderr=to_stdout, highlight=False, soft_wrap=True))
    content = json_format.dumps(report, ensure_ascii=False, indent=1) + "\n"
    if to_stdout:
        sys.stdout.write(content)
    elif json is not None:
        Path(json).write_text(content, "utf-8", errors="backslashreplace")


def _show_report(report: DoctorReport, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from xlsr.data.findings import KINDS, SEVERITIES

    heard = "read" if report.audio_checked else "not read"
    console.print(f"{report.manifest}: {report.utterances} utterances, {report.seconds / 3600:.2f} h, audio {heard}")
    for code in report.counts:
        findings = [finding for finding in report.findings if finding.code == code]
        console.print(f"\n[bold]{code}[/] ({len(findings)}): {KINDS[code][1]}")
        for finding in findings[:_SHOWN]:
            place = f"line {finding.line}: " if finding.line else ""
            style = _STYLES[finding.severity]
            console.print(f"  [{style}]{finding.severity}[/] {place}{escape(finding.message)}")
        if len(findings) > _SHOWN:
            console.print(f"  and {len(findings) - _SHOWN} more; --json FILE has all")
    if report.findings:
        table = Table("kind", *(f"{severity}s" for severity in SEVERITIES))
        for code in report.counts:
            of_kind = [finding.severity for finding in report.findings if finding.code == code]
            table.add_row(code, *(str(of_kind.count(severity) or "") for severity in SEVERITIES))
        console.print()
        console.print(table)
    console.print(", ".join(f"{report.count(severity)} {severity}s" for severity in SEVERITIES))
    if report.dropped or report.repaired:
        console.print(f"clean manifest: {len(report.dropped)} rows left out, {len(report.repaired)} texts mended:")
        for repair in report.repaired[:_SHOWN]:
            console.print(f"  line {repair.line}: {escape(ascii(repair.before))} is now {escape(ascii(repair.after))}")


def _show_installation(found: Installation, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    console.print(f"xlsr {found.version}, Python {found.python}, {found.system}, {found.cpus} CPU threads")
    console.print(f"model inside: {escape(found.model or 'none')}")
    libraries = ", ".join(f"{name} {version}" for name, version in found.libraries.items())
    console.print(f"decoders: {libraries or 'none'}; FFmpeg reads {' '.join(found.codecs) or 'nothing'}")
    table = Table("extra", "package", "wanted", "installed", "to install it")
    for package in found.packages:
        missing = package.version is None
        cells = (package.extra or "always", package.name, package.wanted, package.version or "missing")
        table.add_row(
            *map(escape, cells), escape(package.install) if missing else "", style="yellow" if missing else ""
        )
    console.print(table)
    for problem in found.problems:
        console.print(f"[bold red]problem[/] {escape(problem)}")
