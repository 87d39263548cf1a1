"""What a writer may do to a library, each as one batch of the committer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from seehear.errors import LibraryError
from seehear.store import schema, tables
from seehear.store.commit import Committer
from seehear.store.journal import Step
from seehear.store.place import Place
from seehear.store.snapshot import Snapshot
from seehear.store.staging import Staged, Staging, check_once, check_videos
from seehear.types import Item, Video

NEXT = "next_model"  # catalog key of the model that a re-index is filling
RESERVED = {"schema", "model", NEXT}


class Writer:
    """Adds, replaces, renames and removes videos; fills the tables of another model."""

    def __init__(self, place: Place, committer: Committer, *, is_stale: bool) -> None:
        """`is_stale`: another machine may have written since the journal was kept."""
        self.place = place
        self.root = place.root
        self.committer = committer
        self._is_stale = is_stale
        self.settle()

    def settle(self) -> None:
        """Finish what a crash or a failed write left, and learn what the library holds."""
        if not self.committer.is_unsure:
            return
        repaired = self.committer.recover(is_stale=self._is_stale)
        snapshot = Snapshot(self.place)
        self._model = snapshot.model
        self._next: dict[str, object] | None = snapshot.values.get(NEXT)
        self._revisions = dict(snapshot.revisions)
        self._drop_strange_tables()
        self.committer.next_id(above=max(self._revisions.values(), default=0))
        if repaired or self._is_stale:
            hashes = {video.sha256 for video in snapshot.videos.values()}
            self.committer.journal.forget_unless(hashes)
        self._is_stale = False

    def staging(self) -> Staging:
        """Where rows of this library may be laid down, here or elsewhere, under a new revision."""
        return Staging(
            root=str(self.root),
            model=self._model,
            dims=self._dims(self._model),
            rev=self.committer.next_id(above=max(self._revisions.values(), default=0)),
        )

    def put(
        self, videos: Sequence[tuple[Video, Sequence[Item]]], staged: Sequence[Staged] = ()
    ) -> None:
        """Add videos with their items, or replace those with the same id; some may lie here."""
        here = [self.staging().lay(videos, self.place)] if videos else []
        self._show([*staged, *here])

    def _show(self, staged: Sequence[Staged]) -> None:
        """Make rows visible that were laid down, all in one batch."""
        videos = [(video, each.rev) for each in staged for video in each.videos]
        if not videos:
            return
        ids = [video.id for video, _ in videos]
        check_once(ids)
        replaced = [video_id for video_id in ids if video_id in self._revisions]
        files = {name: size for each in staged for name, size in each.files.items()}
        newest = max(self._revisions.values(), default=0)
        self.committer.run(_steps(staged, replaced), self.committer.next_id(above=newest), files)
        revisions = {video.id: rev for video, rev in videos}
        self._revisions |= revisions
        if replaced:
            before = min(revisions[video_id] for video_id in replaced)
            where = f"video_id IN {schema.quoted(replaced)} AND rev < {before}"
            self._delete([(table, where) for table in self._item_tables()])

    def remove(self, video_ids: Sequence[str]) -> None:
        """Take videos out; unknown ids are passed over."""
        known = [video_id for video_id in video_ids if video_id in self._revisions]
        if not known:
            return
        ids = schema.quoted(known)
        heavy = [(table, f"video_id IN {ids}") for table in self._item_tables()]
        self._delete([(schema.VIDEOS, f"id IN {ids}"), *heavy])
        for video_id in known:
            del self._revisions[video_id]

    def relabel(self, videos: Sequence[Video]) -> None:
        """New paths, times or notes of known videos; their items stay."""
        unknown = [video.id for video in videos if video.id not in self._revisions]
        if unknown:
            raise ValueError(f"cannot relabel videos that were never put: {unknown[:3]}")
        where = f"id IN {schema.quoted([video.id for video in videos])}"
        rows = schema.video_rows([(video, self._revisions[video.id]) for video in videos])
        self._run([(Step(table=schema.VIDEOS, delete=where), rows)])

    def write_catalog(self, values: Mapping[str, object], *, drop: Sequence[str] = ()) -> None:
        """Set and drop values of the catalog in one commit."""
        where = f"key IN {schema.quoted([*values, *drop])}"
        rows = schema.catalog_rows(values)
        self._run([(Step(table=schema.CATALOG, delete=where), rows)])

    def adopt(self, steps: Sequence[tuple[Step, Any]]) -> None:
        """Rows as another library keeps them, in place of those of the same videos."""
        self._run(steps)

    def begin_model(self, model: Mapping[str, object], seen_dim: int, heard_dim: int) -> None:
        """Make empty tables for another model beside the present ones; again is harmless."""
        if schema.emb(model) == schema.emb(self._model):
            raise ValueError("the library already keeps this model")
        if self._next and schema.emb(self._next) != schema.emb(model):
            raise LibraryError(
                f"the library '{self.root}' is already being re-indexed with "
                f"{self._next.get('engine')}; finish that first"
            )
        for name, columns in (
            (schema.tok(model), schema.token_schema()),
            (schema.emb(model), schema.item_schema(seen_dim, heard_dim)),
        ):
            if not self.place.manifests(name):
                tables.create_table(self.place, name, columns.empty_table())
        self.write_catalog({NEXT: dict(model)})
        self._next = dict(model)

    def fill(self, videos: Sequence[tuple[Video, Sequence[Item]]]) -> None:
        """Items of known videos, made by the next model; invisible until `activate`."""
        check_videos(videos)
        model = self._begun()
        items = [item for _, its in videos for item in its]
        revs = [self._revisions[item.video_id] for item in items]
        where = f"video_id IN {schema.quoted([video.id for video, _ in videos])}"
        steps = [
            (Step(table=schema.tok(model), delete=where), schema.token_rows(items, revs)),
            (
                Step(table=schema.emb(model), delete=where),
                schema.item_rows(items, revs, self._dims(model)),
            ),
        ]
        self._run(steps)

    def to_fill(self) -> tuple[Video, ...]:
        """Videos that the next model has not indexed yet."""
        snapshot, model = Snapshot(self.place), self._begun()
        heads = [self.committer.head(name) for name in (schema.tok(model), schema.emb(model))]
        both = set.intersection(*(set(snapshot.keys(head)) for head in heads))
        filled = Counter(item_id.rsplit("-", 1)[0] for item_id in both)
        return tuple(v for v in snapshot.videos.values() if filled[v.id] != v.items)

    def activate(self) -> None:
        """Let the next model answer from now on, and drop the tables and values of the old one."""
        missing = len(self.to_fill())
        if missing:
            raise LibraryError(
                f"{missing} of {len(self._revisions)} videos of the library '{self.root}' are not "
                "indexed with the next model yet; index them before changing over"
            )
        model = self._begun()
        keys = [key for key in Snapshot(self.place).values if key not in RESERVED]
        self.write_catalog({"model": model}, drop=[NEXT, *keys])
        self._model, self._next = model, None
        self._drop_strange_tables()

    def _drop_strange_tables(self) -> None:
        kept = self._item_tables()
        held = self.place.heads()
        strange = [name for name in held if name[:5] in ("emb__", "tok__") and name not in kept]
        if strange:
            for batch in self.committer.journal.batches():
                self.committer.journal.drop(batch)  # they name tables that will be gone
        for table in strange:
            self.committer.moved(table)
            self.place.drop(table)

    def _begun(self) -> dict[str, object]:
        if self._next is None:
            raise ValueError("begin_model must be called first")
        return self._next

    def _item_tables(self) -> list[str]:
        models = [self._model, *([self._next] if self._next else [])]
        return [name(model) for model in models for name in (schema.emb, schema.tok)] + [
            schema.MEDIA
        ]

    def _dims(self, model: Mapping[str, object]) -> tuple[int, int]:
        fields = self.committer.head(schema.emb(model)).schema
        return fields.field("seen").type.list_size, fields.field("heard").type.list_size

    def _delete(self, wheres: Sequence[tuple[str, str]]) -> None:
        self._run([(Step(table=table, delete=where), None) for table, where in wheres])

    def _run(self, steps: Sequence[tuple[Step, Any]]) -> None:
        self.committer.run(steps, self.committer.next_id())


def _steps(staged: Sequence[Staged], replaced: Sequence[str]) -> list[tuple[Step, Any]]:
    """Items first, then the videos that make them visible in place of their old rows."""
    videos = [(video, each.rev) for each in staged for video in each.videos]
    ids = schema.quoted([video.id for video, _ in videos])
    revs = f"rev IN ({', '.join(sorted({str(rev) for _, rev in videos}))})"
    laid: dict[str, list[str]] = defaultdict(list)
    for each in staged:
        for table, fragments in each.fragments.items():
            laid[table] += fragments
    where = f"id IN {schema.quoted(replaced)}" if replaced else ""
    shown = Step(table=schema.VIDEOS, delete=where, undo=f"{revs} AND id IN {ids}")
    undo = f"{revs} AND video_id IN {ids}"
    return [
        *((Step(table=name, fragments=found, undo=undo), None) for name, found in laid.items()),
        (shown, schema.video_rows(videos)),
    ]
