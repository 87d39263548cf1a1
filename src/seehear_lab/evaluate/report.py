"""What one evaluation found, as JSON, and as the run and qrels files of TREC."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from seehear_lab.datasets.batches import Gallery
from seehear_lab.evaluate.metrics import Direction, Metrics, breakdown, interval, rank, summarise

SelectedOn = Literal["val", "test", "last step", "train"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of a table, with all that is needed to judge it."""

    name: str
    direction: Direction
    label: str  # plain, inductive or transductive: see `protocol.corrected`
    selected_on: SelectedOn  # how the weights were chosen
    gallery: int
    with_sound: int
    metrics: Metrics
    r1_interval: tuple[float, float]  # 95 %, over items
    optimistic_r1: float | None = None  # only where ties make a difference
    pessimistic_r1: float | None = None
    parts: Mapping[str, Metrics] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)  # recipe, seed, step, ...


def judge(
    name: str,
    scores: Float[np.ndarray, "query item"],
    gallery: Gallery,
    *,
    selected_on: SelectedOn,
    label: str = "plain",
    direction: Direction = "t2v",
    about: Mapping[str, Any] | None = None,
) -> Result:
    """The figures of scores[query, item] in one direction, and of its parts.

    Parts are sounding and silent items and, if the gallery has a `provenance` of each query, those.
    """
    ranks = rank(scores, gallery.own, direction)
    item_of = gallery.own if direction == "t2v" else np.arange(len(gallery.item_ids))
    has_sound: Bool[np.ndarray, " query"] = gallery.has_sound[item_of]
    parts = breakdown(ranks, np.where(has_sound, "sounding", "silent"))
    provenance = np.array(getattr(gallery, "provenance", ()))
    if direction == "t2v" and provenance.any():
        parts = {**parts, **breakdown(ranks, np.where(provenance == "", "unnamed", provenance))}
    figures = summarise(ranks)
    ties: dict[str, float] = {}
    if ranks.has_ties:
        ties["optimistic_r1"] = 100 * float((ranks.optimistic == 1).mean())
        ties["pessimistic_r1"] = 100 * float((ranks.pessimistic == 1).mean())
    return Result(
        name=name,
        direction=direction,
        label=label,
        selected_on=selected_on,
        gallery=len(gallery.item_ids),
        with_sound=int(gallery.has_sound.sum()),
        metrics=figures,
        r1_interval=interval(ranks, groups=item_of),
        parts=parts,
        about=about or {},
        **ties,
    )


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Results as a JSON list."""
    rows = [asdict(result) for result in results]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> list[Result]:
    """Results that `write_results` wrote."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        row["metrics"] = Metrics(**row["metrics"])
        row["parts"] = {name: Metrics(**part) for name, part in row["parts"].items()}
        row["r1_interval"] = tuple(row["r1_interval"])
    return [Result(**row) for row in rows]


def write_trec(
    folder: Path,
    scores: Float[np.ndarray, "query item"],
    gallery: Gallery,
    *,
    tag: str,
    depth: int = 1000,
) -> None:
    """`run.txt` and `qrels.txt`, readable by trec_eval and ir-measures.

    Note: TREC's tools sort by score; equal ones they order by id, so ties are theirs to break.
    """
    depth = min(depth, scores.shape[1])
    order: Int[np.ndarray, "query hit"] = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    with (folder / "run.txt").open("w", encoding="utf-8") as run:
        for query, items, row in zip(gallery.query_ids, order, scores, strict=True):
            for place, item in enumerate(items, start=1):
                run.write(f"{query} Q0 {gallery.item_ids[item]} {place} {row[item]:.9g} {tag}\n")
    pairs = zip(gallery.query_ids, gallery.own, strict=True)
    lines = [f"{query} 0 {gallery.item_ids[item]} 1" for query, item in pairs]
    (folder / "qrels.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
