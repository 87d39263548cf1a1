"""Stage-1 vectors in memory, and the exact nearest neighbours of a vector among them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int

from seehear.types import Candidates, Filter, Video

if TYPE_CHECKING:
    from seehear.store.snapshot import Row, Snapshot

Column = Literal["seen", "heard"]
SENSES: tuple[Column, ...] = ("seen", "heard")
SAMPLE = 500  # items that stand for the library where all would be too many
ROUNDING = 1e-5  # of a product, relative to both lengths: more than single precision can be off


@dataclass(frozen=True, kw_only=True, eq=False)
class Summaries:
    """Summary vectors of all items of a snapshot, in the order of their ids."""

    ids: tuple[str, ...]
    seen: Float32[np.ndarray, "item dim"]
    heard: Float32[np.ndarray, "item sound_dim"]
    has_frames: Bool[np.ndarray, " item"]
    has_sound: Bool[np.ndarray, " item"]

    def column(self, name: Column) -> np.ndarray:
        """Vectors of one modality."""
        return self.seen if name == "seen" else self.heard

    def mask(self, name: Column) -> np.ndarray:
        """Items that have this modality."""
        return self.has_frames if name == "seen" else self.has_sound

    def some(self, places: Sequence[int]) -> Summaries:
        """Those at these places."""
        at = np.asarray(places, int)
        return Summaries(
            ids=tuple(self.ids[place] for place in at),
            seen=self.seen[at],
            heard=self.heard[at],
            has_frames=self.has_frames[at],
            has_sound=self.has_sound[at],
        )

    @cached_property
    def lengths(self) -> dict[Column, float]:
        """Length of the longest vector of each modality."""
        return {
            name: float(np.sqrt(np.einsum("id,id->i", vectors, vectors).max(initial=0.0)))
            for name in SENSES
            for vectors in [self.column(name)]
        }

    @cached_property
    def means(self) -> dict[Column, np.ndarray]:
        """Mean of each modality over the items that have it; zeros if none has."""
        return {
            name: (mask.astype(np.float32) @ self.column(name)) / np.float32(max(1, mask.sum()))
            for name in SENSES
            for mask in [self.mask(name)]
        }


def load(snapshot: Snapshot) -> Summaries:
    """All summaries of a snapshot; takes four bytes a number."""
    rows = snapshot.rows
    target = np.full(snapshot.emb.count_rows(), -1)
    target[[row.place for row in rows]] = np.arange(len(rows))
    seen, heard = (
        np.zeros((len(rows), snapshot.emb.schema.field(name).type.list_size), np.float32)
        for name in ("seen", "heard")
    )
    at = 0
    with snapshot.reading("summaries"):
        for batch in snapshot.emb.to_batches(columns=["seen", "heard"]):
            places = target[at : at + len(batch)]
            for name, out in (("seen", seen), ("heard", heard)):
                halves = batch[name].flatten().to_numpy().reshape(len(batch), out.shape[1])
                out[places[places >= 0]] = halves[places >= 0]
            at += len(batch)
    return _of(rows, seen, heard)


def read(snapshot: Snapshot, places: Sequence[int]) -> Summaries:
    """Summaries of the items at these places, and of no others, from the table."""
    rows = [snapshot.rows[place] for place in places]
    with snapshot.reading("summaries"):
        table = snapshot.emb.take([row.place for row in rows], columns=["seen", "heard"])
    seen, heard = (
        table[name].combine_chunks().flatten().to_numpy().reshape(len(rows), -1).astype(np.float32)
        for name in ("seen", "heard")
    )
    return _of(rows, seen, heard)


def sampled(count: int, size: int = SAMPLE) -> Int[np.ndarray, " row"]:
    """Places of up to `size` of so many items, evenly picked."""
    return np.unique(np.linspace(0, count - 1, min(size, count)).round().astype(int))


def _of(rows: Sequence[Row], seen: np.ndarray, heard: np.ndarray) -> Summaries:
    return Summaries(
        ids=tuple(row.id for row in rows),
        seen=seen,
        heard=heard,
        has_frames=np.array([row.has_frames for row in rows], bool),
        has_sound=np.array([row.sound == "sound" for row in rows], bool),
    )


def nearest(
    summaries: Summaries, name: Column, vector: np.ndarray, *, k: int, mask: np.ndarray
) -> Candidates:
    """The k items of a mask with the largest inner products; equal ones by id.

    Single precision finds the near ones, double precision ranks them, so that equal vectors get
    equal scores wherever they lie in memory.
    """
    vectors = summaries.column(name)
    if vector.shape != vectors.shape[1:]:
        raise ValueError(f"a {name} vector has shape {vectors.shape[1:]}, got {vector.shape}")
    eligible = np.flatnonzero(mask & summaries.mask(name))
    rough = (vectors @ vector.astype(np.float32))[eligible]
    if len(eligible) > k > 0:
        kth = np.partition(rough, len(rough) - k)[len(rough) - k]
        slack = ROUNDING * summaries.lengths[name] * float(np.linalg.norm(vector))
        eligible = eligible[rough >= kth - 2 * slack]
    ids = [summaries.ids[place] for place in eligible]
    return ranked(ids, vectors[eligible], vector, k=k)


def ranked(ids: list[str], vectors: np.ndarray, query: np.ndarray, *, k: int) -> Candidates:
    """The k best of items in the order of their ids, so that equal ones stay in it."""
    scores = (vectors.astype(np.float64) * query).sum(axis=1).astype(np.float32)
    best = np.argsort(-scores, kind="stable")[: max(k, 0)]
    return Candidates(ids=tuple(ids[place] for place in best), scores=scores[best])


def mask_of(snapshot: Snapshot, where: Filter | None) -> np.ndarray:
    """Items of a snapshot whose videos pass."""
    if where is None or where == Filter():
        return np.ones(len(snapshot.rows), bool)
    passing = np.array([passes(video, where) for video in snapshot.videos.values()], bool)
    return passing[snapshot.video_of_row]


def passes(video: Video, where: Filter) -> bool:
    """Whether a video, under any of its paths, may be looked at."""
    folder = where.folder
    return (
        (folder is None or any(is_below(path, folder) for path in (video.path, *video.aliases)))
        and (where.min_duration_s is None or video.duration_s >= where.min_duration_s)
        and (where.max_duration_s is None or video.duration_s <= where.max_duration_s)
        and (where.has_sound is None or (video.sound == "sound") == where.has_sound)
        and (where.added_since_us is None or video.added_us >= where.added_since_us)
    )


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies anywhere below it; both absolute."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
