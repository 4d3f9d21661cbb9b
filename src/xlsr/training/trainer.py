"""The one loop: batches in, updates out, saved so that a stopped run goes on where it was.

All randomness is a function of the seed and the update's number, so a resumed run sees the same masks, dropout and
order as an uninterrupted one, and nothing but weights and optimiser has to be stored.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import DataLoader, Dataset

from xlsr.config import Json, JsonObject, read_json_object
from xlsr.errors import TrainingError
from xlsr.training.recipe import Recipe
from xlsr.training.schedule import tri_stage
from xlsr.training.tasks import Batch, Task


@dataclass(frozen=True)
class Result:
    """What a run came to: the folder of the best model, its figures, and the update that it is of."""

    folder: Path
    figures: dict[str, float]
    update: int


_FREE = ("run.device", "run.threads", "run.workers")  # change no result, and may change on resume
_LOG_EVERY = 50  # updates
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[figures]}"),
    TimeRemainingColumn(),
)


class _Meter:
    """Mean loss and speed since the last line of the log."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.restart()

    def restart(self) -> None:
        """Start the clock again: what came since the last line was no training."""
        self.seconds, self.started = 0.0, time.monotonic()

    def add(self, loss: float, batches: Sequence[Batch]) -> None:
        self.losses.append(loss)
        self.seconds += sum(batch.seconds for batch in batches)

    def flush(self) -> dict[str, float]:
        speed = self.seconds / max(time.monotonic() - self.started, 1e-9)
        figures = {"loss": sum(self.losses) / len(self.losses), "audio_seconds_per_second": round(speed, 2)}
        self.losses = []
        self.restart()
        return figures


class _Plan(Dataset[Batch]):
    """A task's planned batches as torch's loader wants them, so that processes may read ahead."""

    def __init__(self, task: Task, plan: Sequence[Sequence[int]]) -> None:
        self.task, self.plan = task, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        return self.task.load(self.plan[index])


class Trainer:
    """Run a task by a recipe, into a folder: `best/`, `last/`, `state.pt`, `recipe.json`, `log.jsonl`."""

    def __init__(self, task: Task, recipe: Recipe, out: Path) -> None:
        self.task, self.recipe, self.out = task, recipe, out
        self.console = Console(stderr=True)
        self.optimizer = torch.optim.AdamW(
            [{"params": params, "lr": lr, "peak": lr} for params, lr in task.parameter_groups()],
            betas=recipe.optim.betas, eps=recipe.optim.eps, weight_decay=recipe.optim.weight_decay,
            fused=True,
        )  # fmt: skip
        self.update = 0
        self.best: dict[str, float] = {}
        self.best_update = 0

    def run(self, *, resume: bool = False) -> Result:
        """Train to the end.

        Args:
            resume: go on from `state.pt`, which must be of the same recipe.

        Raises:
            TrainingError: the folder holds another run, or the loss is no longer finite.
        """
        recipe, updates = self.recipe, self.recipe.optim.updates
        self._prepare(resume)
        if recipe.run.threads:
            torch.set_num_threads(recipe.run.threads)
        # A network that is sure of its letters has gradients below 1e-38, which cost a CPU ten times the time of zeros.
        torch.set_flush_denormal(True)
        self.task.model.to(recipe.run.device).train()
        batches, meter = self._batches(), _Meter()
        with Progress(*_COLUMNS, console=self.console, disable=not self.console.is_terminal) as progress:
            bar = progress.add_task("training", total=updates, completed=self.update, figures="")
            while self.update < updates:
                chosen = list(itertools.islice(batches, recipe.optim.accumulate))
                meter.add(self._step(chosen), chosen)
                self.update += 1
                last = self.update == updates
                if last or self.update % _LOG_EVERY == 0:
                    figures = meter.flush()
                    self._log(figures)
                    shown = f"loss {figures['loss']:.3f}, {figures['audio_seconds_per_second']:.0f} x real time"
                    progress.update(bar, figures=shown)
                progress.update(bar, completed=self.update)
                if last or self.update % recipe.run.eval_every == 0:
                    self._evaluate()
                    meter.restart()
        return Result(self.out / "best", self.best, self.best_update)

    def _prepare(self, resume: bool) -> None:
        """Make the folder, or restore the state in it."""
        state = self.out / "state.pt"
        wanted = self.recipe.to_dict()
        if resume:
            if not state.is_file():
                raise TrainingError(f"{self.out} holds no state.pt; there is nothing to resume")
            self._check_recipe(wanted)
            try:
                stored = torch.load(state, map_location="cpu", weights_only=True)
            except Exception as error:  # torch raises whatever its pickle meets
                raise TrainingError(f"{state} cannot be read; it is damaged: {type(error).__name__}") from error
            self.task.model.load_state_dict(stored["model"])
            self.optimizer.load_state_dict(stored["optimizer"])
            self.update, self.best, self.best_update = stored["update"], stored["best"], stored["best_update"]
            return
        if state.exists():
            raise TrainingError(f"{self.out} already holds a run; resume it, or name another folder")
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "recipe.json").write_text(json.dumps(wanted, indent=2) + "\n", "utf-8")

    def _check_recipe(self, wanted: JsonObject) -> None:
        """Raise TrainingError where the run in the folder has another recipe, by the names of the keys."""
        saved = read_json_object(self.out / "recipe.json")
        for table, values in wanted.items():
            before = saved.get(table)
            assert isinstance(values, dict)
            for key, value in values.items():
                if f"{table}.{key}" not in _FREE and (not isinstance(before, dict) or before.get(key) != value):
                    raise TrainingError(
                        f"{self.out} was trained by another recipe: {table}.{key} differs; see recipe.json"
                    )

    def _batches(self) -> Iterator[Batch]:
        """Batches from where the run stands, epoch after epoch without end."""
        skip = self.update * self.recipe.optim.accumulate
        for epoch in itertools.count():
            plan = self.task.plan(epoch)
            if skip >= len(plan):
                skip -= len(plan)
                continue
            dataset, skip = _Plan(self.task, plan[skip:]), 0
            yield from DataLoader(dataset, batch_size=None, num_workers=self.recipe.run.workers)

    def _step(self, batches: Sequence[Batch]) -> float:
        """One update; returns the mean loss."""
        recipe = self.recipe
        torch.manual_seed(recipe.run.seed * 1_000_003 + self.update)
        optim = recipe.optim
        scale = tri_stage(
            self.update, optim.updates, warmup=optim.warmup, hold=optim.hold, final_scale=optim.final_lr_scale
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        total, weight = 0.0, 0
        for batch in batches:
            output = self.task.step(batch.to(recipe.run.device), self.update)
            output.loss.backward()  # type: ignore[no-untyped-call]
            total, weight = total + float(output.loss.detach()), weight + output.weight
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        torch._foreach_div_([p.grad for p in parameters], float(weight))
        norm = nn.utils.clip_grad_norm_(parameters, optim.max_grad_norm or float("inf"))
        if not torch.isfinite(norm):
            raise TrainingError(f"the gradient is not finite at update {self.update}; a smaller optim.lr may help")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total / weight

    def _evaluate(self) -> None:
        """Measure on the development set; save the last model, and the best."""
        figures = self.task.evaluate()
        self._log({f"dev_{key}": round(value, 5) for key, value in figures.items()})
        shown = ", ".join(f"{key} {value:.2%}" for key, value in figures.items())
        better = not self.best or next(iter(figures.values())) < next(iter(self.best.values()))
        self.console.print(f"update {self.update}: dev {shown}{', the best so far' if better else ''}")
        noted: dict[str, Json] = {"update": self.update, **{f"dev_{key}": value for key, value in figures.items()}}
        if better:
            self.best, self.best_update = figures, self.update
            self.task.save(self.out / "best", noted)
        self.task.save(self.out / "last", noted)
        state = {
            "model": self.task.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "update": self.update, "best": self.best, "best_update": self.best_update,
        }  # fmt: skip
        partial = self.out / "state.pt.partial"
        torch.save(state, partial)
        partial.replace(self.out / "state.pt")

    def _log(self, values: dict[str, float]) -> None:
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"update": self.update, **values}) + "\n")
