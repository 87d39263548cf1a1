"""What training and evaluation read: pairs, batches and galleries, and functions on batches."""

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
    """Captions and their items, row by row, in the form that a model's encoder takes."""

    query: Any
    media: Any
    names: tuple[str, ...]

    def rows(self, rows: slice) -> Batch:
        """The pairs of some rows."""
        query, media = select_rows(self.query, rows), select_rows(self.media, rows)
        return Batch(query=query, media=media, names=self.names[rows])


class Pairs(Protocol):
    """Training pairs, by number."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        """Read some pairs; the seed of a pair decides everything random about it."""
        ...


class Gallery(Protocol):
    """Captions and the items they are searched in; `target[caption]` is the number of its item."""

    item_ids: Sequence[str]
    query_ids: Sequence[str]
    target: Int[np.ndarray, " query"]
    has_sound: Bool[np.ndarray, " item"]

    def queries(self, rows: slice) -> Any:
        """Some captions in the form that a model's `encode_query` takes."""
        ...

    def media(self, rows: slice) -> Any:
        """Some items in the form that a model's `encode_items` takes."""
        ...


def epoch_batches(
    count: int, *, batch_size: int, seed: int, epoch: int
) -> Int[np.ndarray, "batch pair"]:
    """Numbers of the pairs in each batch of an epoch, shuffled; an incomplete batch is dropped.

    Raises: UsageError if there are fewer pairs than a batch holds.
    """
    if count < batch_size:
        raise UsageError(
            f"the training split has too few pairs ({count}) for a batch of {batch_size}; lower "
            "train.batch_size"
        )
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[: count // batch_size * batch_size].reshape(-1, batch_size)


def pair_seeds(indices: Sequence[int], *, seed: int, epoch: int) -> list[int]:
    """One seed per pair and epoch, independent of batch and process."""
    return [hash((seed, epoch, int(index))) & 0x7FFFFFFF for index in indices]


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover [0, count)."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def select_rows(batch: Any, rows: Any) -> Any:
    """Some rows of a tensor, or of every tensor of a dataclass."""
    if isinstance(batch, Tensor):
        return batch[rows]
    return type(batch)(**{name: select_rows(value, rows) for name, value in vars(batch).items()})


def to_device(batch: Any, device: torch.device) -> Any:
    """Move a tensor, or every tensor of a dataclass, to a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    return type(batch)(**{name: to_device(value, device) for name, value in vars(batch).items()})


def concat_items(parts: Sequence[TokenBatch]) -> TokenBatch:
    """Concatenate batches of items, padded to the longest sequence."""
    widths = {name: max(vars(part)[name].shape[1] for part in parts) for name in vars(parts[0])}

    def pad(value: Tensor, width: int) -> Tensor:
        tail = [0, 0] * (value.ndim - 2) + [0, width - value.shape[1]]
        return F.pad(value, tail)

    return TokenBatch(
        **{
            name: torch.cat([pad(vars(part)[name], width) for part in parts])
            for name, width in widths.items()
        }
    )
