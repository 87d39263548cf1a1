"""Damaged libraries, interrupted batches, and folders that are not a library."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from samples import HEARD, MODEL, SEEN, TABLES, make_video

from seehear.errors import LibraryError
from seehear.store import FileRow, Store
from seehear.store.backend import disk
from seehear.store.backend.journal import TableChange
from seehear.store.backend.local import QUARANTINE
from seehear.store.tables import commit
from seehear.store.tables.lance import open_table, write_fragments


def latest_manifest(store: Store, table: str) -> Path:
    return store.root / next(iter(store.backend.manifests(table).values()))


@pytest.mark.parametrize("table", [*TABLES, "catalog"])
@pytest.mark.parametrize("left", ["nothing", "half", "zeros"])
def test_a_torn_manifest_is_quarantined_and_its_commit_repeated(
    filled: Store, table: str, left: str
):
    filled.put([make_video("last")])
    filled.writer.write_catalog({"calibration": 1})
    filled.close()
    manifest = latest_manifest(filled, table)
    raw = manifest.read_bytes()
    torn = {"nothing": b"", "half": raw[: len(raw) // 2], "zeros": bytes(len(raw))}[left]
    manifest.write_bytes(torn)
    last, items = make_video("last")
    with Store.open(filled.root) as reader:  # the last batch is incomplete
        assert reader.counts()["videos"] == (5 if table in TABLES[:2] else 6)
        assert manifest.read_bytes() == torn
        assert any(f"'{table}' has versions" in line for line in reader.verify())
    with Store.open(filled.root, write=True) as store:
        assert last in store.videos() and store.counts()["videos"] == 6
        assert store.tokens([items[0].id]).frames.shape[0] == 1
        assert store.thumbnail(items[0].id) == items[0].thumbnail
        assert store.snapshot.catalog["calibration"] == 1
        assert store.verify(full=True) == []
        store.put([make_video("later")])
    (quarantined,) = (filled.root / QUARANTINE / table).iterdir()
    assert quarantined.read_bytes() == torn


def test_removals_survive_a_torn_manifest(filled: Store):
    filled.remove([make_video("a")[0].id])
    filled.close()
    latest_manifest(filled, "videos").write_bytes(b"")
    with Store.open(filled.root, write=True) as store:
        assert store.counts()["videos"] == 4
        assert store.verify(full=True) == []


def test_files_of_a_lost_commit_are_indexed_again(filled: Store):
    video, _ = make_video("last")
    filled.put([(video, make_video("last")[1])])
    row = FileRow(path=video.path, size_bytes=1, mtime_us=2, sha256=video.sha256, state="ok")
    kept = FileRow(
        path="/films/a.mp4", size_bytes=1, mtime_us=2, sha256=make_video("a")[0].sha256, state="ok"
    )
    for each in (row, kept):
        filled.journal.record(each)
    with sqlite3.connect(filled.root / "journal.sqlite") as journal:
        journal.execute("DELETE FROM batches")
    journal.close()
    filled.close()
    latest_manifest(filled, "videos").write_bytes(b"")
    with Store.open(filled.root, write=True) as store:
        assert store.counts()["videos"] == 5
        assert store.journal.find(video.path) is None and store.journal.find(kept.path) == kept
        assert any("2 unused rows" in line for line in store.verify())
        store.maintain()
        assert not any("unused rows" in line for line in store.verify())


def test_an_interrupted_batch_is_finished_by_the_next_writer(
    filled: Store, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.delattr(commit, "commit_change")
        with pytest.raises(NameError):
            filled.put([make_video("last"), make_video("a", items=1, take=2)])
    filled.close()
    with Store.open(filled.root) as reader:
        assert reader.counts()["videos"] == 5
        assert any("unfinished batches: 1" in line for line in reader.verify())
    with Store.open(filled.root, write=True) as store:
        assert {v.size_bytes for v in store.videos()} == {1000, 1002}
        assert store.counts()["videos"] == 6


def test_an_interrupted_batch_with_incomplete_files_is_rolled_back(filled: Store):
    committer = filled.writer.committer
    rows = open_table(filled.backend, "media")[0].to_table().slice(0, 1)
    fragments, files = write_fragments(filled.backend, "media", rows)
    change = TableChange(table="media", fragments=fragments)
    committer.begin([change], files, committer.next_id())
    filled.close()
    next(filled.root / name for name in files).write_bytes(b"short")
    with Store.open(filled.root, write=True) as store:
        assert all(batch.is_done for batch in store.journal.batches())
        assert store.counts() == {"videos": 5, "items": 9}
        assert [line for line in store.verify(full=True) if not line.startswith("note: ")] == []


def test_a_flipped_bit_in_tokens_is_found_and_refused(filled: Store):
    filled.close()
    _, items = make_video("c", items=3)
    assert items[1].tokens is not None
    flip(filled.root, "tok__*", items[1].tokens.frames.tobytes())
    with Store.open(filled.root) as store:
        (problem,) = store.verify(full=True)
        assert items[1].id in problem and "checksum" in problem
        with pytest.raises(LibraryError, match=rf"{items[1].id}.*damaged.*seehear verify"):
            store.tokens([items[0].id, items[1].id])
        assert store.tokens([items[0].id]).frames.shape[0] == 1


def test_a_flipped_bit_in_a_summary_is_found(filled: Store):
    filled.close()
    _, items = make_video("c", items=3)
    flip(filled.root, "emb__*", items[2].seen.astype(np.float16).tobytes())
    with Store.open(filled.root) as store:
        (problem,) = store.verify(full=True)
        assert items[2].id in problem and "summaries" in problem


def flip(root: Path, table: str, content: bytes) -> None:
    """Change one bit of the only file that contains these bytes."""
    (file,) = (file for file in root.glob(f"{table}/data/*.lance") if content in file.read_bytes())
    raw = bytearray(file.read_bytes())
    raw[raw.index(content) + 3] ^= 4
    file.write_bytes(raw)


def test_a_missing_data_file_is_an_error(filled: Store):
    filled.close()
    for file in filled.root.glob("tok__*/data/*"):
        file.unlink()
    with Store.open(filled.root) as store:
        with pytest.raises(LibraryError, match=r"could not be read.*seehear verify"):
            store.tokens([make_video("a")[1][0].id])
        assert any("could not be read" in line for line in store.verify())


def test_a_missing_table_is_an_error(filled: Store):
    filled.close()
    (filled.root / "media").rename(filled.root / "gone")
    with pytest.raises(LibraryError, match=r"table 'media'.*does not exist"):
        Store.open(filled.root)


def test_a_damaged_journal_is_quarantined(filled: Store):
    filled.close()
    for name in ("journal.sqlite-wal", "journal.sqlite-shm"):
        (filled.root / name).unlink(missing_ok=True)
    (filled.root / "journal.sqlite").write_bytes(
        b"no database at all, and longer than its header" * 9
    )
    with Store.open(filled.root, write=True) as store:
        assert store.counts()["videos"] == 5
        store.put([make_video("later")])
        assert store.verify(full=True) == []


def test_a_library_of_a_newer_version_is_refused(filled: Store):
    filled.writer.write_catalog({"schema": 99})
    filled.close()
    with pytest.raises(LibraryError, match=r"newer seehear \(layout 99.*update seehear"):
        Store.open(filled.root)


def test_folders_that_are_not_a_library_are_refused(tmp_path: Path, filled: Store):
    with pytest.raises(LibraryError, match="no library at"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(LibraryError, match="already a library"):
        Store.create(filled.root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    strange = tmp_path / "films"
    strange.mkdir()
    (strange / "a.mp4").touch()
    with pytest.raises(LibraryError, match="contains other files"):
        Store.open(strange)
    with pytest.raises(LibraryError, match="not an empty folder"):
        Store.create(strange, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    assert [path.name for path in strange.iterdir()] == ["a.mp4"]


MOUNTS = r"""/dev/vda1 / ext4 rw 0 0
proc /proc proc rw 0 0
nas:/films /mnt/nas nfs4 rw 0 0
//box/share /mnt/my\040share cifs rw 0 0
/dev/sdb1 /mnt/nas/local xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/library", "ext4"),
        ("/mnt/nas/library", "nfs4"),
        ("/mnt/nasty", "ext4"),
        ("/mnt/my share/deep/library", "cifs"),
        ("/mnt/nas/local/library", "xfs"),
    ],
)
def test_file_system_of_a_path(path: str, kind: str):
    assert disk.file_system_of(Path(path), MOUNTS) == kind


def test_network_folders_are_refused():
    for path in ("/mnt/nas/library", "/mnt/my share"):
        with pytest.raises(LibraryError, match=r"network file system \((nfs4|cifs)\)"):
            disk.refuse_network_folder(Path(path), MOUNTS)
    disk.refuse_network_folder(Path("/home/me"), MOUNTS)
