"""Scanning folders: extensions, hidden files, links, loops, patterns, unreadable entries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seehear.media import scan


@contextmanager
def without_root() -> Iterator[None]:
    """Run without the rights of root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def fill(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return sorted(folder / name for name in names)


def test_media_are_found_by_extension_and_sorted(tmp_path: Path) -> None:
    wanted = fill(tmp_path, "b.mp4", "a/z.MKV", "a/y.mp3", '日本/it\'s "\n".webm', "c.d/e.Ogg")
    fill(tmp_path, "a.txt", "b.jpg", ".hidden.mp4", ".git/x.mp4", "mp4", "code.ts")
    (tmp_path / "broadcast.ts").write_bytes(b"G" + bytes(187))
    (tmp_path / "folder.mp4").mkdir()
    found = scan([tmp_path])
    assert found.files == tuple(sorted([*wanted, tmp_path / "broadcast.ts"]))
    assert found.problems == ()
    assert scan([tmp_path, tmp_path / "a", tmp_path]) == found


def test_file_given_by_its_path_always_counts(tmp_path: Path) -> None:
    (named,) = fill(tmp_path, ".odd.name")
    assert scan([named], exclude=["*"]).files == (named,)


def test_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\xfe.mp4")).write_bytes(b"x")
    assert len(scan([tmp_path]).files) == 1


def test_exclude_by_name_and_by_path(tmp_path: Path) -> None:
    kept, *_ = fill(tmp_path, "a/keep.mp4", "a/x.m4a", "trailers/t.mp4", "b/c/d.mp4")
    assert scan([tmp_path], exclude=["*.m4a", "trailers", "*/b/c"]).files == (kept,)


def test_link_loops_end_and_each_folder_counts_once(tmp_path: Path) -> None:
    wanted = fill(tmp_path, "z/real.mp4", "z/deep/more.mp4")
    (tmp_path / "a-link").symlink_to(tmp_path / "z")
    (tmp_path / "z/deep/up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    found = scan([tmp_path])
    assert found.files == tuple(sorted(wanted))
    assert found.problems == ()


def test_links_are_followed(tmp_path: Path) -> None:
    (outside,) = fill(tmp_path, "elsewhere/x.mp4")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.mp4").symlink_to(outside)
    (inside / "more").symlink_to(outside.parent)
    assert scan([inside]).files == (inside / "link.mp4", inside / "more/x.mp4")


def test_unreadable_paths_are_problems(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if "pytest-of-" in str(parent):  # folders of pytest, closed to others
            parent.chmod(0o755)
    fine, locked_file, inside = fill(tmp_path, "a.mp4", "b.mp4", "locked/c.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    locked_file.chmod(0)
    inside.parent.chmod(0)
    with without_root():
        found = scan([tmp_path, tmp_path / "absent"])
    inside.parent.chmod(0o755)
    assert found.files == (fine,)
    assert dict(found.problems) == {
        str(locked_file): "Permission denied",
        str(inside.parent): "Permission denied",
        str(tmp_path / "pipe.mp4"): "not a regular file",
        str(tmp_path / "gone.mp4"): "No such file or directory",
        str(tmp_path / "absent"): "No such file or directory",
    }


def test_empty_folder_and_no_paths(tmp_path: Path) -> None:
    assert scan([tmp_path]).files == ()
    assert scan([]).problems == ()


@pytest.mark.parametrize("name", ["x.mp4", "x.mov", "x.wav", "x.opus", "x.avi", "x.flac", "x.m2ts"])
def test_common_extensions_count(tmp_path: Path, name: str) -> None:
    assert scan([tmp_path]).files == () and fill(tmp_path, name)
    assert scan([tmp_path]).files == (tmp_path / name,)
