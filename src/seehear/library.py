"""`Library`: the one object that commands, the service and Python code use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from seehear import ingest
from seehear.engine import Engine, create_engine, load_engine
from seehear.errors import NothingDoneError
from seehear.ingest import Indexer, Plan, Progress, Report, absolute_paths, index_files
from seehear.search import Stage1, preload_frames, search
from seehear.store import Store, backend_for, is_below
from seehear.types import (
    Answer,
    Clip,
    Filter,
    Item,
    Mode,
    Paths,
    Query,
    Status,
    Tokens,
    Video,
)


class Library:
    """A searchable index of your videos and sounds, in a folder or on S3.

    with Library.create("my.seehear") as library:
        library.add(["~/Videos"])
        for hit in library.search("a dog barking").hits:
            print(hit.path, hit.start_s, hit.end_s, hit.confidence)
    """

    def __init__(self, store: Store) -> None:
        """Use `create` or `open`."""
        self._store = store

    @classmethod
    def create(
        cls, root: str | Path, *, engine: str = "auto", models: str | Path | None = None
    ) -> Library:
        """A new, empty library in a new folder, or at `s3://bucket/prefix`; chooses its engine.

        `models` is a folder of weights for `clip-ast`; with it, "auto" means that engine.
        Raises: ModelError without weights; LibraryError for a folder in use or a network folder.
        """
        chosen = create_engine(engine, models=Path(models) if models else None)
        dims = {"seen_dim": chosen.seen_dim, "heard_dim": chosen.heard_dim}
        Store.create(root, model=chosen.manifest, **dims).close()
        return cls.open(root)

    @classmethod
    def open(cls, root: str | Path) -> Library:
        """An existing library. Raises: LibraryError if it is missing or cannot be read."""
        return cls(Store.open(root))

    @staticmethod
    def is_at(root: str | Path) -> bool:
        """Whether the folder or prefix already has content."""
        return not backend_for(root).is_empty()

    @cached_property
    def engine(self) -> Engine:
        """The library's engine. Raises: ModelError if it cannot be loaded."""
        return load_engine(self._store.model)

    def plan(
        self,
        paths: Paths,
        *,
        exclude: Sequence[str] = (),
        retry: bool = False,
        on_file: Callable[[int, int], None] | None = None,
    ) -> Plan:
        """What `add` would do with these files and folders."""
        return ingest.make_plan(self._store, paths, exclude=exclude, retry=retry, on_file=on_file)

    def add(
        self,
        paths: Paths,
        *,
        plan: Plan | None = None,
        prune: bool = False,
        workers: int | None = None,
        indexer: Indexer = index_files,
        progress: Progress | None = None,
    ) -> Report:
        """Index files and folders; unchanged files are skipped, unreadable ones reported.

        Everything that an interrupted run committed stays. `prune` removes missing files below
        `paths`. Raises: LibraryError while another process writes.
        """
        engine = self.engine
        with Store.open(self._store.root, write=True) as writer:
            todo = plan or ingest.make_plan(writer, paths)
            report = ingest.run(
                engine,
                writer,
                todo,
                prune=prune,
                workers=workers,
                indexer=indexer,
                progress=progress,
            )
        self._store.refresh()
        return report

    def reindex(
        self,
        engine: str = "auto",
        *,
        models: str | Path | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Index all files again with another engine; the old index answers until it is done.

        Raises: NothingDoneError without a change; LibraryError if a file can no longer be read.
        """
        chosen = create_engine(engine, models=Path(models) if models else None)
        with Store.open(self._store.root, write=True) as writer:
            report = ingest.reindex(chosen, writer, workers=workers, progress=progress)
        self._store.refresh()
        self.__dict__.pop("engine", None)
        return report

    def search(
        self,
        text: str = "",
        *,
        like: str | Path | Clip | Item = "",
        mode: Mode = "both",
        audio_weight: float | None = None,
        limit: int = 10,
        where: Filter | None = None,
        stage1: Stage1 = "union",
    ) -> Answer:
        """The best moments for a text, or the most similar ones to an example.

        `like` is a sound, picture or clip (a path, or decoded) or an item of this library.
        Raises: UsageError for an invalid query; MediaError for an unreadable example.
        """
        clip = like if isinstance(like, Clip) else None
        place = clip.path if clip else "" if isinstance(like, Item) or not like else str(like)
        query = Query(
            text=text,
            like=str(Path(place).expanduser()) if place else "",
            item=like.id if isinstance(like, Item) else "",
            mode=mode,
            audio_weight=audio_weight,
        )
        return self._search(query, limit=limit, where=where, stage1=stage1, clip=clip)

    def _search(
        self, query: Query, *, limit: int, where: Filter | None, stage1: Stage1, clip: Clip | None
    ) -> Answer:
        return search(
            self.engine, self._store, query, limit=limit, where=where, stage1=stage1, clip=clip
        )

    def item(self, item_id: str) -> Item:
        """One item. Raises: LibraryError if it is unknown."""
        return self._store.item(item_id)

    def video(self, video_id: str) -> Video:
        """One indexed file. Raises: LibraryError if it is unknown."""
        return self._store.video(video_id)

    def thumbnail(self, item_id: str) -> bytes:
        """A small picture of an item; empty for sound only."""
        return self._store.thumbnail(item_id)

    def items(self, *, where: Filter | None = None) -> Iterator[Item]:
        """All items that pass the filter, with their summary vectors."""
        return self._store.items(where=where)

    def tokens(self, item_ids: Sequence[str]) -> Tokens:
        """Stored tokens of items, in the given order."""
        return self._store.tokens(item_ids)

    def videos(self) -> tuple[Video, ...]:
        """All indexed files; equal files count once."""
        return self._store.videos()

    def status(self) -> Status:
        """Counts of the library, and files that could not be indexed."""
        videos, counts = self._store.videos(), self._store.counts()
        return Status(
            root=str(self._store.root),
            engine=str(self._store.model["engine"]),
            fingerprint=str(self._store.model["fingerprint"]),
            videos=counts["videos"],
            items=counts["items"],
            hours=sum(video.duration_s for video in videos) / 3600,
            without_sound=sum(video.sound != "sound" for video in videos),
            failed=tuple((row.path, row.error) for row in self._store.journal.failed()),
            size_bytes=self._store.size_bytes(),
        )

    def remove(self, paths: Paths) -> int:
        """Remove files, or all below folders; returns how many. Raises: NothingDoneError."""
        roots = absolute_paths(paths)
        known = ((path, v.sha256) for v in self._store.videos() for path in (v.path, *v.aliases))
        lost = [(path, sha256) for path, sha256 in known if is_below(path, *roots)]
        failed = [row.path for row in self._store.journal.failed() if is_below(row.path, *roots)]
        if not lost and not failed:
            raise NothingDoneError(f"nothing indexed at {', '.join(map(str, roots))}")
        with Store.open(self._store.root, write=True) as writer:
            ingest.remove_paths(writer, lost)
            writer.journal.forget([*failed, *(path for path, _ in lost)])
        self._store.refresh()
        return len(lost) + len(failed)

    def verify(self, *, full: bool = False) -> list[str]:
        """One sentence per problem; `full` compares every checksum."""
        return [line for line in self._store.verify(full=full) if not line.startswith("note: ")]

    def maintain(self) -> list[str]:
        """Compact the tables and delete old versions; one sentence per step."""
        with Store.open(self._store.root, write=True) as writer:
            done = writer.maintain(lambda: self.engine.calibration_queries())
        self._store.refresh()
        return done

    def preload_frames(self) -> int:
        """Load the frames of all items into memory, about 7 kB each: sight is then exact.

        Reads only what is new since the last call; returns how many items are loaded: 0 with the
        engine `tags`, which needs none, and above 100,000 items.
        """
        return preload_frames(self.engine, self._store)

    def refresh(self) -> None:
        """Load changes that other processes have committed."""
        self._store.refresh()

    def close(self) -> None:
        """Close the tables."""
        self._store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
