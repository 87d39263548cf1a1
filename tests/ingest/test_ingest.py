"""Ingest of real files: new, changed, moved, copied, deleted, damaged, interrupted."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from media.media_clips import BLUE, GREEN, RED, tone, write_clip
from seehear import Library
from seehear.engine.tags import TagsEngine
from seehear.errors import LibraryError, NothingDoneError
from seehear.ingest import IndexedFile, NewFile, index_files, isolate
from seehear.store import Store


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    write_clip(folder / "red.mp4", shots=[(0, RED)], sounds=[tone(4, (1, 2))])
    write_clip(folder / "green.mp4", shots=[(0, GREEN)])
    write_clip(folder / "blue.mkv", shots=[(0, BLUE)], sounds=[np.zeros((2, 192000), np.float32)])
    return folder


@pytest.fixture
def library(tags_engine: TagsEngine, tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library") as made:
        yield made


def paths(library: Library) -> dict[str, tuple[str, ...]]:
    return {Path(v.path).name: tuple(Path(a).name for a in v.aliases) for v in library.videos()}


def test_new_files_are_indexed_once(films: Path, library: Library) -> None:
    report = library.add([films])
    assert (report.indexed, report.items, report.silent) == (3, 3, 2)
    assert {v.path.rsplit("/")[-1]: v.sound for v in library.videos()} == {
        "red.mp4": "sound",
        "green.mp4": "none",
        "blue.mkv": "silent",
    }
    again = library.add([films])
    assert (again.indexed, again.unchanged) == (0, 3)
    assert library.verify(full=True) == []


def test_a_moved_file_is_not_indexed_again(films: Path, library: Library) -> None:
    library.add([films])
    (films / "red.mp4").rename(films / "crimson 'n' \n東京.mp4")
    report = library.add([films])
    assert (report.indexed, report.renamed) == (0, 1)
    assert "crimson 'n' \n東京.mp4" in paths(library)
    assert "red.mp4" not in paths(library)


def test_a_file_renamed_and_renamed_back_keeps_its_path(films: Path, library: Library) -> None:
    """Also a folder, there and back; pruning removes nothing that is there."""
    library.add([films])
    film = next(path for path in sorted(films.iterdir()) if path.suffix == ".mp4")
    for old, new in ((film, films / "y.mp4"), (films, films.with_name("elsewhere"))):
        for source, target in ((old, new), (new, old)):
            source.rename(target)
            library.add([films.parent], prune=True)
            there = [path for path in films.parent.rglob("*.m*") if path.suffix in (".mp4", ".mkv")]
            assert {video.path for video in library.videos()} == set(map(str, there))


def test_copies_are_one_video_with_aliases(films: Path, library: Library) -> None:
    shutil.copy(films / "red.mp4", films / "same.mp4")
    library.add([films])
    assert paths(library)["red.mp4"] == ("same.mp4",)
    shutil.copy(films / "green.mp4", films / "later.mp4")
    assert library.add([films]).renamed == 1
    assert paths(library)["green.mp4"] == ("later.mp4",)
    (films / "red.mp4").unlink()
    library.add([films], prune=True)
    assert "same.mp4" in paths(library)
    assert len(paths(library)) == 3


def test_a_changed_file_replaces_the_old_video(films: Path, library: Library) -> None:
    library.add([films])
    old = {v.id for v in library.videos()}
    write_clip(films / "green.mp4", shots=[(0, BLUE)], seconds=3)
    report = library.add([films])
    assert report.indexed == 1
    assert len(library.videos()) == 3
    assert len({v.id for v in library.videos()} - old) == 1


def test_deleted_files_stay_until_pruned(films: Path, library: Library) -> None:
    library.add([films])
    (films / "green.mp4").unlink()
    assert len(library.add([films]).gone) == 1
    assert len(library.videos()) == 3
    assert library.add([films], prune=True).pruned == 1
    assert len(library.videos()) == 2


def test_prune_leaves_other_folders_alone(films: Path, library: Library, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_clip(other / "far.mp4", shots=[(0, BLUE)], seconds=2)
    library.add([films, other])
    shutil.rmtree(other)
    assert library.add([films], prune=True).pruned == 0
    assert "far.mp4" in paths(library)


def test_a_bad_file_is_reported_and_recorded(films: Path, library: Library) -> None:
    (films / "bad.mp4").write_bytes(b"not a video at all")
    report = library.add([films])
    assert report.indexed == 3
    assert [Path(path).name for path, _ in report.problems] == ["bad.mp4"]
    assert [Path(path).name for path, _ in library.status().failed] == ["bad.mp4"]
    again = library.add([films])  # unchanged: reported again, not read again
    assert [Path(path).name for path, _ in again.problems] == ["bad.mp4"]
    write_clip(films / "bad.mp4", shots=[(0, BLUE)], seconds=2)
    assert library.add([films]).indexed == 1
    assert library.status().failed == ()


def test_a_file_overwritten_with_junk_removes_its_old_video(films: Path, library: Library) -> None:
    library.add([films])
    (films / "green.mp4").write_bytes(b"overwritten by accident")
    report = library.add([films])
    assert len(report.problems) == 1
    assert "green.mp4" not in paths(library)


def test_worker_processes_give_the_same_result_as_one_process(
    films: Path, tags_engine: TagsEngine, tmp_path: Path
) -> None:
    write_clip(films / "four.mp4", shots=[(0, RED), (1, BLUE)], sounds=[tone(4, (0, 4))])
    scores = []
    for workers in (1, 2):
        with Library.create(tmp_path / f"library{workers}") as library:
            assert library.add([films], workers=workers).indexed == 4
            hits = library.search("a red traffic light").hits
            scores.append([(hit.item_id, round(hit.score, 4)) for hit in hits])
    assert scores[0] == scores[1]


def _crash(new: NewFile) -> IndexedFile:
    """Simulate a decoder that crashes on one file."""
    if Path(new.file.path).name == "green.mp4":
        os.kill(os.getpid(), signal.SIGKILL)
    return _WORK(new)


_WORK = isolate._work


def test_a_crashing_decoder_costs_one_file_not_the_run(
    films: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        write_clip(films / f"more{i}.mp4", shots=[(0, BLUE)], seconds=2 + i)
    monkeypatch.setattr(isolate, "_work", _crash)
    report = library.add([films], workers=2)
    assert report.indexed == 5
    assert [(Path(p).name, "crash" in reason) for p, reason in report.problems] == [
        ("green.mp4", True)
    ]


def test_reindex_with_other_weights_keeps_the_old_index_until_done(
    films: Path, library: Library, tags_engine: TagsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add([films])
    with pytest.raises(NothingDoneError, match="already indexed with"):
        library.reindex()
    other = dict(tags_engine.manifest, fingerprint="e" * 64)
    monkeypatch.setattr(TagsEngine, "manifest", property(lambda self: other))
    backup = (films / "green.mp4").read_bytes()
    (films / "green.mp4").unlink()
    with pytest.raises(LibraryError, match="the old index stays"):
        library.reindex()
    assert library.status().fingerprint != "e" * 64
    (films / "green.mp4").write_bytes(backup)
    report = library.reindex()
    assert (report.indexed, report.items, report.silent) == (
        1,
        1,
        1,
    )  # the others in the first attempt
    assert library.status().fingerprint == "e" * 64
    assert len(library.search("green").hits) == 3


def test_one_process_searches_while_another_adds(films: Path, library: Library) -> None:
    library.add([films / "red.mp4"])
    with Store.open(library._store.root, write=True):
        assert library.search("red").hits
        with pytest.raises(LibraryError, match="another process"):
            library.add([films])


def test_a_long_film_becomes_items_of_8_to_32_seconds(library: Library, tmp_path: Path) -> None:
    shots = [(0.0, RED), (21.0, GREEN), (50.0, BLUE)]
    film = write_clip(tmp_path / "long.mp4", seconds=80, fps=10, shots=shots)
    library.add([film])
    items = sorted((item.start_s, item.end_s) for item in library.items())
    assert items[0][0] == 0.0
    assert items[-1][1] == pytest.approx(80, abs=0.3)
    assert all(8 <= end - start <= 32.01 for start, end in items)
    assert any(abs(start - 21) < 0.6 for start, _ in items)
    assert all(a[1] == b[0] for a, b in pairwise(items))


def test_workers_do_not_write_into_a_folder_of_this_machine(films: Path, library: Library) -> None:
    staging: list[object] = []

    def indexer(engine, files, **options):
        staging.append(options["staging"])
        yield from index_files(engine, files, **options)

    assert library.add([films], indexer=indexer).indexed == 3
    assert staging == [None]


def test_remove_deletes_files_and_folders(films: Path, library: Library) -> None:
    library.add([films])
    assert library.remove([films / "red.mp4"]) == 1
    assert library.remove([films]) == 2
    with pytest.raises(NothingDoneError):
        library.remove([films])
    assert library.add([films]).indexed == 3


def test_filters_limit_a_search(films: Path, library: Library) -> None:
    from seehear import Filter

    library.add([films])
    names = lambda where: {Path(h.path).name for h in library.search("red", where=where).hits}  # noqa: E731
    assert names(Filter(has_sound=True)) == {"red.mp4"}
    assert names(Filter(has_sound=False)) == {"green.mp4", "blue.mkv"}
    assert names(Filter(folder=str(films / "nowhere"))) == set()
    assert names(Filter(min_duration_s=100)) == set()
    assert names(Filter(added_since_us=int(time.time() * 1e6) + 10**9)) == set()
    assert len(names(Filter(folder=str(films)))) == 3


def test_modes_leave_out_items_without_that_modality(films: Path, library: Library) -> None:
    library.add([films])
    assert len(library.search("a beep", mode="seen").hits) == 3
    (heard,) = library.search("a beep", mode="heard").hits
    assert Path(heard.path).name == "red.mp4"
    assert heard.seen == 0.0
    assert heard.score == heard.heard


def test_contributions_add_up_and_silence_gets_the_average(films: Path, library: Library) -> None:
    library.add([films])
    hits = {Path(h.path).name: h for h in library.search("a loud beep").hits}
    for hit in hits.values():
        assert hit.seen + hit.heard == pytest.approx(hit.score)
    # one item has sound, so its score is the average
    assert hits["green.mp4"].heard == pytest.approx(hits["red.mp4"].heard, rel=1e-3)


def test_the_union_finds_what_stage_1_by_sight_misses(
    library: Library, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A barking horse and a silent dog: with one candidate per list, sight alone finds the dog."""
    names = ("contrast/horse__wrong.mp4", "contrast/dog__noaudio.mp4", "pairs/farm_cat.mp4")
    library.add([shared_data / "media" / name for name in names])
    nearest = Store.nearest
    monkeypatch.setattr(
        Store,
        "nearest",
        lambda s, c, v, *, k, where: nearest(s, c, v, k=1 if k == 100 else k, where=where),
    )
    found = {
        stage1: [Path(hit.path).name for hit in library.search("barking", stage1=stage1).hits]
        for stage1 in ("union", "seen", "all")
    }
    assert set(found.pop("all")) == {Path(name).name for name in names}
    assert found == {
        "union": ["horse__wrong.mp4", "dog__noaudio.mp4"],
        "seen": ["dog__noaudio.mp4"],
    }
