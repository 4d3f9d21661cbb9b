"""The application that the verbs belong to, and its exit status."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING, NoReturn, TypeVar

from cyclopts import App, CycloptsError, Parameter

import xlsr
from xlsr.errors import XlsrError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlsr.recognizer import Recognizer

T = TypeVar("T")

_PATIENCE_SECONDS = 2.0  # nobody needs a bar for less

app = App(
    name="xlsr",
    help="Speech to text with wav2vec 2.0: transcribe, fine-tune, export.",
    version=f"xlsr {xlsr.__version__}",
    default_parameter=Parameter(negative=()),
)


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a letter gets its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        # A lone hyphen is stdin, not an option without a name.
        tokens = ["<stdin>" if token == "-" else token for token in sys.argv[1:]]
        status = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"xlsr: {error}\nxlsr --help lists the verbs, xlsr VERB --help their options", file=sys.stderr)
        sys.exit(2)
    except XlsrError as error:
        print(f"xlsr: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        print(f"xlsr: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def usage(message: str) -> int:
    """Say what is wrong with the call; returns its exit status."""
    print(f"xlsr: {message}", file=sys.stderr)
    return 2


def introduce(recognizer: Recognizer) -> None:
    """Say on stderr which model speaks, and what it can do."""
    description = recognizer.description
    about = description.extras.get("summary", f"{recognizer.tokenizer.size} symbols")
    print(f"xlsr: model {description.name} ({recognizer.engine.name}): {about}", file=sys.stderr)


def watched(results: Iterator[T], total: int, *, label: str = "transcribing") -> Iterator[T]:
    """Yield the same results; after two seconds under a progress bar, where someone watches."""
    shown_from = time.monotonic() + _PATIENCE_SECONDS if total > 1 and sys.stderr.isatty() else float("inf")
    for done, result in enumerate(results, 1):
        yield result
        if time.monotonic() > shown_from:
            yield from _under_bar(results, total, done, label)


def _under_bar(results: Iterator[T], total: int, done: int, label: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done)
        for result in results:
            yield result
            bar.advance(task)
