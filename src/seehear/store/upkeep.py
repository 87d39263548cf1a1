"""Keeps tables small and few, and large ones indexed; drops forgotten rows and old versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from seehear.store import index, schema
from seehear.store.commit import Committer
from seehear.store.journal import Step
from seehear.store.snapshot import Snapshot

if TYPE_CHECKING:
    import lance

FRAGMENT_BYTES = 2 << 30
SMALL_FRAGMENTS = 16  # joined only when so many wait, or a wide table is rewritten for every batch
BATCH_BYTES, FEWEST_ROWS, MOST_ROWS = 8 << 20, 16, 8192  # in memory while fragments are joined
KEPT = timedelta(hours=1)  # versions, for readers that still hold them


def maintain(
    committer: Committer, bank: index.Bank | None = None, *, in_flight: bool = False
) -> list[str]:
    """What was done, in words; one chore failing does not stop the others.

    Files that nothing shows are deleted, but not while rows of workers are `in_flight`.
    """
    chores: tuple[tuple[str, Callable[[Committer, str], str]], ...] = (
        ("sweep", _sweep),
        ("compact", _compact),
        ("index", partial(_index, bank=bank)),
        ("clean up", partial(_clean_up, in_flight=in_flight)),
    )
    done: list[str] = []
    for table in committer.place.heads():
        for name, chore in chores:
            committer.place.check()
            try:
                said = chore(committer, table)
            except Exception as error:  # Lance raises many kinds; the next chore must run
                said = f"could not {name}: {error}"
            if said:
                done.append(f"{table}: {said}")
    return done


def _index(committer: Committer, table: str, bank: index.Bank | None) -> str:
    return index.build(committer, table, bank) if table.startswith("emb__") else ""


def _sweep(committer: Committer, table: str) -> str:
    if table in (schema.CATALOG, schema.VIDEOS):
        return ""
    revisions = Snapshot(committer.place).revisions
    rows = committer.head(table).to_table(columns=["video_id", "rev"]).to_pydict()
    old: dict[int, set[str]] = defaultdict(set)
    for video_id, rev in zip(rows["video_id"], rows["rev"], strict=True):
        if revisions.get(video_id) != rev:
            old[rev].add(video_id)
    if not old:
        return ""
    where = " OR ".join(
        f"(rev = {rev} AND video_id IN {schema.quoted(sorted(ids))})" for rev, ids in old.items()
    )
    committer.run([(Step(table=table, delete=where), None)], committer.next_id())
    return f"swept rows of {sum(map(len, old.values()))} video(s) that were replaced or removed"


def _compact(committer: Committer, table: str) -> str:
    from lance.optimize import Compaction

    dataset, place = committer.head(table), committer.place
    size = sum(place.files(f"{table}/data/").values())
    row_bytes = max(1, size // max(1, dataset.count_rows()))
    target = max(64, FRAGMENT_BYTES // row_bytes)
    if _small(dataset, target) < SMALL_FRAGMENTS:
        return ""
    read_at_once = min(max(FEWEST_ROWS, BATCH_BYTES // row_bytes), MOST_ROWS)
    plan = Compaction.plan(
        dataset,
        options={"target_rows_per_fragment": target, "batch_size": read_at_once, "num_threads": 1},
    )
    results = [task.execute(dataset) for task in plan.tasks]
    place.keep(place.files(f"{table}/data/"))
    metrics = Compaction.commit(dataset, results)
    place.keep(place.files(f"{table}/"))
    committer.moved(table)
    return f"joined {metrics.fragments_removed} fragments into {metrics.fragments_added}"


def _small(dataset: lance.LanceDataset, target: int) -> int:
    return sum(fragment.count_rows() < target for fragment in dataset.get_fragments())


def _clean_up(committer: Committer, table: str, *, in_flight: bool) -> str:
    dataset = committer.head(table)
    stats = dataset.cleanup_old_versions(older_than=KEPT, delete_unverified=not in_flight)
    committer.place.tidy(table)
    freed = stats.bytes_removed
    return f"freed {freed / 1e6:.1f} MB of {stats.old_versions} old versions" if freed else ""
