"""How a run is seen: a progress bar, lines on the terminal, `log.jsonl` always, TensorBoard where it is installed.

Only the leading rank speaks and writes.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from xlsr.config import Json
from xlsr.training.tasks import Evaluation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[figures]}"),
    TimeRemainingColumn(),
)


class Meter:
    """Sums of loss, weight and seconds since the last line of the log, and the speed."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        """Start the clock again: what came since the last line was no training."""
        self.seconds, self.updates, self.started = 0.0, 0, time.monotonic()

    def add(self, sums: Mapping[str, float], seconds: float) -> None:
        """Count one update's sums over all ranks."""
        self.seconds += seconds
        self.updates += 1
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def flush(self) -> dict[str, float]:
        """Means since the last flush, by weight, and seconds of audio and updates per second."""
        weight = max(self.sums.pop("weight", 0.0), 1.0)
        elapsed = max(time.monotonic() - self.started, 1e-9)
        speeds = {
            "audio_seconds_per_second": round(self.seconds / elapsed, 2),
            "updates_per_second": round(self.updates / elapsed, 4),
        }
        figures = {name: value / weight for name, value in self.sums.items()}
        self.sums = {}
        self.restart()
        return figures | speeds


class RunLog:
    """The log of a run, on the terminal and in its folder."""

    def __init__(self, out: Path, *, leads: bool, title: str = "training") -> None:
        self.path, self.leads = out / "log.jsonl", leads
        self.console = Console(stderr=True, quiet=not leads)
        self.progress = Progress(*_COLUMNS, console=self.console, disable=not (leads and self.console.is_terminal))
        self.title = title
        self.board: SummaryWriter | None = None
        if leads and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(out / "tensorboard"))

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        if self.board is not None:
            self.board.close()

    def begin(self, update: int, updates: int) -> None:
        """Show the bar, and drop lines of the log that a killed run wrote after its last state."""
        self.bar = self.progress.add_task(self.title, total=updates, completed=update, figures="")
        if self.leads and self.path.is_file():
            lines = self.path.read_text("utf-8").splitlines()
            kept = [line for line in lines if _update(line) <= update]
            self.path.write_text("".join(f"{line}\n" for line in kept), "utf-8")

    def advance(self, update: int) -> None:
        """Move the bar."""
        self.progress.update(self.bar, completed=update)

    def figures(self, update: int, values: Mapping[str, float]) -> None:
        """Log figures of the training set."""
        self._write(update, values)
        shown = f"loss {values['loss']:.3f}, {values['audio_seconds_per_second']:.0f} x real time"
        self.progress.update(self.bar, figures=shown)

    def note(self, update: int, text: str) -> None:
        """Log something by name, such as an utterance left out; every rank speaks for itself."""
        console = self.console if self.leads else Console(stderr=True)
        console.print(f"update {update}: {text}", markup=False, highlight=False)
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"update": update, "note": text}, ensure_ascii=False) + "\n")

    def evaluation(self, update: int, evaluation: Evaluation, *, better: bool) -> None:
        """Log figures of the development set, and show a few references with their hypotheses."""
        figures, samples = evaluation.figures, evaluation.samples
        every = {**figures, **evaluation.details}
        self._write(update, {f"dev_{name}": round(value, 5) for name, value in every.items()})
        if samples:
            self._append({"update": update, "samples": [list(pair) for pair in samples]})
        shown = ", ".join(
            f"{name} {value:.2%}" if "_" not in name and value < 10 else f"{name} {value:.3g}"
            for name, value in figures.items()
        )
        self.console.print(f"update {update}: dev {shown}{', the best so far' if better else ''}", highlight=False)
        if samples:
            table = Table("reference", "hypothesis", box=None, pad_edge=False, header_style="dim")
            for pair in samples:
                table.add_row(*(Text(_cut(text)) for text in pair))
            self.console.print(table)

    def _write(self, update: int, values: Mapping[str, float]) -> None:
        self._append({"update": update, **values})
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, update)

    def _append(self, row: Mapping[str, Json]) -> None:
        if self.leads:
            with self.path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row, ensure_ascii=False) + "\n")


def _update(line: str) -> int:
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62  # a line that the kill cut short


def _cut(text: str, width: int = 100) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
