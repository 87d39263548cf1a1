"""The processes of a run (torchrun): what they exchange, with gradients that are right."""

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
    """How many processes train together, and which one this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """The one that writes logs and checkpoints."""
        return self.rank == 0


def own_device(name: str) -> torch.device:
    """Where this process computes; of several GPUs of a machine, the one of its local rank.

    Raises: UsageError for a device that is not here.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch raises one or the other
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"torch cannot compute on {name!r} here ({reason}); choose another --device"
        ) from error
    if name != "cuda":
        return torch.device(name)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """The processes that torchrun started, or this one alone."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield World()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """Rows of all processes in the order of their ranks.

    Backward adds up what every process wants of these rows, so that after the gradients of the
    parameters are averaged, they are those of one process with all rows.
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
    """A tensor, or every tensor of a dataclass, with the rows of all processes.

    Note: every process has to bring tensors of the same shape.
    """
    if world.size == 1:
        return batch
    if not isinstance(batch, Tensor):
        return type(batch)(**{name: gather(value, world) for name, value in vars(batch).items()})
    if batch.dtype == torch.bool:
        return _Gather.apply(batch.byte(), world.rank, world.size).bool()
    return _Gather.apply(batch, world.rank, world.size)


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Give all processes the mean of their gradients."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world.size == 1 or not grads:
        return
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    flat /= world.size
    for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def as_first(value: float, world: World) -> float:
    """The number that the first process has, so that all decide alike."""
    if world.size == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held, 0)
    return held[0]


def of_all(values: Iterable[str], world: World) -> list[str]:
    """What any process has to tell, sorted, each once."""
    every: list[Any] = [list(values)]
    if world.size > 1:
        mine, every = every[0], [None] * world.size
        dist.all_gather_object(every, mine)
    return sorted({value for each in every for value in each})


def broadcast_from_first(module: nn.Module, world: World) -> None:
    """Start all processes with the weights of the first."""
    if world.size > 1:
        for value in module.state_dict().values():
            dist.broadcast(value, 0)
