"""Run and qrels files as TREC's tools read and write them, and two runs compared."""

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
NEVER = np.iinfo(np.int64).max  # the rank of what a run does not list
Scores = Mapping[str, Mapping[str, float]]  # query -> item -> score


def write_run(
    path: Path,
    scores: Float[np.ndarray, "query item"],
    gallery: Gallery,
    *,
    tag: str,
    depth: int = 1000,
) -> None:
    """The best `depth` items of each query, readable by trec_eval and ir-measures.

    Note: TREC's tools sort by score; equal ones they order by id, so ties are theirs to break.
    Blanks in ids become %20.
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
    """Which item is right for each query."""
    pairs = zip(gallery.query_ids, gallery.own, strict=True)
    lines = [f"{_one_word(query)} 0 {_one_word(gallery.item_ids[own])} 1\n" for query, own in pairs]
    path.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """R@`at` of two runs on the same queries, in percent."""

    at: int
    queries: int
    first: float
    second: float
    gain: Comparison  # of the first over the second


def compare_runs(first: Path, second: Path, *, at: int) -> Compared:
    """Two runs (files, or folders of `train`) against the qrels beside the first, pair by pair.

    Queries with the same right item are drawn together.

    Raises: UsageError if a file is not there or no TREC file, or the queries differ.
    """
    files = [path / RUN if path.is_dir() else path for path in (first, second)]
    right = _read(files[0].with_name(QRELS), 4, score=3)
    ranks = [_ranks(file, right) for file in files]
    owners = np.array([min(items) for items in right.values()])
    return Compared(
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
    """Ranks of the best right item of each query; one that is not listed is never found."""
    run = _read(file, 6, score=4)
    if run.keys() != right.keys():
        raise UsageError(
            f"'{file}' and the qrels are about different queries ({len(run)} and {len(right)}); "
            "compare runs on the same test split"
        )
    places = [_place(run[query], right[query]) for query in right]
    expected, best, worst, precision = map(np.array, zip(*places, strict=True))
    return Ranks(expected=expected, optimistic=best, pessimistic=worst, precision=precision)


def _place(
    listed: Mapping[str, float], right: Mapping[str, float]
) -> tuple[float, int, int, float]:
    is_right = np.array([right.get(item, 0) > 0 for item in listed])
    if not is_right.any():
        return np.inf, NEVER, NEVER, 0.0
    scores = np.array(list(listed.values()))
    best = scores[is_right].max()
    greater, tied = int((scores > best).sum()), scores == best
    others, own = int((tied & ~is_right).sum()), int((tied & is_right).sum())
    share = is_right.sum() / sum(grade > 0 for grade in right.values())
    precision = share * average_precision(scores, is_right)
    return 1 + greater + others / (own + 1), 1 + greater, 1 + greater + others, precision


def _read(path: Path, columns: int, *, score: int) -> Scores:
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'; runs of seehear-lab train have it")
    found: dict[str, dict[str, float]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        try:
            if len(words) != columns:
                raise ValueError
            found.setdefault(words[0], {})[words[2]] = float(words[score])
        except ValueError:
            raise UsageError(
                f"line {number} of '{path}' has not the {columns} columns of TREC"
            ) from None
    return found


def _one_word(name: str) -> str:
    return re.sub(r"[\s%]", lambda found: quote(found[0]), name)
