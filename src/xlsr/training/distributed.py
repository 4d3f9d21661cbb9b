"""Several processes that train one network, started by `torchrun`; one process is the same with one rank.

Gradients are summed over ranks and divided by the weight of the whole update, so N ranks give the losses of one.
`ddp` keeps the whole network on every rank, `fsdp` a share of it (FSDP2, `fully_shard`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from xlsr.errors import TrainingError
from xlsr.training.recipe import AnyRecipe, Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are.
        device: what this one computes on.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def add(self, values: Tensor) -> Tensor:
        """Sum a tensor over ranks."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """The value of every rank, in their order."""
        if self.world == 1:
            return [value]
        values: list[T] = [value] * self.world
        dist.all_gather_object(values, value)
        return values

    def turns(self, count: int) -> Iterator[tuple[int, bool]]:
        """The numbers of the batches, of so many, that this process takes, and whether each counts.

        All have to call a network that is spread over them equally often: where batches are short, one is repeated.
        """
        for step in range(-(-count // self.world)):
            number = step * self.world + self.rank
            yield number % count, number < count

    def wait(self) -> None:
        """Return when every rank is here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def start_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, or be alone.

    Args:
        device: cpu, cuda, or auto; of several GPUs each rank takes its own.

    Raises:
        TrainingError: the device is not there.
    """
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["auto", "cpu", *(["cuda"] if count else []), *(f"cuda:{index}" for index in range(count))]
    if device not in known:
        raise TrainingError(f"run.device is {device}, and torch sees {count} GPUs; one of {', '.join(known)} is wanted")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(device=kind)
        return
    if kind.startswith("cuda"):
        kind = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(kind)
    dist.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    try:
        yield Ranks(dist.get_rank(), world, kind)
        dist.barrier()  # one that leaves while others are at work may be aborted, or abort them
    finally:
        dist.destroy_process_group()


def settle_precision(recipe: AnyRecipe, device: str) -> AnyRecipe:
    """The recipe with `run.precision` auto replaced by what the device is fastest in: bf16 where it has it.

    A CPU with bf16 instructions (AVX512-BF16, AMX) takes about half the time of fp32 (`benchmarks/training_parts.py`).
    """
    if recipe.run.precision != "auto":
        return recipe
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    if device.startswith("cuda"):
        precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    elif device == "cpu":
        # Of torch 2.11 and later; before, nothing is known of the CPU.
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        precision = "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
    return replace(recipe, run=replace(recipe.run, precision=precision))


def autocast(recipe: Recipe, ranks: Ranks) -> AbstractContextManager[object]:
    """The precision in which a recipe's network is computed; loss and optimiser stay in fp32."""
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    found = types.get(recipe.run.precision)
    return nullcontext() if found is None else torch.autocast(ranks.device.partition(":")[0], found)


def distribute(
    model: nn.Module, layers: Sequence[nn.Module], ranks: Ranks, strategy: Literal["ddp", "fsdp"]
) -> nn.Module:
    """Spread a model over the ranks; returns what steps are to call."""
    if ranks.world == 1:
        return model
    if strategy == "ddp":
        # Layers that LayerDrop leaves out, and an encoder that waits for its head, have no gradient in some updates.
        return DistributedDataParallel(model, find_unused_parameters=True, gradient_as_bucket_view=True)
    mesh = init_device_mesh(ranks.device.partition(":")[0], (ranks.world,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


@contextmanager
def last_backward(network: nn.Module, *, last: bool) -> Iterator[None]:
    """Exchange gradients in the last backward pass of an update only."""
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(last)
    waits = isinstance(network, DistributedDataParallel) and not last
    with network.no_sync() if waits else nullcontext():  # type: ignore[operator]
        yield


def whole(value: Tensor) -> Tensor:
    """A tensor that may be spread over ranks, whole, on the CPU; every rank has to call it."""
    full: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return full.detach().cpu()


def whole_weights(model: nn.Module, ranks: Ranks) -> dict[str, Tensor]:
    """The model's state dict on the CPU of the leading rank, empty on the others; every rank has to call it."""
    weights = {}
    for name, value in model.state_dict().items():
        full = whole(value)
        if ranks.leads:
            weights[name] = full
    return weights


def piece(value: Tensor, ranks: Ranks) -> tuple[Tensor, int]:
    """This rank's rows of a tensor, and the row that they begin at: FSDP2 deals out rows in equal runs."""
    if not isinstance(value, DTensor):
        return value, 0
    rows = -(-value.shape[0] // ranks.world)
    return value.to_local(), min(ranks.rank * rows, value.shape[0])


@torch.no_grad()
def put_whole_weights(model: nn.Module, weights: Mapping[str, Tensor], ranks: Ranks) -> None:
    """Copy whole tensors into a model that may be spread over the ranks."""
    for name, value in model.state_dict().items():
        mine, start = piece(value, ranks)
        mine.copy_(weights[name][start : start + len(mine)] if mine.ndim else weights[name])
