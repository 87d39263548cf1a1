"""A library in shards answers as the undivided one, ties included, and says what it lost."""

import dataclasses
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.made import fill, more
from seehear import Library
from seehear.cluster import Shard, Shards, shards
from seehear.engine.tags import TagsEngine
from seehear.errors import LibraryError, UsageError
from seehear.store import Store
from seehear.types import Answer, Filter, Query

QUERIES: list[dict[str, Any]] = [
    {"query": Query(text="a tabby cat")},
    {"query": Query(text="a dog barking", mode="heard"), "limit": 30},
    {"query": Query(text="a church bell", audio_weight=0.3), "limit": 500},
    {"query": Query(text="a siren"), "where": Filter(has_sound=False)},
    {"query": Query(text="a violin"), "stage1": "all", "limit": 60},
    {"query": Query(text="a violin"), "stage1": "seen"},
    {"query": Query(text="a violin"), "where": Filter(folder="/nothing/here")},
]


@pytest.fixture(scope="module")
def root(tags_engine: TagsEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sharded") / "library"
    fill(made, tags_engine, 240)
    return made


def same(ours: Answer, theirs: Answer) -> None:
    """Equal hits in equal order, numbers to 1e-6."""
    assert [hit.item_id for hit in ours.hits] == [hit.item_id for hit in theirs.hits]
    for a, b in zip(ours.hits, theirs.hits, strict=True):
        assert (a.rank, a.confidence, a.path, a.seen_tags, a.heard_tags) == (
            b.rank,
            b.confidence,
            b.path,
            b.seen_tags,
            b.heard_tags,
        )
        np.testing.assert_allclose(
            [a.score, a.seen, a.heard], [b.score, b.seen, b.heard], atol=1e-6
        )
        np.testing.assert_allclose(a.frame_weights, b.frame_weights, atol=1e-6)
    assert (ours.items_searched, ours.videos_searched, ours.verdict) == (
        theirs.items_searched,
        theirs.videos_searched,
        theirs.verdict,
    )


def ask(library: Library, query: Query, **options: Any) -> Answer:
    like = library.item(query.item) if query.item else ""
    return library.search(
        query.text, like=like, mode=query.mode, audio_weight=query.audio_weight, **options
    )


@pytest.mark.parametrize("of", [1, 3, 7])
def test_sharded_search_equals_the_undivided_one(root: Path, of: int):
    divided = Shards.here(root, of=of)
    with Library.open(root) as library:
        item = next(iter(library.items())).id
        for case in [*QUERIES, {"query": Query(item=item)}]:
            same(divided.search(**case), ask(library, **case))
        scores = [hit.score for hit in divided.search(**QUERIES[0], limit=99).hits]
        assert len(set(scores)) < len(scores) - 20  # ties were there to be broken


def test_every_item_falls_into_one_shard(root: Path):
    held = [set(Shard(root, number, 4).ids()) for number in range(4)]
    with Library.open(root) as library:
        assert sum(map(len, held)) == len(set.union(*held)) == library.status().items
    assert min(map(len, held)) > 30


def test_a_lost_shard_makes_answers_partial_until_it_returns(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards, "RETRY_S", 0.05)
    parts = [Shard(root, number, 3) for number in range(3)]
    lost: set[int] = set()

    def call(number: int, method: str, *arguments: Any) -> Any:
        if number in lost:
            raise ConnectionError("gone")
        return getattr(parts[number], method)(*arguments)

    divided = Shards(root, of=3, call=call)
    whole = divided.search(**QUERIES[0])
    lost.add(1)
    partial = divided.search(**QUERIES[0])
    share = 1 - len(parts[1].ids()) / 360
    assert partial.verdict.startswith(f"only {share:.0%} of the library was searched: 1 of 3")
    assert partial.items_searched == 360 - len(parts[1].ids())
    assert not {hit.item_id for hit in partial.hits} & set(parts[1].ids())
    lost.clear()
    threading.Event().wait(0.06)
    same(divided.search(**QUERIES[0]), whole)
    lost.update(range(3))
    with pytest.raises(LibraryError, match="3 of 3 shards did not answer: gone"):
        divided.search(**QUERIES[0])


def test_replicas_answer_alike_and_are_made_again_when_lost(
    root: Path, tags_engine: TagsEngine, tmp_path: Path
):
    """One file of a replica is cut short, another replica is deleted."""
    cache = tmp_path / "cache"
    whole = Shards.here(root, of=2).search(**QUERIES[0])
    for damage in (lambda: None, lambda: cut(cache), lambda: shutil.rmtree(next(cache.glob("*/")))):
        damage()
        same(Shards.here(root, of=2, cache=cache).search(**QUERIES[0]), whole)
    replicas = sorted(cache.glob("*/"))
    assert [folder.name[12:17] for folder in replicas] == ["-0-2-", "-1-2-"]
    held = [set(Store.open(folder).ids()) for folder in replicas]
    assert held == [set(Shard(root, number, 2).ids()) for number in range(2)]
    assert [Store.open(folder).verify(full=True) for folder in replicas] == [[], []]


def cut(cache: Path) -> None:
    """Half of a file of tokens is gone."""
    files = cache.glob("*-0-2-*/tok__*/data/*.lance")
    file = max(files, key=lambda file: file.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_replicas_follow_what_is_written(tags_engine: TagsEngine, tmp_path: Path):
    root, cache = tmp_path / "library", tmp_path / "cache"
    fill(root, tags_engine, 40)
    divided = Shards.here(root, of=2, cache=cache)
    before = divided.search(**QUERIES[0])
    with Store.open(root, write=True) as store:
        gone, renamed, *_ = store.videos()
        store.remove([gone.id])
        store.update_metadata(dataclasses.replace(renamed, path="/films/another name.mp4"))
        store.put(more(tags_engine, 40, 44))
    same(divided.search(**QUERIES[0]), before)
    divided.refresh()
    with Library.open(root) as library:
        for case in QUERIES:
            same(divided.search(**case), ask(library, **case))
    paths = {video.path for folder in cache.glob("*/") for video in Store.open(folder).videos()}
    assert "/films/another name.mp4" in paths and gone.path not in paths
    assert [Store.open(folder).verify(full=True) for folder in cache.glob("*/")] == [[], []]


def test_what_cannot_be_meant_is_refused(root: Path):
    divided = Shards.here(root, of=2)
    with pytest.raises(UsageError, match="give a text or an example"):
        divided.search(Query())
    with pytest.raises(UsageError, match="limit must be 1 or more"):
        divided.search(Query(text="a"), limit=0)
