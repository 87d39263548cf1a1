"""Pairs of a caption and an item, by number; batches of them, cut and joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from seehear.errors import UsageError
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Row i of `query` belongs to row i of `media`; both as a model's encoder takes them."""

    query: Any
    media: Any
    names: tuple[str, ...]

    def rows(self, rows: slice) -> Batch:
        """Some pairs of the batch."""
        query, media = taken(self.query, rows), taken(self.media, rows)
        return Batch(query=query, media=media, names=self.names[rows])


class Pairs(Protocol):
    """What training reads."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        """Some pairs; `seeds`, one of each pair, decide all that is random about it."""
        ...


class Gallery(Protocol):
    """Captions and the items they are searched in; `own[caption]` is the number of its item."""

    item_ids: Sequence[str]
    query_ids: Sequence[str]
    own: Int[np.ndarray, " query"]
    has_sound: Bool[np.ndarray, " item"]

    def queries(self, rows: slice) -> Any:
        """Some captions as a model's `encode_query` takes them."""
        ...

    def media(self, rows: slice) -> Any:
        """Some items as a model's `encode_items` takes them."""
        ...


def epoch_batches(
    count: int, *, batch_size: int, seed: int, epoch: int
) -> Int[np.ndarray, "batch pair"]:
    """The pairs of each batch of an epoch, shuffled; what does not fill a batch is left out.

    Raises: UsageError if there are fewer pairs than a batch holds.
    """
    if count < batch_size:
        raise UsageError(
            f"{count} pairs of training do not fill one batch of {batch_size}; set "
            "train.batch_size lower"
        )
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[: count // batch_size * batch_size].reshape(-1, batch_size)


def pair_seeds(indices: Sequence[int], *, seed: int, epoch: int) -> list[int]:
    """One seed of each pair in an epoch, whatever batch or process it is in."""
    return [hash((seed, epoch, int(index))) & 0x7FFFFFFF for index in indices]


def chunks(count: int, size: int) -> Iterator[slice]:
    """[0, count) in slices of at most `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def taken(batch: Any, rows: Any) -> Any:
    """Some rows of a tensor, or of every tensor of a dataclass."""
    if isinstance(batch, Tensor):
        return batch[rows]
    return type(batch)(**{name: taken(value, rows) for name, value in vars(batch).items()})


def to_device(batch: Any, device: torch.device) -> Any:
    """A tensor, or every tensor of a dataclass, on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    return type(batch)(**{name: to_device(value, device) for name, value in vars(batch).items()})


def joined(parts: Sequence[TokenBatch]) -> TokenBatch:
    """Batches of items one after the other, padded to the longest sequence."""
    widths = {name: max(vars(part)[name].shape[1] for part in parts) for name in vars(parts[0])}

    def padded(value: Tensor, width: int) -> Tensor:
        tail = [0, 0] * (value.ndim - 2) + [0, width - value.shape[1]]
        return F.pad(value, tail)

    return TokenBatch(
        **{
            name: torch.cat([padded(vars(part)[name], width) for part in parts])
            for name, width in widths.items()
        }
    )
