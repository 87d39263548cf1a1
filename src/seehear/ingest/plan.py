"""Ingest plan: which files are new, changed, renamed, duplicate, gone or unreadable."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest
from pathlib import Path

from seehear.errors import MediaError, UsageError
from seehear.media import probe, scan
from seehear.store import FileRow, Store, is_below
from seehear.types import MediaInfo, Paths, Video


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A file on disk at the time of the plan."""

    path: str
    size_bytes: int
    mtime_us: int


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file to index: its content hash, its headers, and other files with the same content."""

    file: FoundFile
    sha256: str
    info: MediaInfo
    copies: tuple[FoundFile, ...] = ()

    @property
    def files(self) -> tuple[FoundFile, ...]:
        """The file and its copies."""
        return (self.file, *self.copies)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an ingest will do."""

    new: tuple[NewFile, ...]
    renamed: tuple[tuple[FoundFile, Video], ...]  # known content with a new or additional path
    unchanged: int
    overwritten: tuple[tuple[str, str], ...]  # path, sha256 of its former content
    gone: tuple[tuple[str, str], ...]  # the same for paths that no longer exist
    problems: tuple[tuple[str, str], ...]  # path, reason
    failed: tuple[FileRow, ...]  # problems to record in the journal

    @property
    def hours(self) -> float:
        return sum(new.info.duration_s for new in self.new) / 3600

    @property
    def without_sound(self) -> int:
        return sum(not new.info.has_audio for new in self.new)


def make_plan(
    store: Store,
    paths: Paths,
    *,
    exclude: Sequence[str] = (),
    retry: bool = False,
    on_file: Callable[[int, int], None] | None = None,
) -> Plan:
    """Scan files and folders; read only files whose size or modification time changed.

    `retry` also reads unchanged files that failed before. `on_file(done, total)` is called for
    every file that is read.
    """
    roots = absolute_paths(paths)
    found = scan(roots, exclude=exclude)
    to_read, unchanged, problems = _compare(store, found.files, retry=retry)
    new, renamed, failed = _identify(store, to_read, on_file)
    before = {path: video.sha256 for video in store.videos() for path in paths_of(video)}
    now = {file.path: each.sha256 for each in new for file in each.files}
    now |= {file.path: video.sha256 for file, video in renamed}
    now |= {row.path: row.sha256 for row in failed}
    moved = {video.sha256 for _, video in renamed}
    return Plan(
        new=new,
        renamed=renamed,
        unchanged=unchanged,
        overwritten=tuple((p, old) for p, old in before.items() if now.get(p, old) != old),
        gone=tuple(
            (path, old)
            for path, old in before.items()
            if old not in moved and is_below(path, *roots) and not os.path.lexists(path)
        ),
        problems=(*found.problems, *problems, *((row.path, row.error) for row in failed)),
        failed=failed,
    )


def _compare(
    store: Store, paths: Sequence[Path], *, retry: bool
) -> tuple[list[FoundFile], int, list[tuple[str, str]]]:
    """Files to read, the number of unchanged files, and problems, by the journal.

    A file is unchanged only under a path that the library shows: one that was renamed and renamed
    back is in the journal, but must be identified again.
    """
    to_read: list[FoundFile] = []
    problems: list[tuple[str, str]] = []
    unchanged = 0
    shown = {path: video.sha256 for video in store.videos() for path in paths_of(video)}
    for path in paths:
        file = _stat(path)
        if isinstance(file, str):
            problems.append((str(path), file))
            continue
        known = store.journal.find_unchanged(file.path, file.size_bytes, file.mtime_us)
        has_failed = known is not None and known.state == "failed"
        is_shown = known is not None and shown.get(file.path) == known.sha256
        if known is None or (retry if has_failed else not is_shown):
            to_read.append(file)
        elif has_failed:
            problems.append((file.path, known.error))
        else:
            unchanged += 1
    return to_read, unchanged, problems


def _stat(path: Path) -> FoundFile | str:
    """Size and modification time of a file, or why it cannot be indexed."""
    try:
        str(path).encode()
        status = path.stat()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8 and cannot be stored; rename the file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return FoundFile(path=str(path), size_bytes=status.st_size, mtime_us=status.st_mtime_ns // 1000)


def _identify(
    store: Store, files: Sequence[FoundFile], on_file: Callable[[int, int], None] | None
) -> tuple[tuple[NewFile, ...], tuple[tuple[FoundFile, Video], ...], tuple[FileRow, ...]]:
    """Hash files: those with new content, those with known content, and those that failed."""
    known = {video.sha256: video for video in store.videos()}
    new: dict[str, NewFile] = {}
    renamed: list[tuple[FoundFile, Video]] = []
    failed: list[FileRow] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        hashes = pool.map(_hash, files)
        for done, (file, sha256) in enumerate(zip(files, hashes, strict=True), start=1):
            if on_file:
                on_file(done, len(files))
            if isinstance(sha256, OSError):
                failed.append(failed_row(file, f"cannot be read: {sha256.strerror}"))
            elif sha256 in known:
                known[sha256] = _with_path(known[sha256], file.path)
                renamed.append((file, known[sha256]))
            elif sha256 in new:
                new[sha256] = replace(new[sha256], copies=(*new[sha256].copies, file))
            else:
                try:
                    new[sha256] = NewFile(file=file, sha256=sha256, info=probe(Path(file.path)))
                except MediaError as error:
                    failed.append(failed_row(file, str(error)))
    return tuple(new.values()), tuple(renamed), tuple(failed)


def _hash(file: FoundFile) -> str | OSError:
    try:
        with Path(file.path).open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return error


def has_changed(file: FoundFile) -> bool:
    """Whether a file has changed since the plan was made."""
    return _stat(Path(file.path)) != file


def failed_row(file: FoundFile, reason: str) -> FileRow:
    """Journal row of a file that could not be indexed."""
    return FileRow(**asdict(file), sha256="", state="failed", error=reason)


def file_to_reindex(video: Video) -> NewFile:
    """Describe a video of the library as a file to index again, without reading its headers.

    A size mismatch marks the file as changed; another modification time alone does not.
    """
    here = _stat(Path(video.path))
    mtime_us = here.mtime_us if isinstance(here, FoundFile) else video.mtime_us
    return NewFile(
        file=FoundFile(path=video.path, size_bytes=video.size_bytes, mtime_us=mtime_us),
        sha256=video.sha256,
        info=MediaInfo(
            path=video.path,
            duration_s=video.duration_s,
            fps=video.fps,
            width=video.width,
            height=video.height,
            rotation_deg=0,
            has_video=video.width > 0,
            has_audio=video.sound != "none",
            audio_rate_hz=video.audio_rate_hz,
            codec=video.codec,
        ),
    )


def paths_of(video: Video) -> tuple[str, ...]:
    """All paths of a video: its path, then its aliases."""
    return (video.path, *video.aliases)


def _with_path(video: Video, path: str) -> Video:
    """Add a path; paths that no longer exist are dropped (the file was renamed)."""
    kept = [p for p in paths_of(video) if p != path and os.path.lexists(p)]
    first, *aliases = [*kept, path]
    return replace(video, path=first, aliases=tuple(aliases))


def without_paths(video: Video, paths: set[str]) -> Video | None:
    """Remove paths; None if no path is left."""
    kept = [path for path in paths_of(video) if path not in paths]
    return replace(video, path=kept[0], aliases=tuple(kept[1:])) if kept else None


def absolute_paths(paths: Paths) -> list[Path]:
    """Expand `~` and `..` in one or several paths; symbolic links are kept.

    Raises: UsageError for the home of a user that does not exist.
    """
    is_single = isinstance(paths, (str, Path))
    try:
        given = [Path(path).expanduser() for path in ([paths] if is_single else paths)]
    except RuntimeError as error:
        raise UsageError(f"{paths}: {error}") from error
    return [Path(os.path.abspath(path)) for path in given]  # noqa: PTH100  keeps symlinks
