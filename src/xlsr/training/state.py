"""What a stopped run needs to go on: weights, optimiser, and how far it came.

A state is a folder `state-UPDATE/` of safetensors files, one a rank, and `progress.json`, written last and at once,
that names it. A tensor spread over ranks is stored in pieces along its first axis, each with its offset, so any
number of ranks can read what any other number wrote. No pickles.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from xlsr.config import JsonObject, read_json_object
from xlsr.errors import TrainingError
from xlsr.training.distributed import Ranks, piece


def save_state(run: Path, model: nn.Module, optimizer: Optimizer, progress: JsonObject, ranks: Ranks) -> None:
    """Write the state of a run; the one before it is removed when the new one is complete.

    Args:
        run: the run's folder.
        model: with its weights.
        optimizer: over the model's parameters.
        progress: plain values; `update` must be among them.
        ranks: every rank has to call it.
    """
    folder = run / _folder_of(progress)
    if ranks.leads and folder.exists():
        shutil.rmtree(folder)  # what a kill left of an earlier attempt
    ranks.wait()
    folder.mkdir(parents=True, exist_ok=True)
    tensors, offsets = {}, {}
    for name, value in _tensors(model, optimizer):
        mine, offset = piece(value, ranks)
        if isinstance(value, DTensor) or ranks.leads:
            tensors[name], offsets[name] = mine.detach().contiguous().cpu().clone(), str(offset)
    save_file(tensors, folder / f"rank-{ranks.rank}-of-{ranks.world}.safetensors", metadata=offsets)
    ranks.wait()
    save_progress(run, progress, ranks)
    if ranks.leads:
        for old in run.glob("state-*"):
            if old != folder:
                shutil.rmtree(old)
    ranks.wait()


def save_progress(run: Path, progress: JsonObject, ranks: Ranks) -> None:
    """Write how far a run came, of whose update a state is stored; the file appears at once."""
    if ranks.leads:
        partial = run / "progress.json.partial"
        partial.write_text(json.dumps(progress | {"state": _folder_of(progress)}, indent=2) + "\n", "utf-8")
        os.replace(partial, run / "progress.json")


def _folder_of(progress: JsonObject) -> str:
    return f"state-{progress['update']}"


def load_state(run: Path, model: nn.Module, optimizer: Optimizer, ranks: Ranks) -> JsonObject:
    """Restore weights and optimiser; returns the progress as it was saved.

    Raises:
        TrainingError: there is no state, or it is damaged or of another network.
    """
    progress = read_json_object(run / "progress.json")
    folder = run / str(progress.get("state"))
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("*.safetensors"))]
            pieces: dict[str, list[tuple[int, safe_open]]] = {}
            for file in files:
                for name, offset in (file.metadata() or {}).items():
                    pieces.setdefault(name, []).append((int(offset), file))
            _make_optimizer_state(model, optimizer, set(pieces))
            wanted = dict(_tensors(model, optimizer))
            if wanted.keys() != pieces.keys():
                names = sorted(wanted.keys() ^ pieces.keys())
                raise TrainingError(f"{folder} is of another network: {', '.join(names[:5])} differ")
            for name, value in wanted.items():
                _fill(name, value, pieces[name], ranks)
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(f"the state in {folder} cannot be read; it is damaged: {error}") from error
    return progress


def _tensors(model: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Everything that has to be stored, by name."""
    for name, value in model.state_dict().items():
        yield f"model/{name}", value
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"optimizer/{name}/{key}", value


def _make_optimizer_state(model: nn.Module, optimizer: Optimizer, stored: set[str]) -> None:
    """Make room for the stored moments; a parameter that never had a gradient has none."""
    for name, parameter in model.named_parameters():
        keys = [key.rpartition("/")[2] for key in stored if key.startswith(f"optimizer/{name}/")]
        for key in sorted(keys):
            room = torch.zeros((), dtype=torch.float32, device=parameter.device) if key == "step" else None
            optimizer.state[parameter][key] = torch.zeros_like(parameter) if room is None else room


@torch.no_grad()
def _fill(name: str, value: Tensor, pieces: list[tuple[int, safe_open]], ranks: Ranks) -> None:
    """Copy the stored rows that are this rank's into a tensor."""
    mine, start = piece(value, ranks)
    if not value.ndim:
        mine.copy_(pieces[0][1].get_tensor(name))  # type: ignore[no-untyped-call]
        return
    filled = 0
    for offset, file in pieces:
        stored = file.get_slice(name)  # type: ignore[no-untyped-call]
        shape = stored.get_shape()
        if shape[1:] != list(value.shape[1:]):
            raise ValueError(f"{name} has shape {shape}; {list(value.shape)} is wanted")
        low, high = max(start, offset), min(start + len(mine), offset + shape[0])
        if low < high:
            mine[low - start : high - start].copy_(stored[low - offset : high - offset])
            filled += high - low
    if filled != len(mine):
        raise ValueError(f"{name} lacks rows: {filled} of {len(mine)} are there")
