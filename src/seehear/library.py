"""The one object behind every face: it wires the rooms and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from seehear import ingest
from seehear.engine import Engine, create_engine, load_engine
from seehear.errors import NothingDoneError
from seehear.ingest import Plan, Progress, Report, Work, index_all, is_below, listed
from seehear.search import Stage1, preload_frames, search
from seehear.store import Store, backend_for
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
    """A folder of tables that remembers what was seen and heard in your videos.

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
        """A new, empty library in a folder of its own, or below `s3://bucket/prefix`.

        The engine is chosen here, once.

        `models` is a folder of weights for `clip-ast`; with it, "auto" means that engine.
        Raises: ModelError without the weights; LibraryError for a taken folder or a network one.
        """
        chosen = create_engine(engine, models=Path(models) if models else None)
        Store.create(
            root,
            model=chosen.manifest,
            seen_dim=chosen.seen_dim,
            heard_dim=chosen.heard_dim,
        ).close()
        return cls.open(root)

    @classmethod
    def open(cls, root: str | Path) -> Library:
        """An existing library. Raises: LibraryError if there is none or it cannot be read."""
        return cls(Store.open(root))

    @staticmethod
    def is_at(root: str | Path) -> bool:
        """Whether something lies at a place already."""
        return not backend_for(root).is_empty()

    @cached_property
    def engine(self) -> Engine:
        """The engine the library was built with. Raises: ModelError if it cannot be loaded."""
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
        wanted = listed(paths)
        return ingest.make_plan(self._store, wanted, exclude=exclude, retry=retry, on_file=on_file)

    def add(
        self,
        paths: Paths,
        *,
        plan: Plan | None = None,
        prune: bool = False,
        workers: int | None = None,
        work: Work = index_all,
        progress: Progress | None = None,
    ) -> Report:
        """Index files and folders; unchanged files are passed over, bad ones are reported.

        What an interrupted run committed stays. `prune` takes out files below `paths` that no
        longer exist. Raises: LibraryError while another process adds.
        """
        engine = self.engine
        with Store.open(self._store.root, write=True) as writer:
            todo = plan or ingest.make_plan(writer, listed(paths))
            report = ingest.run(
                engine,
                writer,
                todo,
                prune=prune,
                workers=workers,
                work=work,
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

        Raises: NothingDoneError without a change; LibraryError if a file cannot be read any more.
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
        """The best moments for a text, or for what they should be like.

        `like` is a sound, picture or clip (a path, or read already) or a moment of this library.
        Raises: UsageError for a question that cannot be meant; MediaError for a bad example.
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
        """One moment. Raises: LibraryError if it is not here."""
        return self._store.item(item_id)

    def video(self, video_id: str) -> Video:
        """One indexed file. Raises: LibraryError if it is not here."""
        return self._store.video(video_id)

    def thumbnail(self, item_id: str) -> bytes:
        """A small picture of an item, empty where there is nothing to see."""
        return self._store.thumbnail(item_id)

    def items(self, *, where: Filter | None = None) -> Iterator[Item]:
        """All moments that pass, with their summary vectors."""
        return self._store.items(where=where)

    def tokens(self, item_ids: Sequence[str]) -> Tokens:
        """Stored tokens of moments, in the order asked for."""
        return self._store.tokens(item_ids)

    def videos(self) -> tuple[Video, ...]:
        """All indexed files, by content."""
        return self._store.videos()

    def status(self) -> Status:
        """What the library holds, and what could not be indexed."""
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
        """Take files, or all below folders, out; returns how many. Raises: NothingDoneError."""
        roots = listed(paths)
        lost = [
            (path, video.sha256)
            for video in self._store.videos()
            for path in (video.path, *video.aliases)
            if is_below(path, roots)
        ]
        failed = [row.path for row in self._store.journal.failed() if is_below(row.path, roots)]
        if not lost and not failed:
            raise NothingDoneError(f"nothing indexed at {', '.join(map(str, roots))}")
        with Store.open(self._store.root, write=True) as writer:
            ingest.drop_paths(writer, lost)
            writer.journal.forget([*failed, *(path for path, _ in lost)])
        self._store.refresh()
        return len(lost) + len(failed)

    def verify(self, *, full: bool = False) -> list[str]:
        """Problems in words, none if all is well; `full` compares every checksum."""
        return [line for line in self._store.verify(full=full) if not line.startswith("note: ")]

    def maintain(self) -> list[str]:
        """Compact the tables and clear away what old versions left; what was done, in words."""
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
        """Look at what another process added."""
        self._store.refresh()

    def close(self) -> None:
        """Let go of the tables."""
        self._store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
