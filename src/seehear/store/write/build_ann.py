"""Build vector indices for large libraries, and publish those with enough recall.

Recall is measured on a detached version that no reader opens.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float32

from seehear.store.backend.journal import TableChange
from seehear.store.backend.protocol import CATALOG
from seehear.store.read import ann
from seehear.store.read.summaries import COLUMNS, ROUNDING, Column
from seehear.store.tables import schema
from seehear.store.tables.commit import Committer
from seehear.store.tables.lance import with_index
from seehear.types import EncodedQuery

if TYPE_CHECKING:
    from seehear.store.tables.lance import Dataset

QuerySource = Callable[[], EncodedQuery]
MIN_ITEMS = 200_000  # below, exact search is as fast
MIN_RECALL, K, QUERIES = 0.95, 100, 100  # share of the K nearest to find, over all QUERIES
GROWTH = 1.1  # build again when the number of items has grown by this factor
BITS = 4  # per number


class Trial(NamedTuple):
    """Result of the last build of an index; stored in the catalog."""

    items: int
    recall: float


def build_indices(committer: Committer, table: str, calibration_queries: QuerySource) -> str:
    """Index the summaries of a large table, one index per modality; return what was done.

    `calibration_queries` are the queries on which recall is measured.
    """
    if committer.table(table).count_rows() <= MIN_ITEMS:
        return ""
    key, done = f"index {table}", list[str]()
    trials = _trials(committer, key)
    for column in COLUMNS:
        items = committer.table(table).count_rows(ann.HAS_MODALITY[column])
        last = trials.get(column, Trial(0, 0.0))
        if items > MIN_ITEMS and items > GROWTH * last.items:
            recall = _build(committer, table, column, getattr(calibration_queries(), column))
            trials[column] = Trial(items, round(recall, 4))
            found = f"{recall:.0%} of the {K} nearest of {QUERIES} queries"
            done.append(
                f"'{column}' is searched through an index that found {found}"
                if recall >= MIN_RECALL
                else f"'{column}' is searched exactly, because an index found only {found}"
            )
    if done:
        change = TableChange(table=CATALOG, delete=f"key = '{key}'")
        rows = schema.catalog_rows({key: trials})
        committer.commit([(change, rows)], committer.next_id())
    return "; ".join(done)


def _trials(committer: Committer, key: str) -> dict[Column, Trial]:
    rows = committer.table(CATALOG).to_table(filter=f"key = '{key}'")["value"].to_pylist()
    return {name: Trial(*pair) for name, pair in json.loads(rows[0]).items()} if rows else {}


def _build(committer: Committer, table: str, column: Column, queries: np.ndarray) -> float:
    """Build an index; publish it if its recall is high enough, else drop the old one."""
    backend, head, name = committer.backend, committer.table(table), ann.index_name(column)
    chosen = np.linspace(0, len(queries) - 1, min(QUERIES, len(queries))).round().astype(int)
    index = head.create_index_uncommitted(
        column,
        "IVF_RQ",
        name=name,
        metric="dot",
        replace=True,
        num_partitions=max(1, head.count_rows() // ann.PARTITION_ROWS),
        num_bits=BITS,
        fragment_ids=[fragment.fragment_id for fragment in head.get_fragments()],
    )
    old = [
        dataclasses.replace(index, uuid=str(segment.uuid))
        for each in head.describe_indices()
        for segment in each.segments
        if each.name == name
    ]
    recall = _recall(with_index(head, index, old), column, queries[chosen])
    committer.check_lease()
    if recall >= MIN_RECALL:
        backend.sync([*backend.file_sizes(f"{table}/_indices/"), f"{table}/_indices"])
        head.commit_existing_index_segments(name, column, [index])
    elif old:
        head.drop_index(name)
    backend.sync(backend.file_sizes(f"{table}/_versions/"))
    committer.invalidate(table)
    return recall


def _recall(table: Dataset, column: Column, queries: Float32[np.ndarray, "query dim"]) -> float:
    """Share of the K nearest that the index finds; a tie with the K-th counts as found."""
    where = ann.filter_sql(table)[column]
    nearest = np.full((len(queries), K), -np.inf, np.float32)
    for batch in table.to_batches(columns=[column], filter=where):
        vectors = batch[column].flatten().to_numpy().reshape(len(batch), -1).astype(np.float32)
        scores = np.concatenate([nearest, queries @ vectors.T], axis=1)
        nearest = np.partition(scores, scores.shape[1] - K, axis=1)[:, -K:]
    found = 0
    for query, best in zip(queries, nearest, strict=True):
        vectors, _ = ann.search_index(table, column, query, k=K, where=where)
        slack = ROUNDING * float(np.linalg.norm(query) * np.linalg.norm(vectors, axis=1).max())
        found += int((vectors @ query >= best.min() - slack).sum())
    return found / nearest.size
