"""What an ingest would do: new, changed, renamed, duplicate, gone and unreadable files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest
from pathlib import Path

from seehear.errors import MediaError, UsageError
from seehear.media import probe, scan
from seehear.store import FileRow, Store
from seehear.types import MediaInfo, Paths, Video


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A file on disk, as it was when the plan was made."""

    path: str
    size_bytes: int
    mtime_us: int


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file to index: its identity by content, what its headers say, and its copies."""

    file: FoundFile
    sha256: str
    info: MediaInfo
    copies: tuple[FoundFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything an ingest will do, known before it starts."""

    new: tuple[NewFile, ...]
    renamed: tuple[tuple[FoundFile, Video], ...]  # known content under a new, or one more, path
    unchanged: int
    overwritten: tuple[tuple[str, str], ...]  # path, sha256 of what it held before
    gone: tuple[tuple[str, str], ...]  # the same for paths that no longer exist
    problems: tuple[tuple[str, str], ...]  # path, reason
    failed: tuple[FileRow, ...]  # the problems worth remembering

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
    """Look at files and folders; only files whose size or time changed are read.

    `retry` looks again at unchanged files that failed before. `on_file(done, total)` is called for
    every file that is read.
    """
    roots = listed(paths)
    found = scan(roots, exclude=exclude)
    problems = list(found.problems)
    todo: list[FoundFile] = []
    unchanged = 0
    held = {video.sha256 for video in store.videos()}
    for path in found.files:
        file = _look_at(path)
        if isinstance(file, str):
            problems.append((str(path), file))
            continue
        known = store.journal.known(file.path, file.size_bytes, file.mtime_us)
        if known is None or (retry if known.state == "failed" else known.sha256 not in held):
            todo.append(file)
        elif known.state == "failed":
            problems.append((file.path, known.error))
        else:
            unchanged += 1
    new, renamed, failed = _sort_out(store, todo, on_file)
    moved = {video.sha256 for _, video in renamed}
    owners = {path: video.sha256 for video in store.videos() for path in all_paths(video)}
    read = {file.path: new_file.sha256 for new_file in new for file in files_of(new_file)}
    read |= {file.path: video.sha256 for file, video in renamed}
    read |= {row.path: row.sha256 for row in failed}
    return Plan(
        new=new,
        renamed=renamed,
        unchanged=unchanged,
        overwritten=tuple(
            (path, old) for path, old in owners.items() if read.get(path, old) != old
        ),
        gone=tuple(
            (path, old)
            for path, old in owners.items()
            if old not in moved and is_below(path, roots) and not os.path.lexists(path)
        ),
        problems=(*problems, *((row.path, row.error) for row in failed)),
        failed=failed,
    )


def _look_at(path: Path) -> FoundFile | str:
    """A file as it is now, or why it cannot be indexed."""
    try:
        str(path).encode()
        status = path.stat()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8, so it cannot be kept; rename the file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return FoundFile(path=str(path), size_bytes=status.st_size, mtime_us=status.st_mtime_ns // 1000)


def _sort_out(
    store: Store, todo: Sequence[FoundFile], on_file: Callable[[int, int], None] | None
) -> tuple[tuple[NewFile, ...], tuple[tuple[FoundFile, Video], ...], tuple[FileRow, ...]]:
    known = {video.sha256: video for video in store.videos()}
    new: dict[str, NewFile] = {}
    renamed: list[tuple[FoundFile, Video]] = []
    failed: list[FileRow] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        hashes = pool.map(_hash, todo)
        for done, (file, sha256) in enumerate(zip(todo, hashes, strict=True), start=1):
            if on_file:
                on_file(done, len(todo))
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
    """Whether a file is no longer what it was when the plan was made."""
    try:
        status = Path(file.path).stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns // 1000) != (file.size_bytes, file.mtime_us)


def failed_row(file: FoundFile, reason: str) -> FileRow:
    """How the journal remembers a file that could not be indexed."""
    return FileRow(**asdict(file), sha256="", state="failed", error=reason)


def known_file(video: Video) -> NewFile:
    """A video of the library as a file to index again; what the headers said is known.

    A file of another size than recorded is told as changed; one that was only touched is not.
    """
    here = _look_at(Path(video.path))
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


def files_of(new: NewFile) -> tuple[FoundFile, ...]:
    """The file and its copies."""
    return (new.file, *new.copies)


def all_paths(video: Video) -> tuple[str, ...]:
    """Where the content of a video lies: its path, then its aliases."""
    return (video.path, *video.aliases)


def _with_path(video: Video, path: str) -> Video:
    """One more path; paths that no longer exist give way to it (a renamed file)."""
    kept = [p for p in all_paths(video) if p != path and os.path.lexists(p)]
    first, *aliases = [*kept, path]
    return replace(video, path=first, aliases=tuple(aliases))


def without_paths(video: Video, paths: set[str]) -> Video | None:
    """The video without these paths; None when no path is left."""
    kept = [path for path in all_paths(video) if path not in paths]
    return replace(video, path=kept[0], aliases=tuple(kept[1:])) if kept else None


def listed(paths: Paths) -> list[Path]:
    """Absolute paths without `~` and `..`, symlinks kept; a single path counts as a list of one.

    Raises: UsageError for the home of a user that does not exist.
    """
    alone = isinstance(paths, (str, Path))
    try:
        given = [Path(path).expanduser() for path in ([paths] if alone else paths)]
    except RuntimeError as error:
        raise UsageError(f"{paths}: {error}") from error
    return [Path(os.path.abspath(path)) for path in given]  # noqa: PTH100  keeps symlinks


def is_below(path: str, roots: Sequence[Path]) -> bool:
    """Whether a path is one of these places or lies below one."""
    return any(Path(path).is_relative_to(root) for root in roots)
