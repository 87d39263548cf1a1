"""Stage-1 summary vectors in memory, and exact nearest-neighbour search among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int

from seehear.store.tables.schema import ItemRow
from seehear.types import Candidates

if TYPE_CHECKING:
    from seehear.store.tables.lance import Dataset

Column = Literal["seen", "heard"]
COLUMNS: tuple[Column, ...] = ("seen", "heard")
SAMPLE_SIZE = 500  # items, to represent a library in calibration
ROUNDING = 1e-5  # bound on the float32 error of a product, relative to both lengths


@dataclass(frozen=True, kw_only=True, eq=False)
class Summaries:
    """Summary vectors of items, in the order of their ids."""

    ids: tuple[str, ...]
    seen: Float32[np.ndarray, "item dim"]
    heard: Float32[np.ndarray, "item sound_dim"]
    has_frames: Bool[np.ndarray, " item"]
    has_sound: Bool[np.ndarray, " item"]

    def column(self, name: Column) -> np.ndarray:
        """Return the vectors of one modality."""
        return self.seen if name == "seen" else self.heard

    def mask(self, name: Column) -> np.ndarray:
        """Return which items have this modality."""
        return self.has_frames if name == "seen" else self.has_sound

    def take(self, positions: Sequence[int]) -> Summaries:
        """Return the summaries of the items at these positions."""
        at = np.asarray(positions, int)
        return Summaries(
            ids=tuple(self.ids[position] for position in at),
            seen=self.seen[at],
            heard=self.heard[at],
            has_frames=self.has_frames[at],
            has_sound=self.has_sound[at],
        )

    @cached_property
    def max_norms(self) -> dict[Column, float]:
        """Length of the longest vector of each modality."""
        return {
            name: float(np.sqrt(np.einsum("id,id->i", vectors, vectors).max(initial=0.0)))
            for name in COLUMNS
            for vectors in [self.column(name)]
        }


def load_summaries(table: Dataset, rows: Sequence[ItemRow]) -> Summaries:
    """Read the vectors of these rows in one scan of the table; 4 bytes per number in memory."""
    target = np.full(table.count_rows(), -1)
    target[[row.position for row in rows]] = np.arange(len(rows))
    seen, heard = (
        np.zeros((len(rows), table.schema.field(name).type.list_size), np.float32)
        for name in COLUMNS
    )
    at = 0
    for batch in table.to_batches(columns=["seen", "heard"]):
        places = target[at : at + len(batch)]
        for name, out in (("seen", seen), ("heard", heard)):
            halves = batch[name].flatten().to_numpy().reshape(len(batch), out.shape[1])
            out[places[places >= 0]] = halves[places >= 0]
        at += len(batch)
    return _summaries(rows, seen, heard)


def take_summaries(table: Dataset, rows: Sequence[ItemRow]) -> Summaries:
    """Read the vectors of a few rows by position, without a scan."""
    found = table.take([row.position for row in rows], columns=["seen", "heard"])
    seen, heard = (
        found[name].combine_chunks().flatten().to_numpy().reshape(len(rows), -1).astype(np.float32)
        for name in COLUMNS
    )
    return _summaries(rows, seen, heard)


def sample_positions(count: int, size: int = SAMPLE_SIZE) -> Int[np.ndarray, " row"]:
    """Positions of up to `size` of `count` items, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(size, count)).round().astype(int))


def _summaries(rows: Sequence[ItemRow], seen: np.ndarray, heard: np.ndarray) -> Summaries:
    return Summaries(
        ids=tuple(row.id for row in rows),
        seen=seen,
        heard=heard,
        has_frames=np.array([row.has_frames for row in rows], bool),
        has_sound=np.array([row.sound == "sound" for row in rows], bool),
    )


def exact_nearest(
    summaries: Summaries, name: Column, vector: np.ndarray, *, k: int, mask: np.ndarray
) -> Candidates:
    """Return the k items of a mask with the largest inner products; ties in the order of their ids.

    float32 preselects and float64 ranks, so that equal vectors get equal scores wherever they are
    in memory.
    """
    vectors = summaries.column(name)
    if vector.shape != vectors.shape[1:]:
        raise ValueError(f"a {name} vector has shape {vectors.shape[1:]}, got {vector.shape}")
    eligible = np.flatnonzero(mask & summaries.mask(name))
    rough = (vectors @ vector.astype(np.float32))[eligible]
    if len(eligible) > k > 0:
        kth = np.partition(rough, len(rough) - k)[len(rough) - k]
        slack = ROUNDING * summaries.max_norms[name] * float(np.linalg.norm(vector))
        eligible = eligible[rough >= kth - 2 * slack]
    ids = [summaries.ids[position] for position in eligible]
    return top_k(ids, vectors[eligible], vector, k=k)


def top_k(ids: list[str], vectors: np.ndarray, query: np.ndarray, *, k: int) -> Candidates:
    """Return the k best of these items; ties keep their order."""
    scores = (vectors.astype(np.float64) * query).sum(axis=1).astype(np.float32)
    best = np.argsort(-scores, kind="stable")[: max(k, 0)]
    return Candidates(ids=tuple(ids[position] for position in best), scores=scores[best])
