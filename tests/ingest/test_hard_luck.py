"""Ingest of difficult input: odd names, changing files, crashing processes, full disks."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import seehear
from media.media_clips import BLUE, GREEN, RED, tone, write_clip
from seehear import Filter, Library
from seehear.engine.tags import TagsEngine
from seehear.errors import LibraryError, MediaError, NothingDoneError, UsageError
from seehear.ingest import index_file


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    write_clip(folder / "red.mp4", shots=[(0, RED)], seconds=2, sounds=[tone(2)])
    write_clip(folder / "green.mp4", shots=[(0, GREEN)], seconds=2)
    return folder


@pytest.fixture
def library(tags_engine: TagsEngine, tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library") as made:
        yield made


def test_a_single_path_is_not_a_list_of_letters(films: Path, library: Library) -> None:
    assert library.add(str(films)).indexed == 2
    with pytest.raises(NothingDoneError):
        library.remove("/nowhere/a.mp4")
    assert len(library.videos()) == 2
    assert library.remove(films / "red.mp4") == 1


def test_a_name_that_is_not_utf8_is_reported(films: Path, library: Library) -> None:
    target = os.path.join(os.fsencode(films), b"bad\xff\xfename.mp4")  # noqa: PTH118
    with open(target, "wb") as file:  # noqa: PTH123
        file.write((films / "red.mp4").read_bytes())
    report = library.add([films])
    assert report.indexed == 2
    assert [reason for _, reason in report.problems] == [
        "its name is not valid UTF-8 and cannot be stored; rename the file"
    ]


def test_a_file_replaced_after_the_plan_is_not_stored_under_the_old_content(
    films: Path, library: Library
) -> None:
    plan = library.plan([films])
    time.sleep(0.01)
    write_clip(films / "red.mp4", shots=[(0, BLUE)], seconds=3)
    report = library.add([films], plan=plan)
    assert [(Path(p).name, why) for p, why in report.problems] == [
        ("red.mp4", "changed while it was being indexed")
    ]
    assert library.add([films]).indexed == 1


def test_a_file_deleted_after_the_scan_is_reported(
    films: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seehear.ingest import plan
    from seehear.media import Scan

    ghost = films / "ghost.mp4"
    monkeypatch.setattr(
        plan, "scan", lambda roots, exclude: Scan(files=(ghost, films / "red.mp4"), problems=())
    )
    report = library.add([films])
    assert report.indexed == 1
    assert report.problems[0][0] == str(ghost)


def test_an_unexpected_error_in_one_file_is_reported(
    films: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnail = index_file.thumbnail

    def failing(frame):
        if frame[..., 1].mean() > 150:
            raise ZeroDivisionError("green is too much")
        return thumbnail(frame)

    monkeypatch.setattr(index_file, "thumbnail", failing)
    report = library.add([films])
    assert report.indexed == 1
    assert "unexpected ZeroDivisionError: green is too much" in report.problems[0][1]


def test_paths_with_dots_are_resolved(
    films: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add([films])
    (films / "sub").mkdir()
    monkeypatch.chdir(films / "sub")
    assert len(library.search("red", where=Filter(folder="..")).hits) == 2
    assert library.remove([Path("../red.mp4")]) == 1


def test_failed_files_are_forgotten_by_prune_and_remove(films: Path, library: Library) -> None:
    for name in ("a.mp4", "b.mp4"):
        (films / name).write_bytes(b"junk " + name.encode())
    library.add([films])
    assert len(library.status().failed) == 2
    (films / "a.mp4").unlink()
    library.add([films], prune=True)
    assert [Path(path).name for path, _ in library.status().failed] == ["b.mp4"]
    assert library.remove([films / "b.mp4"]) == 1
    assert library.status().failed == ()


def test_a_renamed_file_is_not_reported_as_gone(films: Path, library: Library) -> None:
    library.add([films])
    (films / "red.mp4").rename(films / "crimson.mp4")
    report = library.add([films])
    assert (report.renamed, report.gone) == (1, ())


def test_invalid_search_arguments_are_refused(films: Path, library: Library) -> None:
    library.add([films])
    for limit in (0, -1):
        with pytest.raises(UsageError):
            library.search("red", limit=limit)
    for wrong in ({"mode": "sound"}, {"stage1": "heard"}):
        with pytest.raises(UsageError):
            library.search("red", **wrong)
    assert library.search("\udcff\udcfe red").hits


def test_a_picture_without_a_decoder_is_refused(library: Library, tmp_path: Path) -> None:
    drawing = tmp_path / "a.svg"
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    with pytest.raises(MediaError):
        library.search(like=drawing)


def test_a_damaged_journal_only_needs_a_rescan(films: Path, tags_engine, tmp_path: Path) -> None:
    root = tmp_path / "library"
    with Library.create(root) as library:
        library.add([films])
    for file in root.glob("journal.sqlite*"):
        file.unlink()
    (root / "journal.sqlite").write_bytes(b"junk" * 999)
    with Library.open(root) as library:
        assert library.status().videos == 2
        assert library.add([films]).indexed == 0
        assert library.verify(full=True) == []


def test_a_location_that_cannot_be_written_is_an_error(films: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    done = seehear(tmp_path, "index", str(films), "-l", str(blocker / "library"))
    assert done.returncode == LibraryError.exit_code
    assert done.stderr.splitlines()[-1].startswith("seehear: ")
    assert "Traceback" not in done.stderr


def test_a_dry_run_creates_no_library(films: Path, tmp_path: Path, tags_engine) -> None:
    root = tmp_path / "none"
    done = seehear(tmp_path, "index", str(films), "-l", str(root), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "plan: 2 new files" in done.stderr
    assert not root.exists()
