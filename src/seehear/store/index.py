"""Approximate neighbours for large libraries: a Lance index beside the exact search.

Built in maintenance, tried on a version nobody sees, shown only if it finds enough of the nearest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from seehear.store import schema
from seehear.store.commit import Committer
from seehear.store.journal import Step
from seehear.store.summaries import ROUNDING, SENSES, Column, ranked
from seehear.types import Candidates, EncodedQuery

if TYPE_CHECKING:
    import lance
    from lance.dataset import Index

    from seehear.store.snapshot import Snapshot

Bank = Callable[[], EncodedQuery]
MIN_ITEMS = 200_000  # up to here the exact search is as quick
RECALL, K, ASKED = 0.95, 100, 100  # so much of the K nearest of so many queries must be found
MAX_K = 10 * K  # longer lists are drawn exactly
GROWTH = 1.1  # built again when the items are so many times those of the last time
PARTITION, PROBED, BITS, REFINE = 1024, 0.5, 4, 2
WHERE: dict[Column, str] = {"seen": "has_frames", "heard": "sound = 'sound'"}


class Tried(NamedTuple):
    """What the last building of an index led to; kept in the catalog."""

    items: int
    recall: float


def name_of(column: Column) -> str:
    """Name of the index of a modality; it exists only while it is good enough."""
    return f"{column}_nearest"


def narrowed(head: lance.LanceDataset) -> dict[Column, str | None]:
    """What each search must filter by; None where all rows pass, for looking costs time."""
    count = head.count_rows()
    return {name: None if head.count_rows(here) == count else here for name, here in WHERE.items()}


def nearest(
    snapshot: Snapshot, column: Column, vector: Float[np.ndarray, " dim"], *, k: int
) -> Candidates | None:
    """About the k nearest, through the index; None where there is none for such a question."""
    hidden = snapshot.emb.count_rows() - len(snapshot.rows)
    if name_of(column) not in snapshot.indices or not 0 < k + hidden <= MAX_K:
        return None
    with snapshot.reading("of items"):
        where = snapshot.narrowed[column]
        vectors, *keys = _search(snapshot.emb, column, vector, k + hidden, where)
    live = [
        (item_id, place)
        for place, (item_id, video_id, rev) in enumerate(zip(*keys, strict=True))
        if snapshot.shows(video_id, rev)
    ]
    live.sort()
    ids, places = [item_id for item_id, _ in live], [place for _, place in live]
    return ranked(ids, vectors[places], vector, k=k)


def _search(
    head: lance.LanceDataset, column: Column, vector: np.ndarray, k: int, where: str | None
) -> tuple[np.ndarray, list[Any], list[Any], list[Any]]:
    """Vectors, ids, videos and revisions of what the index finds."""
    rows = head.to_table(
        columns=["id", "video_id", "rev", column, "_distance"],
        filter=where,
        prefilter=True,
        nearest={
            "column": column,
            "q": vector.astype(np.float32),
            "k": k,
            "metric": "dot",
            "minimum_nprobes": _probes(head.count_rows()),
            "refine_factor": REFINE,
        },
    )
    vectors = rows[column].combine_chunks().flatten().to_numpy().reshape(-1, len(vector))
    ids, videos, revs = (rows[name].to_pylist() for name in ("id", "video_id", "rev"))
    return vectors.astype(np.float32), ids, videos, revs


def _probes(rows: int) -> int:
    return max(1, round(PROBED * rows / PARTITION))


def build(committer: Committer, table: str, bank: Bank | None) -> str:
    """Index the summaries of a large table for each modality; says what came of it.

    `bank` gives the queries that the index is tried on.
    """
    if not bank or committer.head(table).count_rows() <= MIN_ITEMS:
        return ""
    key, said = f"index {table}", list[str]()
    tried = _tried(committer, key)
    for column in SENSES:
        items = committer.head(table).count_rows(WHERE[column])
        before = tried.get(column, Tried(0, 0.0))
        if items > MIN_ITEMS and items > GROWTH * before.items:
            recall = _publish(committer, table, column, getattr(bank(), column))
            tried[column] = Tried(items, round(recall, 4))
            said.append(_told(column, recall))
    if said:
        step = Step(table=schema.CATALOG, delete=f"key = '{key}'")
        committer.run([(step, schema.catalog_rows({key: tried}))], committer.next_id())
    return "; ".join(said)


def _told(column: Column, recall: float) -> str:
    found = f"{recall:.0%} of the {K} nearest of {ASKED} queries"
    if recall >= RECALL:
        return f"what is {column} is searched through an index that found {found}"
    return f"what is {column} stays searched exactly, since an index found only {found}"


def _tried(committer: Committer, key: str) -> dict[Column, Tried]:
    rows = committer.head(schema.CATALOG).to_table(filter=f"key = '{key}'")["value"].to_pylist()
    return {name: Tried(*pair) for name, pair in json.loads(rows[0]).items()} if rows else {}


def _publish(committer: Committer, table: str, column: Column, bank: np.ndarray) -> float:
    """Build an index, try it where nobody looks, and show it or take the old one down."""
    place, head, name = committer.place, committer.head(table), name_of(column)
    queries = bank[np.linspace(0, len(bank) - 1, min(ASKED, len(bank))).round().astype(int)]
    made = head.create_index_uncommitted(
        column,
        "IVF_RQ",
        name=name,
        metric="dot",
        replace=True,
        num_partitions=max(1, head.count_rows() // PARTITION),
        num_bits=BITS,
        fragment_ids=[fragment.fragment_id for fragment in head.get_fragments()],
    )
    old = [
        dataclasses.replace(made, uuid=str(segment.uuid))
        for index in head.describe_indices()
        for segment in index.segments
        if index.name == name
    ]
    recall = _recall(_trial(head, made, old), column, queries)
    place.check()
    if recall >= RECALL:
        place.keep([*place.files(f"{table}/_indices/"), f"{table}/_indices"])
        head.commit_existing_index_segments(name, column, [made])
    elif old:
        head.drop_index(name)
    place.keep(place.files(f"{table}/_versions/"))
    committer.moved(table)
    return recall


def _trial(head: lance.LanceDataset, made: Index, old: list[Index]) -> lance.LanceDataset:
    """A detached version, which no reader opens, with one index in place of others."""
    import lance
    from lance.dataset import LanceOperation, Transaction

    operation = LanceOperation.CreateIndex([made], old)
    transaction = Transaction(read_version=head.version, operation=operation)
    return lance.LanceDataset.commit(head, transaction, detached=True)


def _recall(
    head: lance.LanceDataset, column: Column, queries: Float32[np.ndarray, "query dim"]
) -> float:
    """Share of the K nearest that are found; a tie with the last of them counts as found."""
    where = narrowed(head)[column]
    nearest = np.full((len(queries), K), -np.inf, np.float32)
    for batch in head.to_batches(columns=[column], filter=where):
        vectors = batch[column].flatten().to_numpy().reshape(len(batch), -1).astype(np.float32)
        scores = np.concatenate([nearest, queries @ vectors.T], axis=1)
        nearest = np.partition(scores, scores.shape[1] - K, axis=1)[:, -K:]
    found = 0
    for query, best in zip(queries, nearest, strict=True):
        vectors = _search(head, column, query, K, where)[0]
        slack = ROUNDING * float(np.linalg.norm(query) * np.linalg.norm(vectors, axis=1).max())
        found += int((vectors @ query >= best.min() - slack).sum())
    return found / nearest.size
