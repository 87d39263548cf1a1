"""Exact nearest neighbours: ties, filters, missing modalities."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import HEARD, MODEL, SEEN, Put, make_video

from seehear.store import Store
from seehear.types import Filter


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (Filter(), "abcde"),
        (Filter(folder="/films"), "abcde"),
        (Filter(folder="/films/more"), "c"),
        (Filter(folder="/films/mo"), ""),
        (Filter(folder="/sounds"), "e"),
        (Filter(min_duration_s=32.2), "bcd"),
        (Filter(max_duration_s=32.2), "abde"),
        (Filter(has_sound=True), "ace"),
        (Filter(has_sound=False), "bd"),
        (Filter(added_since_us=1_850_000_000_000_000), "d"),
        (Filter(folder="/films", has_sound=False, max_duration_s=33.0), "bd"),
    ],
)
def test_filters_apply_to_items_and_neighbours(filled: Store, where: Filter, names: str):
    ids = {make_video(name)[0].id for name in names}
    assert {item.video_id for item in filled.items(where=where)} == ids
    near = filled.nearest("seen", np.ones(SEEN, np.float32), k=99, where=where)
    assert {item_id.split("-")[0] for item_id in near.ids} == ids - {make_video("e")[0].id}


def test_items_without_a_modality_are_not_found_by_it(filled: Store):
    heard = filled.nearest("heard", np.ones(HEARD, np.float32), k=99)
    seen = filled.nearest("seen", np.ones(SEEN, np.float32), k=99)
    assert {i.split("-")[0] for i in heard.ids} == {make_video(n)[0].id for n in "ace"}
    assert {i.split("-")[0] for i in seen.ids} == {make_video(n)[0].id for n in "abcd"}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, np.ndarray]:
    """300 items with many duplicates; small integers, so that products are exact."""
    rng = np.random.default_rng(0)
    vectors = rng.integers(-2, 3, (20, SEEN)).astype(np.float32)[rng.integers(0, 20, 300)]
    videos: list[Put] = []
    for number, vector in enumerate(vectors):
        video, (item,) = make_video(f"{number}", items=1)
        videos.append((video, [dataclasses.replace(item, seen=vector)]))
    root = tmp_path_factory.mktemp("crowd") / "library"
    store = Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    store.put(videos)
    store.close()
    order = np.argsort([item.id for _, (item,) in videos])
    return Store.open(root), vectors[order]


@settings(deadline=None, max_examples=60)
@given(query=st.lists(st.integers(-3, 3), min_size=SEEN, max_size=SEEN), k=st.integers(0, 310))
def test_nearest_is_exact_and_breaks_ties_by_id(
    crowd: tuple[Store, np.ndarray], query: list[int], k: int
):
    store, vectors = crowd
    scores = vectors @ np.array(query, np.float32)
    best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
    got = store.nearest("seen", np.array(query, np.float32), k=k)
    assert list(got.ids) == [store.summaries().ids[i] for i in best]
    np.testing.assert_array_equal(got.scores, scores[best])
