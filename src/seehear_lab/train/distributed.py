"""Processes of a distributed run (torchrun): devices, gathering with gradients, broadcasts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seehear.errors import UsageError


@dataclass(frozen=True)
class World:
    """The number of processes in a run, and the rank of this one."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """True in the process that writes logs and checkpoints."""
        return self.rank == 0


def select_device(name: str) -> torch.device:
    """The device of this process; "cuda" means the GPU of its local rank.

    Raises: UsageError for a device that torch cannot use.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch raises one or the other
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"torch cannot use the device {name!r} here ({reason}); choose another --device"
        ) from error
    if name != "cuda":
        return torch.device(name)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started; a world of one process without torchrun."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield World()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """Concatenate the rows of all processes in the order of their ranks.

    Backward sums the gradients of all processes. After the gradients of the parameters are
    averaged, they equal those of one process with all rows.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.count = rank, len(rows)
        parts = [torch.empty_like(rows) for _ in range(size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[ctx.rank * ctx.count : (ctx.rank + 1) * ctx.count], None, None


def gather(batch: Any, world: World) -> Any:
    """A tensor, or every tensor of a dataclass, with the rows of all processes; differentiable.

    Note: tensors must have the same shape in every process.
    """
    if world.size == 1:
        return batch
    if not isinstance(batch, Tensor):
        return type(batch)(**{name: gather(value, world) for name, value in vars(batch).items()})
    if batch.dtype == torch.bool:
        return _Gather.apply(batch.byte(), world.rank, world.size).bool()
    return _Gather.apply(batch, world.rank, world.size)


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Replace the gradients of every process by their mean."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world.size == 1 or not grads:
        return
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    flat /= world.size
    for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def broadcast_value(value: float, world: World) -> float:
    """The value of the first process, in all processes."""
    if world.size == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


def gather_strings(values: Iterable[str], world: World) -> list[str]:
    """The strings of all processes, sorted, without duplicates."""
    return sorted({value for each in gather_objects(list(values), world) for value in each})


def gather_objects(value: Any, world: World) -> list[Any]:
    """The picklable value of each process, by rank."""
    if world.size == 1:
        return [value]
    values: list[Any] = [None] * world.size
    dist.all_gather_object(values, value)
    return values


def broadcast_weights(module: nn.Module, world: World) -> None:
    """Copy the weights of the first process to all others."""
    if world.size > 1:
        for value in module.state_dict().values():
            dist.broadcast(value, 0)
