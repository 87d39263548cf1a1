"""Vector indices of large libraries: recall, changes after the build, compaction."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from samples import MODEL, Put, make_video

from seehear.store import Store
from seehear.store.read import ann
from seehear.store.write import build_ann
from seehear.types import EncodedQuery, Filter

ITEMS = 2500
SEEN, HEARD = 32, 24
INDICES = {"seen_nearest", "heard_nearest"}


def cone(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    """Unit vectors in clusters around a common mean, like those of encoders."""
    centres = np.random.default_rng(dim).standard_normal((30, dim)) + 1.0
    vectors = centres[rng.integers(0, 30, rows)] + 0.7 * rng.standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def videos(first: int, last: int) -> list[Put]:
    """Every fifth has no sound, every seventh no frames, every eleventh the next one's vectors."""
    made: list[Put] = []
    for number in range(first, last):
        sound = "none" if number % 5 == 0 else "sound"
        width = 0 if number % 7 == 0 else 640
        video, (item,) = make_video(f"{number}", items=1, sound=sound, width=width)
        rng = np.random.default_rng(number + (number % 11 == 0))
        seen, heard = cone(rng, 1, SEEN)[0], cone(rng, 1, HEARD)[0]
        heard = heard if sound == "sound" else np.zeros_like(heard)
        made.append((video, [dataclasses.replace(item, seen=seen, heard=heard)]))
    return made


def queries() -> EncodedQuery:
    """200 queries from the same clusters."""
    rng = np.random.default_rng(7)
    seen, heard = (cone(rng, 200, dim).astype(np.float32) for dim in (SEEN, HEARD))
    return EncodedQuery(seen=seen, heard=heard, audio_weight=np.full(200, 0.5, np.float32))


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def large(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A library above a lowered threshold for indices, opened for writing."""
    monkeypatch.setattr(build_ann, "MIN_ITEMS", 1000)
    monkeypatch.setattr(ann, "PARTITION_ROWS", 128)
    is_folder = request.param == "folder"
    root = tmp_path / "library" if is_folder else request.getfixturevalue("address")
    with Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as store:
        store.put(videos(0, ITEMS))
        yield store


def recall(store: Store, column: str, k: int = 100) -> float:
    """Share of the exact neighbours that the index finds; also compares scores and order."""
    found = 0
    every = store.summaries()
    exact = {item_id: at for at, item_id in enumerate(every.ids)}
    for query in getattr(queries(), column)[:40]:
        near = store.nearest(column, query, k=k)
        scores = (every.column(column).astype(np.float64) * query).sum(1)
        scores[~every.mask(column)] = -np.inf
        kth = np.sort(scores)[-k]
        got = scores[[exact[item_id] for item_id in near.ids]]
        assert len(set(near.ids)) == len(near.ids) == k
        np.testing.assert_array_equal(near.scores, got.astype(np.float32))
        order = sorted(range(k), key=lambda at: (-near.scores[at], near.ids[at]))
        assert order == list(range(k))
        found += (got >= kth - 1e-6).sum()
    return found / (40 * k)


def without_sound(store: Store) -> set[str]:
    return {item.id for item in store.items() if item.sound == "none"}


def test_an_index_finds_nearly_all_exact_neighbours(large: Store):
    done = [line for line in large.maintain(queries) if "searched through an index" in line]
    assert len(done) == 1 and "'seen'" in done[0] and "'heard'" in done[0]
    assert large.snapshot.indices == INDICES
    with Store.open(large.root) as store:
        near = store.nearest("heard", queries().heard[0], k=1000)
        taken, sample, ids = store.take([3, 0]), store.sample(), store.ids()
        item = store.item(ids[5])
        assert "summaries" not in vars(store.snapshot)  # most vectors stay on disk
        every = store.summaries()
        assert len(near.ids) == 1000 and not set(near.ids) & without_sound(store)
        assert taken.ids == (ids[3], ids[0]) and len(sample.ids) == 500
        np.testing.assert_array_equal(taken.seen, every.seen[[3, 0]])
        np.testing.assert_array_equal(item.heard, every.heard[5])
        assert min(recall(store, "seen"), recall(store, "heard")) >= 0.95
    assert [line for line in large.verify(full=True) if line[:5] != "note:"] == []


def test_an_index_with_low_recall_is_not_published(large: Store, monkeypatch: pytest.MonkeyPatch):
    """One partition is probed, one bit per number is kept, nothing is refined."""
    monkeypatch.setattr(ann, "PROBED_SHARE", 0.01)
    monkeypatch.setattr(build_ann, "BITS", 1)
    monkeypatch.setattr(ann, "REFINE", 1)
    near = large.nearest("seen", queries().seen[0], k=100)
    (done,) = [line for line in large.maintain(queries) if "index" in line]
    assert done.count("is searched exactly, because an index found only") == 2
    assert large.snapshot.indices == frozenset()
    assert large.nearest("seen", queries().seen[0], k=100).ids == near.ids
    assert not [line for line in large.maintain(queries) if "index" in line]  # not tried again
    assert not [name for name in large.backend.file_sizes("") if "/_versions/d" in name]


def test_changes_after_the_build_are_found(large: Store):
    large.maintain(queries)
    nearest = large.nearest("seen", queries().seen[0], k=1).ids[0]
    large.remove([nearest.split("-")[0]])
    assert nearest not in large.nearest("seen", queries().seen[0], k=100).ids
    video, (item,) = make_video("nearest", items=1)
    best = dataclasses.replace(item, seen=queries().seen[0], heard=queries().heard[0])
    large.put([(video, [best])])
    assert large.nearest("seen", queries().seen[0], k=3).ids[0] == best.id
    large.put([only(number) for number in range(ITEMS, ITEMS + 20)])
    assert large.snapshot.indices == INDICES
    assert min(recall(large, "seen"), recall(large, "heard")) >= 0.95


def only(number: int) -> Put:
    return videos(number, number + 1)[0]


def test_an_index_survives_compaction_and_is_rebuilt_after_growth(large: Store):
    large.maintain(queries)
    for first in range(ITEMS, ITEMS + 400, 20):
        large.put(videos(first, first + 20))
    done = large.maintain(queries)
    assert any(line.startswith("emb__") and "joined" in line for line in done)
    assert any("searched through an index" in line for line in done)
    for column in ("seen", "heard"):
        assert recall(large, column) >= 0.95
    assert not [line for line in large.maintain(queries) if "index" in line]


def test_filtered_and_long_searches_are_exact(large: Store):
    before = [large.nearest("seen", queries().seen[1], k=2000)]
    where = Filter(has_sound=False)
    before.append(large.nearest("seen", queries().seen[1], k=100, where=where))
    large.maintain(queries)
    after = [
        large.nearest("seen", queries().seen[1], k=2000),
        large.nearest("seen", queries().seen[1], k=100, where=where),
    ]
    assert [each.ids for each in after] == [each.ids for each in before]
