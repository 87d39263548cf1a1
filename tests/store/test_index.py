"""Large libraries are searched through an index, if it finds enough of the nearest."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from samples import MODEL, Put, make_video

from seehear.store import Store, index
from seehear.types import EncodedQuery, Filter

ITEMS = 2500
SEEN, HEARD = 32, 24
INDICES = {"seen_nearest", "heard_nearest"}


def cone(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    """Unit vectors in clusters around a common mean, as encoders of pictures and sounds give."""
    centres = np.random.default_rng(dim).standard_normal((30, dim)) + 1.0
    vectors = centres[rng.integers(0, 30, rows)] + 0.7 * rng.standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def videos(first: int, last: int) -> list[Put]:
    """Every fifth is silent, every seventh has no pictures, every eleventh is a twin."""
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


def bank() -> EncodedQuery:
    """200 queries from the same cones."""
    rng = np.random.default_rng(7)
    seen, heard = (cone(rng, 200, dim).astype(np.float32) for dim in (SEEN, HEARD))
    return EncodedQuery(seen=seen, heard=heard, audio_weight=np.full(200, 0.5, np.float32))


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def large(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A library that counts as large, opened for writing."""
    monkeypatch.setattr(index, "MIN_ITEMS", 1000)
    monkeypatch.setattr(index, "PARTITION", 128)
    is_folder = request.param == "folder"
    root = tmp_path / "library" if is_folder else request.getfixturevalue("address")
    with Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as store:
        store.put(videos(0, ITEMS))
        yield store


def recall(store: Store, column: str, k: int = 100) -> float:
    """Of the neighbours that the index finds against the exact ones; scores must be the same."""
    found = 0
    whole = store.summaries()
    exact = {item_id: at for at, item_id in enumerate(whole.ids)}
    for query in getattr(bank(), column)[:40]:
        near = store.nearest(column, query, k=k)
        scores = (whole.column(column).astype(np.float64) * query).sum(1)
        scores[~whole.mask(column)] = -np.inf
        kth = np.sort(scores)[-k]
        got = scores[[exact[item_id] for item_id in near.ids]]
        assert len(set(near.ids)) == len(near.ids) == k
        np.testing.assert_array_equal(near.scores, got.astype(np.float32))
        order = sorted(range(k), key=lambda at: (-near.scores[at], near.ids[at]))
        assert order == list(range(k))
        found += (got >= kth - 1e-6).sum()
    return found / (40 * k)


def silent(store: Store) -> set[str]:
    return {item.id for item in store.items() if item.sound == "none"}


def test_an_index_answers_nearly_as_the_exact_search(large: Store):
    said = [line for line in large.maintain(bank) if "searched through an index" in line]
    assert len(said) == 1 and "seen" in said[0] and "heard" in said[0]
    assert large._now().indices == INDICES
    with Store.open(large.root) as store:
        near = store.nearest("heard", bank().heard[0], k=1000)
        some, sample, ids = store.some([3, 0]), store.sample(), store.ids()
        item = store.item(ids[5])
        assert "summaries" not in vars(store._now())  # the vectors of all items stay on disk
        whole = store.summaries()
        assert len(near.ids) == 1000 and not set(near.ids) & silent(store)
        assert some.ids == (ids[3], ids[0]) and len(sample.ids) == 500
        np.testing.assert_array_equal(some.seen, whole.seen[[3, 0]])
        np.testing.assert_array_equal(item.heard, whole.heard[5])
        assert min(recall(store, "seen"), recall(store, "heard")) >= 0.95
    assert [line for line in large.verify(full=True) if line[:5] != "note:"] == []


def test_an_index_that_finds_too_little_is_never_shown(
    large: Store, monkeypatch: pytest.MonkeyPatch
):
    """One partition of many is looked into, one bit is kept of a number, nothing is refined."""
    for name, value in (("PROBED", 0.01), ("BITS", 1), ("REFINE", 1)):
        monkeypatch.setattr(index, name, value)
    near = large.nearest("seen", bank().seen[0], k=100)
    (said,) = [line for line in large.maintain(bank) if "index" in line]
    assert said.count("stays searched exactly, since an index found only") == 2
    assert large._now().indices == frozenset()
    assert large.nearest("seen", bank().seen[0], k=100).ids == near.ids
    assert not [line for line in large.maintain(bank) if "index" in line]  # tried, not again
    assert not [name for name in large.place.files("") if "/_versions/d" in name]


def test_what_comes_and_goes_after_the_index_was_built_counts(large: Store):
    large.maintain(bank)
    nearest = large.nearest("seen", bank().seen[0], k=1).ids[0]
    large.remove([nearest.split("-")[0]])
    assert nearest not in large.nearest("seen", bank().seen[0], k=100).ids
    video, (item,) = make_video("the very one", items=1)
    best = dataclasses.replace(item, seen=bank().seen[0], heard=bank().heard[0])
    large.put([(video, [best])])
    assert large.nearest("seen", bank().seen[0], k=3).ids[0] == best.id
    large.put([only(number) for number in range(ITEMS, ITEMS + 20)])
    assert large._now().indices == INDICES
    assert min(recall(large, "seen"), recall(large, "heard")) >= 0.95


def only(number: int) -> Put:
    return videos(number, number + 1)[0]


def test_an_index_survives_compaction_and_is_built_again_after_growth(large: Store):
    large.maintain(bank)
    for first in range(ITEMS, ITEMS + 400, 20):
        large.put(videos(first, first + 20))
    said = large.maintain(bank)
    assert any(line.startswith("emb__") and "joined" in line for line in said)
    assert any("searched through an index" in line for line in said)
    for column in ("seen", "heard"):
        assert recall(large, column) >= 0.95
    assert not [line for line in large.maintain(bank) if "index" in line]


def test_narrowed_and_long_lists_stay_exact(large: Store):
    before = [large.nearest("seen", bank().seen[1], k=2000)]
    where = Filter(has_sound=False)
    before.append(large.nearest("seen", bank().seen[1], k=100, where=where))
    large.maintain(bank)
    after = [
        large.nearest("seen", bank().seen[1], k=2000),
        large.nearest("seen", bank().seen[1], k=100, where=where),
    ]
    assert [each.ids for each in after] == [each.ids for each in before]
