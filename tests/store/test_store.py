"""Behaviour of every store, in a folder and on S3."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import HEARD, MODEL, SEEN, Put, five, make_tokens, make_video

from seehear.errors import LibraryError
from seehear.store import Backend, FileRow, Store
from seehear.store.read import snapshot
from seehear.types import Item


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty library, opened for writing."""
    is_folder = request.param == "folder"
    root = tmp_path / "library" if is_folder else request.getfixturevalue("address")
    with Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as made:
        yield made


def items_of(videos: Sequence[Put]) -> list[Item]:
    return sorted((item for _, items in videos for item in items), key=lambda item: item.id)


def test_put_videos_are_there_after_reopening(filled: Store):
    filled.close()
    with Store.open(filled.root) as store:
        assert store.model == MODEL
        assert store.videos() == tuple(sorted((v for v, _ in five()), key=lambda v: v.id))
        for got, sent in zip(store.items(), items_of(five()), strict=True):
            assert (got.id, got.video_id, got.start_s, got.end_s) == (
                sent.id,
                sent.video_id,
                sent.start_s,
                sent.end_s,
            )
            assert (got.sound, got.has_frames) == (sent.sound, sent.has_frames)
            np.testing.assert_array_equal(got.seen, sent.seen.astype(np.float32))
            np.testing.assert_array_equal(got.heard, sent.heard.astype(np.float32))
            assert store.thumbnail(sent.id) == sent.thumbnail
        assert store.counts() == {"videos": 5, "items": 9}
        assert store.verify(full=True) == []


def test_tokens_have_the_order_of_the_ids(filled: Store):
    sent = items_of(five())[::-1] + items_of(five())[:2]
    got = filled.tokens([item.id for item in sent])
    for at, item in enumerate(sent):
        assert item.tokens is not None
        for name in ("frames", "frame_times_s", "audio", "audio_times_s"):
            mask = got.frame_mask if name.startswith("frame") else got.audio_mask
            stored = getattr(got, name)[at][mask[at]]
            np.testing.assert_array_equal(stored, getattr(item.tokens, name)[0])
            assert stored.dtype == getattr(item.tokens, name).dtype


def test_int8_tokens_stay_int8(store: Store):
    video, (item,) = make_video("small", items=1)
    tokens = make_tokens(3, frames=4, sounds=2, dtype="i1")
    store.put([(video, [dataclasses.replace(item, tokens=tokens)])])
    assert store.tokens([item.id]).frames.dtype == np.int8


def test_put_replaces_a_video_with_the_same_id(filled: Store):
    video, items = make_video("c", items=1, take=7)
    filled.put([(video, items)])
    assert filled.counts() == {"videos": 5, "items": 7}
    assert video in filled.videos()
    assert filled.thumbnail(items[0].id) == items[0].thumbnail
    assert items[0].tokens is not None
    np.testing.assert_array_equal(filled.tokens([items[0].id]).frames, items[0].tokens.frames)
    with pytest.raises(LibraryError, match="no tokens"):
        filled.tokens([f"{video.id}-0002"])
    assert filled.verify(full=True) == []


def test_removed_videos_are_gone(filled: Store):
    gone, items = make_video("c", items=3)
    filled.remove([gone.id, "unknown"])
    assert gone not in filled.videos()
    assert filled.counts() == {"videos": 4, "items": 6}
    assert not {item.id for item in items} & set(filled.summaries().ids)
    with pytest.raises(LibraryError, match="not in the library"):
        filled.thumbnail(items[0].id)
    filled.put([(gone, items)])
    assert filled.counts() == {"videos": 5, "items": 9}


def test_update_metadata_keeps_the_items(filled: Store):
    video, items = make_video("a", items=1)
    moved = dataclasses.replace(video, path="/it's/here.mp4", aliases=("/x", "/y"), note="hm")
    filled.update_metadata(moved)
    assert moved in filled.videos() and video not in filled.videos()
    assert filled.thumbnail(items[0].id) == items[0].thumbnail
    with pytest.raises(ValueError, match="not in the library"):
        filled.update_metadata(make_video("stranger")[0])


def test_an_empty_library(store: Store):
    assert store.videos() == () and list(store.items()) == []
    assert store.nearest("seen", np.ones(SEEN), k=5).ids == ()
    assert store.verify(full=True) == []


def test_invalid_items_are_refused_without_a_change(filled: Store):
    video, items = make_video("new")
    wide = dataclasses.replace(items[0], seen=np.ones(SEEN + 1))
    huge = dataclasses.replace(items[0], seen=np.full(SEEN, 1e9))
    bare = dataclasses.replace(items[0], tokens=None)
    for wrong in ([wide, items[1]], [huge, items[1]], [bare, items[1]], items[:1], items[:1] * 2):
        with pytest.raises(ValueError):
            filled.put([(video, wrong)])
    with pytest.raises(ValueError, match="only once"):
        filled.put([(video, items), (video, items)])
    assert filled.counts() == {"videos": 5, "items": 9}
    filled.put([(video, items)])
    assert filled.verify(full=True) == []


def test_a_reader_keeps_its_snapshot_until_it_refreshes(filled: Store):
    with Store.open(filled.root) as reader:
        old = make_video("a", items=1)[1][0]
        reader.summaries()
        filled.put([make_video("a", items=1, take=5), make_video("new")])
        filled.remove([make_video("b")[0].id])
        assert reader.counts() == {"videos": 5, "items": 9}
        assert reader.thumbnail(old.id) == old.thumbnail
        assert reader.tokens([old.id]).frames.shape == (1, 1, SEEN)
        reader.refresh()
        assert reader.counts() == {"videos": 5, "items": 9}
        assert make_video("new")[0] in reader.videos()
        with pytest.raises(ValueError, match="write=True"):
            reader.put([])


def test_a_write_while_a_reader_opens_the_tables_hides_nothing(
    filled: Store, monkeypatch: pytest.MonkeyPatch
):
    video, items = make_video("a", items=1, take=3)
    waiting = iter([[(video, items)]])
    open_table = snapshot.open_table

    def interrupted(backend: Backend, name: str) -> object:
        if name == "media":
            for batch in waiting:
                filled.put(batch)
        return open_table(backend, name)

    monkeypatch.setattr(snapshot, "open_table", interrupted)
    with Store.open(filled.root) as reader:
        assert reader.counts()["videos"] == 5 and video in reader.videos()


def test_the_journal_records_files(store: Store):
    good = FileRow(path="/a", size_bytes=1, mtime_us=2, sha256="f" * 64, state="ok")
    bad = FileRow(path="/b", size_bytes=1, mtime_us=2, sha256="", state="failed", error="no video")
    for row in (good, bad):
        store.journal.record(row)
    assert store.journal.find_unchanged("/a", 1, 2) == good
    assert store.journal.find_unchanged("/a", 1, 3) is None and store.journal.find("/a") == good
    with Store.open(store.root) as reader:
        assert reader.journal.failed() == [bad]
    store.journal.forget(["/b"])
    assert store.journal.find("/b") is None


def test_reindexing_with_another_model(filled: Store):
    other = {"engine": "other", "fingerprint": "f" * 64}
    filled.writer.write_catalog({"calibration": 1})
    filled.writer.begin_reindex(other, SEEN + 1, HEARD)
    todo = filled.writer.videos_to_reindex()
    assert todo == filled.videos()
    made = {v.id: [_wider(item) for item in items] for v, items in five()}
    filled.writer.put_reindexed([(video, made[video.id]) for video in todo[:3]])
    with pytest.raises(LibraryError, match="2 of 5 videos"):
        filled.writer.finish_reindex()
    assert filled.model == MODEL and filled.summaries().seen.shape == (9, SEEN)
    filled.close()
    with Store.open(filled.root, write=True) as store:
        assert store.writer.videos_to_reindex() == todo[3:]
        store.put([make_video("a", items=1, take=4)])
        store.writer.put_reindexed([(v, made[v.id]) for v in store.writer.videos_to_reindex()])
        store.writer.finish_reindex()
        assert store.model == other and store.summaries().seen.shape == (9, SEEN + 1)
        assert "calibration" not in store.snapshot.catalog
        assert store.verify(full=True) == []
        store.writer.begin_reindex(MODEL, SEEN, HEARD)
    with Store.open(filled.root, write=True) as store:
        assert store.counts() == {"videos": 5, "items": 9}


def _wider(item: Item) -> Item:
    return dataclasses.replace(item, seen=np.append(item.seen, 1.0))


def test_maintenance_changes_no_result(store: Store):
    for take in range(20):
        store.put([make_video(f"{take}"), make_video("same", take=take)])
    store.remove([make_video("3")[0].id])
    before = store.size_bytes(), store.counts(), store.nearest("seen", np.ones(SEEN), k=9)
    done = store.maintain()
    assert any(line.startswith("tok__") and "joined" in line for line in done), done
    assert not any("could not" in line for line in done), done
    after = store.nearest("seen", np.ones(SEEN), k=9)
    assert (after.ids, store.counts()) == (before[2].ids, before[1])
    assert store.verify(full=True) == []
    store.put([make_video("later")])
    with Store.open(store.root) as reader:
        assert reader.tokens([make_video("19")[1][0].id]).frames.shape == (1, 1, SEEN)


names = st.sampled_from("abcdef")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(names, min_size=1, max_size=3, unique=True)),
        st.tuples(st.just("remove"), st.lists(names, max_size=2, unique=True)),
        st.tuples(st.just("reopen"), st.just(list[str]())),
    ),
    max_size=7,
)


@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(steps=steps)
def test_any_sequence_of_writes_equals_those_to_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str]]]
):
    root: Path = tmp_path_factory.mktemp("any") / "library"
    store = Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    expected: dict[str, Put] = {}
    for take, (verb, chosen) in enumerate(steps):
        made = [make_video(name, items=1 + take % 2, take=take) for name in chosen]
        if verb == "put":
            store.put(made)
            expected |= {video.id: (video, items) for video, items in made}
        elif verb == "remove":
            store.remove([video.id for video, _ in made])
            expected = {k: v for k, v in expected.items() if k not in {v.id for v, _ in made}}
        else:
            store.close()
            store = Store.open(root, write=True)
    assert {video.id: video for video in store.videos()} == {k: v for k, (v, _) in expected.items()}
    sent = items_of(list(expected.values()))
    assert [store.thumbnail(item.id) for item in sent] == [item.thumbnail for item in sent]
    assert store.summaries().ids == tuple(item.id for item in sent)
    assert store.verify(full=True) == []
    store.close()
