"""The result of one evaluation, as JSON and as lines of text."""

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
    """One row of a table: its metrics and the conditions they were measured under."""

    name: str
    direction: Direction
    label: str  # plain, inductive or transductive: see `protocol.correct_hubness`
    selected_on: SelectedOn  # how the weights were selected
    gallery: int
    with_sound: int
    metrics: Metrics
    r1_interval: tuple[float, float]  # 95 %, over items
    optimistic_r1: float | None = None  # set only where ties make a difference
    pessimistic_r1: float | None = None
    parts: Mapping[str, Metrics] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)  # recipe, seed, step, ...


def evaluate_scores(
    name: str,
    scores: Float[np.ndarray, "query item"],
    gallery: Gallery,
    *,
    selected_on: SelectedOn,
    label: str = "plain",
    direction: Direction = "t2v",
    about: Mapping[str, Any] | None = None,
) -> Result:
    """Metrics of scores[query, item] in one direction, and of its parts.

    Parts are the items with and without sound and, where the gallery has a `provenance` of each
    query, its values.
    """
    ranks = rank(scores, gallery.target, direction)
    item_of = gallery.target if direction == "t2v" else np.arange(len(gallery.item_ids))
    has_sound: Bool[np.ndarray, " query"] = gallery.has_sound[item_of]
    parts = breakdown(ranks, np.where(has_sound, "with sound", "without sound"))
    provenance = np.array(getattr(gallery, "provenance", ()))
    if direction == "t2v" and provenance.any():
        parts = {**parts, **breakdown(ranks, np.where(provenance == "", "unnamed", provenance))}
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
        metrics=summarise(ranks),
        r1_interval=interval(ranks, groups=item_of),
        parts=parts,
        about=about or {},
        **ties,
    )


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write results as a JSON list."""
    rows = [asdict(result) for result in results]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> list[Result]:
    """Read a file of `write_results`."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        row["metrics"] = Metrics(**row["metrics"])
        row["parts"] = {name: Metrics(**part) for name, part in row["parts"].items()}
        row["r1_interval"] = tuple(row["r1_interval"])
    return [Result(**row) for row in rows]


def format_result(result: Result) -> list[str]:
    """Lines of text: the metrics, the spread of ties, recall of stage 1, R@1 of the parts."""
    metrics, (low, high) = result.metrics, result.r1_interval
    lines = [
        f"{result.direction} {result.label}{_variant(result)}: R@1 {metrics.r1:.1f} "
        f"({low:.1f} - {high:.1f}) R@5 {metrics.r5:.1f} R@10 {metrics.r10:.1f} "
        f"R@50 {metrics.r50:.1f} MdR {metrics.mdr:g} MnR {metrics.mnr:.1f} "
        f"Rsum {metrics.rsum:.1f} mAP {metrics.map:.1f}, gallery {result.gallery} "
        f"({result.with_sound} with sound), selected on {result.selected_on}"
    ]
    if result.optimistic_r1 is not None:
        lines.append(f"  ties: R@1 {result.pessimistic_r1:.1f} to {result.optimistic_r1:.1f}")
    if "stage1_recall" in result.about:
        kept, recall = result.about["reranked"], result.about["stage1_recall"]
        lines.append(f"  stage 1: recall {recall:.1f} % (items kept: {kept})")
    parts = result.parts.items()
    return [*lines, *(f"  {name}: R@1 {p.r1:.1f} (queries: {p.queries})" for name, p in parts)]


def _variant(result: Result) -> str:
    named = [kind for kind in ("correction", "reranked", "stage1") if kind in result.about]
    words = {"reranked": ", re-ranked", "stage1": ", stage 1 alone"}
    return "".join(words.get(kind, f", {result.about[kind]}") for kind in named)


def align(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)) -> list[str]:
    """Rows as lines of text with aligned columns; the columns `left` are aligned to the left."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
