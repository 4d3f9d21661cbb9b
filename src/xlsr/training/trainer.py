"""The one loop: batches in, updates out, saved so that a stopped run goes on where it was.

All randomness is a function of the seed and of the update's and the batch's number, so a resumed run sees the same
masks, dropout and order as an uninterrupted one, and so does a run on another number of ranks: an update takes
`optim.accumulate` batches, which the ranks share.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, Dataset

from xlsr.config import Json, JsonObject, read_json_object
from xlsr.errors import TrainingError
from xlsr.training.distributed import Ranks, autocast, distribute, last_backward, put_whole_weights, whole_weights
from xlsr.training.progress import Meter, RunLog
from xlsr.training.recipe import Recipe
from xlsr.training.schedule import lr_scale
from xlsr.training.state import load_state, save_progress, save_state
from xlsr.training.tasks import AnyBatch, Draw, Task, Verdict, Watchful, standing

_FREE = (  # change no result, and may change on resume
    "run.device", "run.threads", "run.workers", "run.log_every", "run.save_every", "run.strategy",
    "run.on_alarm", "model.gradient_checkpointing", "data.cache_mib", "augment.cache_mib",
)  # fmt: skip
_REPAIRS = 3  # after as many halvings of the learning rate another cause is likelier


@dataclass(frozen=True)
class Result:
    """What a run came to: the folder of the best model, its figures, and the update that it is of."""

    folder: Path
    figures: dict[str, float]
    update: int


class _SetbackError(Exception):
    """A run that is failing and is to be repaired."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class _Plan(Dataset[AnyBatch]):
    """A rank's share of the planned batches as torch's loader wants them, so that processes may read ahead."""

    def __init__(self, task: Task[AnyBatch], epoch: int, plan: Sequence[Sequence[int]]) -> None:
        self.task, self.epoch, self.plan = task, epoch, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> AnyBatch:
        return self.task.load(self.epoch, self.plan[index])


class Trainer(Generic[AnyBatch]):
    """Run a task by a recipe, into a folder: `best/`, `last/` and `averaged/` models, the log, the recipe, a state."""

    def __init__(self, task: Task[AnyBatch], recipe: Recipe, out: Path, ranks: Ranks | None = None) -> None:
        self.task, self.recipe, self.out, self.ranks = task, recipe, out, ranks or Ranks()
        if recipe.optim.accumulate % self.ranks.world:
            raise TrainingError(
                f"optim.accumulate is {recipe.optim.accumulate} batches an update, which {self.ranks.world} ranks "
                "cannot share evenly; a multiple is wanted, so that the number of ranks changes no result"
            )
        if recipe.run.precision == "fp16" and recipe.run.strategy == "fsdp" and self.ranks.world > 1:
            raise TrainingError("run.precision fp16 does not go with run.strategy fsdp; bf16, or ddp is wanted")
        if recipe.run.on_alarm == "repair" and recipe.run.strategy == "fsdp" and self.ranks.world > 1:
            raise TrainingError("run.on_alarm repair does not go with run.strategy fsdp; stop, or ddp is wanted")
        if recipe.run.threads:
            torch.set_num_threads(recipe.run.threads)
        # A network that is sure of its letters has gradients below 1e-38, which cost a CPU ten times the time of zeros.
        torch.set_flush_denormal(True)
        task.model.to(self.ranks.device).train()
        if recipe.run.compile:
            for layer in task.layers:
                layer.compile()
        self.network = distribute(task.model, task.layers, self.ranks, recipe.run.strategy)
        optim = recipe.optim
        self.optimizer = torch.optim.AdamW(
            [
                {"params": group.parameters, "lr": group.lr, "peak": group.lr, "weight_decay": group.weight_decay}
                for group in task.parameter_groups()
            ],
            betas=optim.betas, eps=optim.eps, fused=True,
        )  # fmt: skip
        self.scaler = torch.amp.GradScaler(self.ranks.device.partition(":")[0], enabled=recipe.run.precision == "fp16")
        self.update = 0
        self.best: dict[str, float] = {}
        self.best_update = 0
        self.waited = 0  # evaluations since the best
        self.evaluated = 0  # the last update that was measured
        self.repairs = 0  # each has halved the learning rate
        self.meter = Meter()

    def run(self, *, resume: bool = False) -> Result:
        """Train to the end.

        Args:
            resume: go on from the state in the folder, which must be of the same recipe.

        Raises:
            TrainingError: the folder holds another run, or the loss is no longer finite.
        """
        run, updates = self.recipe.run, self.recipe.optim.updates
        self._prepare(resume)
        save_every = run.save_every or run.eval_every
        with RunLog(self.out, leads=self.ranks.leads) as self.log:
            self.log.begin(self.update, updates)
            batches = self._batches()
            if run.on_alarm == "repair" and not resume:
                self._save_state()  # something to go back to
            self._evaluate_if_due()  # of a run that was stopped between its state and its evaluation
            self.meter.restart()
            while self.update < updates and not self._has_stalled():
                try:
                    self._step(list(itertools.islice(batches, self.recipe.optim.accumulate // self.ranks.world)))
                except _SetbackError as setback:
                    self._repair(setback.verdict)
                    batches = self._batches()
                    continue
                self.update += 1
                self.log.advance(self.update)
                saves = self._is_evaluated_now() or self.update % save_every == 0
                if saves or self.update % run.log_every == 0:
                    self.log.figures(self.update, self.meter.flush())
                if saves:
                    self._save_state()
                self._evaluate_if_due()
                if saves:
                    self.meter.restart()
            self._average()
        return Result(self.out / "best", self.best, self.best_update)

    def _prepare(self, resume: bool) -> None:
        """Make the folder, or restore the state in it."""
        wanted = self.recipe.to_dict()
        if resume:
            if not self.out.is_dir():
                raise TrainingError(f"{self.out} is not there; there is nothing to resume")
            self._check_recipe(wanted)
            if (self.out / "progress.json").is_file():  # else it was stopped before its first state
                self._restore(load_state(self.out, self.task.model, self.optimizer, self.ranks))
            return
        if (self.out / "progress.json").exists() or (self.out / "log.jsonl").exists():
            raise TrainingError(f"{self.out} already holds a run; resume it, or name another folder")
        self.ranks.wait()
        if self.ranks.leads:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "recipe.json").write_text(json.dumps(wanted, indent=2) + "\n", "utf-8")
        self.ranks.wait()

    def _check_recipe(self, wanted: JsonObject) -> None:
        """Raise TrainingError where the run in the folder has another recipe, by the names of the keys."""
        if not (self.out / "recipe.json").is_file():
            raise TrainingError(f"{self.out} holds no run; there is nothing to resume")
        saved, defaults = read_json_object(self.out / "recipe.json"), type(self.recipe)().to_dict()
        for table, values in wanted.items():
            before, usual = saved.get(table, {}), defaults[table]
            assert isinstance(values, dict)
            assert isinstance(before, dict)
            assert isinstance(usual, dict)
            for key, value in values.items():
                # A key that the run's xlsr did not know had its default.
                if f"{table}.{key}" not in _FREE and before.get(key, usual[key]) != value:
                    raise TrainingError(
                        f"{self.out} was trained by another recipe: {table}.{key} differs; see recipe.json"
                    )

    def _batches(self) -> Iterator[AnyBatch]:
        """This rank's batches from where the run stands, epoch after epoch without end."""
        skip = self.update * self.recipe.optim.accumulate
        rank, world, position = self.ranks.rank, self.ranks.world, 0
        for epoch in itertools.count():
            plan = self.task.plan(epoch)
            first = max(skip - position, 0)
            # Batch number `position + i` of the whole run belongs to the rank of its remainder.
            mine = [plan[i] for i in range(first, len(plan)) if (position + i) % world == rank]
            position += len(plan)
            if mine:
                yield from DataLoader(
                    _Plan(self.task, epoch, mine), batch_size=None, num_workers=self.recipe.run.workers
                )

    def _draw(self, position: int) -> Draw:
        """The randomness of one batch; torch's own generator, for dropout, is set to it as well."""
        seed = self.recipe.run.seed
        number = self.update * self.recipe.optim.accumulate + position
        torch.manual_seed(int(np.random.SeedSequence([seed, 0, number]).generate_state(1, np.uint64)[0] >> 1))
        return Draw(
            self.update, np.random.default_rng([seed, 1, number]), np.random.default_rng([seed, 2, self.update])
        )

    def _step(self, batches: Sequence[AnyBatch]) -> None:
        """One update."""
        scale = lr_scale(self.update, self.recipe.optim) * 0.5**self.repairs
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        sums: dict[str, Tensor] = {}
        for index, batch in enumerate(batches):
            with last_backward(self.network, last=index == len(batches) - 1), autocast(self.recipe, self.ranks):
                draw = self._draw(index * self.ranks.world + self.ranks.rank)
                output = self.task.step(self.network, batch.to(self.ranks.device), draw)
            with last_backward(self.network, last=index == len(batches) - 1):
                self.scaler.scale(output.loss).backward()  # type: ignore[no-untyped-call]
            weight, seconds = torch.tensor(float(output.weight)), torch.tensor(batch.seconds)
            for name, value in {"loss": output.loss, **output.metrics, "weight": weight, "seconds": seconds}.items():
                sums[name] = sums.get(name, 0.0) + value.detach().double().to(self.ranks.device)
            for note in output.notes:
                self.log.note(self.update, note)
        totals = dict(zip(sums, self.ranks.add(torch.stack(list(sums.values()))).tolist(), strict=True))
        if not math.isfinite(totals["loss"]):
            names = ", ".join(itertools.islice((name for batch in batches for name in batch.names), 5))
            self._give_up(
                f"the loss is not finite at update {self.update}, which saw {names} ...; a smaller optim.lr, or "
                "run.precision fp32 may help"
            )
        if totals["weight"]:
            self._watch(totals)
            norm = self._move(totals["weight"])
            if math.isfinite(norm):  # else the scaler of fp16 has skipped the update, and is smaller now
                totals["grad_norm"] = norm * totals["weight"]
        self.meter.add(totals, totals.pop("seconds"))

    def _watch(self, totals: Mapping[str, float]) -> None:
        """Ask the task whether the run is failing."""
        if not isinstance(self.task, Watchful):
            return
        figures = {name: value / totals["weight"] for name, value in totals.items()}
        verdict = self.task.watch(self.update, figures)
        if verdict is not None and self.recipe.run.on_alarm == "go_on":
            self._say(f"{verdict.kind}: {verdict.message}")
        elif verdict is not None:
            self._give_up(verdict.message, verdict.kind)

    def _give_up(self, message: str, kind: str = "divergence") -> NoReturn:
        """Raise what repairs the run where the recipe says so, else what ends it."""
        if self.recipe.run.on_alarm == "repair" and self.repairs < _REPAIRS:
            raise _SetbackError(Verdict(kind, message))
        repaired = f"; {self.repairs} repairs did not help" if self.repairs else ""
        raise TrainingError(f"{kind}: {message}{repaired}")

    def _repair(self, verdict: Verdict) -> None:
        """Go back to the last state, at half the learning rate."""
        failed, repairs = self.update, self.repairs + 1
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()
        self._restore(load_state(self.out, self.task.model, self.optimizer, self.ranks))
        self.repairs, self.meter = repairs, Meter()
        done = f"the learning rate is {0.5**repairs:g} of the recipe's"
        if isinstance(self.task, Watchful):
            done += f", {self.task.repair(self.ranks, repairs)}"
        self._say(f"{verdict.kind} at update {failed}: {verdict.message}. Back at update {self.update}: {done}")

    def _say(self, text: str) -> None:
        """Note what every rank knows, once."""
        if self.ranks.leads:
            self.log.note(self.update, text)

    def _move(self, weight: float) -> float:
        """Divide the summed gradients, clip them, and let the optimiser move; returns their norm before clipping."""
        self.scaler.unscale_(self.optimizer)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        for parameter in parameters:
            # Over several ranks torch has averaged the gradients; the mean over the update's weight is wanted.
            parameter.grad.mul_(self.ranks.world / weight)
        norm = nn.utils.clip_grad_norm_(parameters, self.recipe.optim.max_grad_norm or float("inf"))
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if not self.scaler.is_enabled() and not torch.isfinite(norm):
            self._give_up(f"the gradient is not finite at update {self.update}; a smaller optim.lr may help")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def _has_stalled(self) -> bool:
        return 0 < self.recipe.run.patience <= self.waited

    def _evaluate(self, name: str = "last") -> None:
        """Measure on the development set; save the model under a name, and as the best where it is."""
        self.task.model.eval()
        with autocast(self.recipe, self.ranks):
            evaluation = self.task.evaluate(self.ranks)
        self.task.model.train()
        figures = evaluation.figures
        better = not self.best or standing(figures) < standing(self.best)
        self.log.evaluation(self.update, evaluation, better=better)
        noted: dict[str, Json] = {"update": self.update, **{f"dev_{key}": value for key, value in figures.items()}}
        weights = whole_weights(self.task.model, self.ranks)
        self.waited, self.evaluated = 0 if better else self.waited + 1, self.update
        if better:
            self.best, self.best_update = figures, self.update
        if self.ranks.leads:
            for folder in ("best", name) if better else (name,):
                self.task.save(self.out / folder, weights, noted)
            if name == "last":
                self._keep_snapshot(weights)
        self.ranks.wait()

    def _keep_snapshot(self, weights: dict[str, Tensor]) -> None:
        """Keep the weights of the last evaluations, to be averaged."""
        count = self.recipe.run.average_last
        if count:
            folder = self.out / "snapshots"
            folder.mkdir(exist_ok=True)
            save_file({name: v.contiguous() for name, v in weights.items()}, folder / f"{self.update:09d}.safetensors")
            for old in sorted(folder.iterdir())[:-count]:
                old.unlink()

    def _average(self) -> None:
        """Try the mean of the last evaluations' weights; it becomes the best model where it is better."""
        if not self.recipe.run.average_last:
            return
        files = sorted((self.out / "snapshots").iterdir())
        mean: dict[str, Tensor] = {}
        for file in files:
            for name, value in load_file(file).items():
                share = value / len(files) if value.is_floating_point() else value
                mean[name] = mean[name] + share if name in mean and value.is_floating_point() else share
        put_whole_weights(self.task.model, mean, self.ranks)
        self.log.note(self.update, f"the mean of the weights of the last {len(files)} evaluations:")
        self._evaluate("averaged")

    def _is_evaluated_now(self) -> bool:
        return self.update == self.recipe.optim.updates or self.update % self.recipe.run.eval_every == 0

    def _evaluate_if_due(self) -> None:
        if self.evaluated < self.update and self._is_evaluated_now():
            self._evaluate()
            save_progress(self.out, self._progress(), self.ranks)

    def _progress(self) -> JsonObject:
        return {
            "update": self.update, "evaluated": self.evaluated, "best": dict(self.best),
            "best_update": self.best_update, "waited": self.waited, "repairs": self.repairs,
            "scaler": self.scaler.state_dict(), "fingerprint": self.task.fingerprint,
        }  # fmt: skip

    def _save_state(self) -> None:
        save_state(self.out, self.task.model, self.optimizer, self._progress(), self.ranks)

    def _restore(self, progress: JsonObject) -> None:
        try:
            self.update, self.best_update, self.waited, self.evaluated = (
                int(cast(int, progress[key])) for key in ("update", "best_update", "waited", "evaluated")
            )
            known = progress["fingerprint"]
            self.repairs = int(cast(int, progress.get("repairs", 0)))
            self.best = {str(k): float(cast(float, v)) for k, v in cast(JsonObject, progress["best"]).items()}
            self.scaler.load_state_dict(cast(dict[str, float], progress["scaler"]))
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise TrainingError(f"{self.out / 'progress.json'} is damaged: {error}") from error
        if known != self.task.fingerprint:
            raise TrainingError(
                f"the utterances or the symbols that {self.out} learns are not those that it began with; put the "
                "manifests back as they were, or begin a new run with model.start"
            )
