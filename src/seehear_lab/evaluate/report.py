"""What one evaluation found, as JSON and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

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


def lines_of(result: Result) -> list[str]:
    """A result for people: its figures, those of its parts, and what stage 1 let through."""
    figures, (low, high) = result.metrics, result.r1_interval
    lines = [
        f"{result.direction} {result.label}{_kind(result)}: R@1 {figures.r1:.1f} "
        f"({low:.1f} - {high:.1f}) R@5 {figures.r5:.1f} R@10 {figures.r10:.1f} "
        f"R@50 {figures.r50:.1f} MdR {figures.mdr:g} MnR {figures.mnr:.1f} "
        f"Rsum {figures.rsum:.1f} mAP {figures.map:.1f}, gallery {result.gallery} "
        f"({result.with_sound} with sound), selected on {result.selected_on}"
    ]
    if result.optimistic_r1 is not None:
        lines.append(f"  ties: R@1 {result.pessimistic_r1:.1f} to {result.optimistic_r1:.1f}")
    if "stage1_recall" in result.about:
        kept, found = result.about["reranked"], result.about["stage1_recall"]
        lines.append(f"  stage 1 keeps {kept} items: {found:.1f} % of the right ones")
    parts = result.parts.items()
    return [*lines, *(f"  {name}: R@1 {p.r1:.1f} of {p.queries} queries" for name, p in parts)]


def _kind(result: Result) -> str:
    named = [kind for kind in ("correction", "reranked", "stage1") if kind in result.about]
    words = {"reranked": ", re-ranked", "stage1": ", stage 1 alone"}
    return "".join(words.get(kind, f", {result.about[kind]}") for kind in named)
