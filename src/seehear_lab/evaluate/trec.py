"""Run and qrels files in TREC's format, and the comparison of two runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import Float, Int

from seehear.errors import UsageError
from seehear_lab.datasets.batches import Gallery
from seehear_lab.evaluate.metrics import Comparison, compare, recall
from seehear_lab.evaluate.ranks import Ranks, average_precision

RUN, QRELS = "run.txt", "qrels.txt"
NEVER = np.iinfo(np.int64).max  # the rank of an item that a run does not list
Scores = Mapping[str, Mapping[str, float]]  # query -> item -> score


def write_run(
    path: Path,
    scores: Float[np.ndarray, "query item"],
    gallery: Gallery,
    *,
    tag: str,
    depth: int = 1000,
) -> None:
    """Write the best `depth` items of each query, readable by trec_eval and ir-measures.

    Note: TREC's tools sort by score and break ties by id. Blanks in ids become %20.
    """
    depth = min(depth, scores.shape[1])
    order: Int[np.ndarray, "query hit"] = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    ids = [_one_word(item) for item in gallery.item_ids]
    with path.open("w", encoding="utf-8") as run:
        for query, items, row in zip(gallery.query_ids, order, scores, strict=True):
            for place, item in enumerate(items, start=1):
                words = (_one_word(query), "Q0", ids[item], place, f"{row[item]:.9g}", tag)
                run.write(" ".join(map(str, words)) + "\n")


def write_qrels(path: Path, gallery: Gallery) -> None:
    """Write the right item of each query."""
    items = [_one_word(item) for item in gallery.item_ids]
    pairs = zip(gallery.query_ids, gallery.target, strict=True)
    lines = [f"{_one_word(query)} 0 {items[target]} 1\n" for query, target in pairs]
    path.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """R@`at` of two runs on the same queries, in percent."""

    at: int
    queries: int
    first: float
    second: float
    gain: Comparison  # first minus second


def compare_runs(first: Path, second: Path, *, at: int) -> RunComparison:
    """Compare two runs (files, or folders of `train`) on the qrels in the folder of the first.

    Queries with the same right item are resampled together.

    Raises: UsageError if a file does not exist or is not in TREC's format, or queries differ.
    """
    files = [path / RUN if path.is_dir() else path for path in (first, second)]
    right = _read(files[0].with_name(QRELS), 4, score=3)
    ranks = [_ranks(file, right) for file in files]
    owners = np.array([min(items) for items in right.values()])
    return RunComparison(
        at=at,
        queries=len(right),
        first=recall(ranks[0], at),
        second=recall(ranks[1], at),
        gain=compare(
            *ranks,
            lambda ranks: recall(ranks, at),
            groups=np.unique(owners, return_inverse=True)[1],
        ),
    )


def _ranks(file: Path, right: Scores) -> Ranks:
    """Ranks of the best right item of each query; infinite if the run does not list one."""
    run = _read(file, 6, score=4)
    if run.keys() != right.keys():
        raise UsageError(
            f"'{file}' and the qrels have different queries ({len(run)} and {len(right)}); "
            "compare runs on the same test split"
        )
    rows = [_rank(run[query], right[query]) for query in right]
    expected, best, worst, precision = map(np.array, zip(*rows, strict=True))
    return Ranks(expected=expected, optimistic=best, pessimistic=worst, precision=precision)


def _rank(listed: Mapping[str, float], right: Mapping[str, float]) -> tuple[float, int, int, float]:
    is_right = np.array([right.get(item, 0) > 0 for item in listed])
    if not is_right.any():
        return np.inf, NEVER, NEVER, 0.0
    scores = np.array(list(listed.values()))
    best = scores[is_right].max()
    greater, is_tied = int((scores > best).sum()), scores == best
    others, own = int((is_tied & ~is_right).sum()), int((is_tied & is_right).sum())
    share = is_right.sum() / sum(grade > 0 for grade in right.values())
    precision = share * float(average_precision(scores[None], is_right[None])[0])
    return 1 + greater + others / (own + 1), 1 + greater, 1 + greater + others, precision


def _read(path: Path, columns: int, *, score: int) -> Scores:
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'; seehear-lab train writes it into its folder")
    found: dict[str, dict[str, float]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        try:
            if len(words) != columns:
                raise ValueError
            found.setdefault(words[0], {})[words[2]] = float(words[score])
        except ValueError:
            raise UsageError(
                f"line {number} of '{path}' does not have the {columns} columns of TREC's format"
            ) from None
    return found


def _one_word(name: str) -> str:
    return re.sub(r"[\s%]", lambda found: quote(found[0]), name)
