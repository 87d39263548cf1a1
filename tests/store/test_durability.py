"""fsync: which files, in which order, and what happens when it fails."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from samples import TABLES, make_video

from seehear.store import Store
from seehear.store.backend import disk


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every path on which the store calls fsync, in order."""
    paths: list[Path] = []
    sync = disk.sync

    def counted(path: Path) -> None:
        paths.append(path)
        sync(path)

    monkeypatch.setattr(disk, "sync", counted)
    return paths


@pytest.mark.parametrize("stride", [7, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failing_fsync_loses_at_most_its_batch(
    filled: Store, monkeypatch: pytest.MonkeyPatch, stride: int
):
    sync = disk.sync
    for calls in range(1, 100, stride):
        old = {video.size_bytes for video in filled.videos()}
        left = iter([False] * calls + [True])

        def failing(path: Path, left: Iterator[bool] = left) -> None:
            if next(left, False):
                raise OSError(28, "No space left on device")
            sync(path)

        monkeypatch.setattr(disk, "sync", failing)
        with suppress(OSError):
            filled.put([make_video(name, take=calls) for name in ("a", "new")])
        is_over = next(left, None) is not None
        monkeypatch.setattr(disk, "sync", sync)
        with Store.open(filled.root) as reader:
            assert {video.size_bytes for video in reader.videos()} - old in (set(), {1000 + calls})
            reader.tokens(reader.summaries().ids)
        filled.put([make_video("a", take=calls), make_video("b", take=0)])
        assert filled.counts()["videos"] in (5, 6)
        if is_over:
            break
    assert 20 < calls < 99  # fsync calls of one put
    assert [line for line in filled.verify(full=True) if line[:5] != "note:"] == []


def test_every_new_file_and_its_folder_is_synced(filled: Store, synced: list[Path]):
    before = set(disk.tree(filled.root))
    filled.put([make_video("new"), make_video("a", items=1, take=3)])
    new = {
        path
        for path in set(disk.tree(filled.root)) - before
        if path.parent.name != filled.root.name and path.suffix != ".json"
    }
    kinds = {path.suffix for path in new}
    assert {".lance", ".manifest", ".txn", ".arrow"} <= kinds
    assert new <= set(synced)
    assert {path.parent for path in new} <= set(synced)


def test_data_is_synced_before_the_manifest_that_names_it(filled: Store, synced: list[Path]):
    filled.put([make_video("new")])
    for table in TABLES:
        inside = [path for path in synced if path.is_relative_to(filled.root / table)]
        suffixes = [path.suffix for path in inside if path.suffix]
        assert suffixes.index(".lance") < suffixes.index(".manifest")
    manifests = [path.parts[-3] for path in synced if path.suffix == ".manifest"]
    assert [name[:5] for name in manifests] == ["tok__", "media", "emb__", "video"]
