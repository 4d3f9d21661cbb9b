"""What is installed and what is missing: packages by extra, the model inside, the processor, the codecs. Floor 7.

Imports no optional package: it looks for them. The list of extras is the package's own metadata.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import xlsr
from xlsr.checkpoint.folder import find_model, read_description
from xlsr.config import JsonObject
from xlsr.errors import XlsrError

_CODECS = ("mp3", "aac", "opus", "vorbis", "flac", "alac", "amrnb", "amrwb", "wmav2", "gsm", "g729", "speex")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(\[[^\]]*\])?\s*([^;]*)(?:;.*extra\s*==\s*['\"]([^'\"]+)['\"])?")


@dataclass(frozen=True)
class Package:
    """A package that ours asks for.

    Attributes:
        name: on the package index.
        wanted: the versions that are accepted.
        version: what is installed; None where it is missing.
        extra: what brings it; None for what is always installed.
    """

    name: str
    wanted: str
    version: str | None
    extra: str | None

    @property
    def install(self) -> str:
        """The line that installs it."""
        return f"pip install '{f'xlsr[{self.extra}]' if self.extra else 'xlsr'}'"


@dataclass(frozen=True)
class Installation:
    """What `xlsr` finds around itself.

    Attributes:
        version: ours.
        python: its version.
        system: operating system and machine.
        cpus: that this process may use.
        model: the model inside the package; None where it cannot be read, and then `problems` says why.
        codecs: that FFmpeg decodes, of the common ones.
        libraries: versions of the libraries that decode.
        packages: what ours asks for, by extra.
        problems: what does not work for want of something that is always installed.
    """

    version: str
    python: str
    system: str
    cpus: int
    model: str | None
    codecs: tuple[str, ...]
    libraries: dict[str, str]
    packages: tuple[Package, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> JsonObject:
        """The same as JSON."""
        return asdict(self)


def installation() -> Installation:
    """Look at what is installed, without importing any of the optional packages."""
    problems: list[str] = []
    # By extra, what is always installed first; "dev" holds all the others' again.
    packages = tuple(sorted(_packages(), key=lambda package: (package.extra == "dev", package.extra or "")))
    problems += [f"{p.name} is missing: {p.install}" for p in packages if p.version is None and p.extra is None]
    try:
        description = read_description(find_model("default"))
        model = f"{description.name}: {description.extras.get('summary', 'no description')}"
    except XlsrError as error:
        model = None
        problems.append(str(error))
    libraries, codecs = _decoders(problems)
    return Installation(
        version=xlsr.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        model=model,
        codecs=codecs,
        libraries=libraries,
        packages=packages,
        problems=tuple(problems),
    )


def _decoders(problems: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Versions of libsndfile and FFmpeg, and the common codecs that FFmpeg decodes here."""
    libraries: dict[str, str] = {}
    codecs: tuple[str, ...] = ()
    try:
        import soundfile

        libraries["libsndfile"] = soundfile.__libsndfile_version__
    except (ImportError, OSError) as error:
        problems.append(f"soundfile cannot be loaded ({error}): pip install --force-reinstall soundfile")
    try:
        import av

        libraries["FFmpeg"] = av.ffmpeg_version_info
        codecs = tuple(codec for codec in _CODECS if codec in av.codecs_available)
    except (ImportError, OSError) as error:
        problems.append(f"av cannot be loaded ({error}): pip install --force-reinstall av")
    return libraries, codecs


def _packages() -> Iterator[Package]:
    """What the metadata asks for, or pyproject.toml where the source runs without being installed."""
    for requirement, given in _requirements():
        match = _REQUIREMENT.match(requirement)
        if match is None or match[1] == "xlsr":
            continue
        try:
            version: str | None = importlib.metadata.version(match[1])
        except importlib.metadata.PackageNotFoundError:
            version = None
        yield Package(match[1], match[3].strip(), version, match[4] or given)


def _requirements() -> list[tuple[str, str | None]]:
    """Requirements, each with its extra where it does not say so itself."""
    try:
        return [(line, None) for line in importlib.metadata.requires("xlsr") or []]
    except importlib.metadata.PackageNotFoundError:
        source = Path(xlsr.__file__).parents[2] / "pyproject.toml"
    if not source.is_file():
        return []
    project = tomllib.loads(source.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    return [(line, None) for line in project["dependencies"]] + [
        (line, name) for name, lines in extras for line in lines
    ]
