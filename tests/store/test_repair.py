"""Libraries that were hurt, and folders that are none."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from samples import HEARD, MODEL, SEEN, TABLES, make_video

from seehear.errors import LibraryError
from seehear.store import FileRow, Store, disk, tables
from seehear.store.folder import QUARANTINE
from seehear.store.journal import Step


def head_of(store: Store, table: str) -> Path:
    return store.root / next(iter(store.place.manifests(table).values()))


@pytest.mark.parametrize("table", [*TABLES, "catalog"])
@pytest.mark.parametrize("left", ["nothing", "half", "zeros"])
def test_a_torn_head_is_put_aside_and_written_again(filled: Store, table: str, left: str):
    filled.put([make_video("last")])
    filled.set("calibration", 1)
    filled.close()
    head = head_of(filled, table)
    whole = head.read_bytes()
    torn = {"nothing": b"", "half": whole[: len(whole) // 2], "zeros": bytes(len(whole))}[left]
    head.write_bytes(torn)
    last, items = make_video("last")
    with Store.open(filled.root) as reader:  # nothing is written, so the last batch is not whole
        assert reader.counts()["videos"] == (5 if table in TABLES[:2] else 6)
        assert head.read_bytes() == torn
        assert any(f"'{table}' has versions" in line for line in reader.verify())
    with Store.open(filled.root, write=True) as store:
        assert last in store.videos() and store.counts()["videos"] == 6
        assert store.tokens([items[0].id]).frames.shape[0] == 1
        assert store.thumbnail(items[0].id) == items[0].thumbnail
        assert store.get("calibration") == 1
        assert store.verify(full=True) == []
        store.put([make_video("later")])
    (aside,) = (filled.root / QUARANTINE / table).iterdir()
    assert aside.read_bytes() == torn


def test_removals_survive_a_torn_head(filled: Store):
    filled.remove([make_video("a")[0].id])
    filled.close()
    head_of(filled, "videos").write_bytes(b"")
    with Store.open(filled.root, write=True) as store:
        assert store.counts()["videos"] == 4
        assert store.verify(full=True) == []


def test_what_cannot_be_written_again_is_looked_at_again(filled: Store):
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
    head_of(filled, "videos").write_bytes(b"")
    with Store.open(filled.root, write=True) as store:
        assert store.counts()["videos"] == 5
        assert store.journal.seen(video.path) is None and store.journal.seen(kept.path) == kept
        assert any("1 rows" in line or "2 rows" in line for line in store.verify())
        store.maintain()
        assert not any(" 2 rows" in line for line in store.verify())


def test_a_promised_batch_is_finished_at_the_next_start(
    filled: Store, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.delattr(tables, "commit")
        with pytest.raises(AttributeError):
            filled.put([make_video("last"), make_video("a", items=1, take=2)])
    filled.close()
    with Store.open(filled.root) as reader:
        assert reader.counts()["videos"] == 5
        assert any("wait to be finished" in line for line in reader.verify())
    with Store.open(filled.root, write=True) as store:
        assert {v.size_bytes for v in store.videos()} == {1000, 1002}
        assert store.counts()["videos"] == 6


def test_a_batch_whose_files_are_incomplete_is_given_up(filled: Store):
    batch_id = filled._write().committer.next_id()
    rows = tables.open_table(filled.place, "media")[0].to_table().slice(0, 1)
    fragments, files = tables.stage(filled.place, "media", rows)
    step = Step(table="media", fragments=fragments)
    filled._write().committer.begin([step], files, batch_id)
    filled.close()
    next(filled.root / name for name in files).write_bytes(b"short")
    with Store.open(filled.root, write=True) as store:
        assert all(batch.is_done for batch in store.journal.batches())
        assert store.counts() == {"videos": 5, "items": 9}
        assert [line for line in store.verify(full=True) if not line.startswith("note: ")] == []


def test_a_flipped_byte_in_tokens_is_found_and_refused(filled: Store):
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


def test_a_flipped_byte_in_a_summary_is_found(filled: Store):
    filled.close()
    _, items = make_video("c", items=3)
    flip(filled.root, "emb__*", items[2].seen.astype(np.float16).tobytes())
    with Store.open(filled.root) as store:
        (problem,) = store.verify(full=True)
        assert items[2].id in problem and "summaries" in problem


def flip(root: Path, table: str, content: bytes) -> None:
    """Change one bit of the only file that holds some bytes."""
    (file,) = (file for file in root.glob(f"{table}/data/*.lance") if content in file.read_bytes())
    raw = bytearray(file.read_bytes())
    raw[raw.index(content) + 3] ^= 4
    file.write_bytes(raw)


def test_a_lost_data_file_is_one_clear_sentence(filled: Store):
    filled.close()
    for file in filled.root.glob("tok__*/data/*"):
        file.unlink()
    with Store.open(filled.root) as store:
        with pytest.raises(LibraryError, match=r"could not be read.*seehear verify"):
            store.tokens([make_video("a")[1][0].id])
        assert any("could not be read" in line for line in store.verify())


def test_a_lost_table_is_one_clear_sentence(filled: Store):
    filled.close()
    (filled.root / "media").rename(filled.root / "gone")
    with pytest.raises(LibraryError, match=r"table 'media'.*not there"):
        Store.open(filled.root)


def test_a_broken_journal_is_put_aside(filled: Store):
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


def test_a_newer_layout_is_refused(filled: Store):
    filled._write().write_catalog({"schema": 99})
    filled.close()
    with pytest.raises(LibraryError, match=r"newer seehear \(layout 99.*update seehear"):
        Store.open(filled.root)


def test_folders_that_are_no_library(tmp_path: Path, filled: Store):
    with pytest.raises(LibraryError, match="no library at"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(LibraryError, match="already a library"):
        Store.create(filled.root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    strange = tmp_path / "films"
    strange.mkdir()
    (strange / "a.mp4").touch()
    with pytest.raises(LibraryError, match="something else"):
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
def test_file_systems_are_told_apart(path: str, kind: str):
    assert disk.file_system_of(Path(path), MOUNTS) == kind


def test_network_folders_are_refused():
    for path in ("/mnt/nas/library", "/mnt/my share"):
        with pytest.raises(LibraryError, match=r"network file system \((nfs4|cifs)\)"):
            disk.refuse_network_folder(Path(path), MOUNTS)
    disk.refuse_network_folder(Path("/home/me"), MOUNTS)
