"""Writes to a library, each as one batch of the committer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from seehear.errors import LibraryError, counted
from seehear.store.backend.journal import TableChange
from seehear.store.backend.protocol import CATALOG, MEDIA, VIDEOS
from seehear.store.read.snapshot import Snapshot
from seehear.store.tables import schema
from seehear.store.tables.commit import Committer
from seehear.store.tables.lance import create_table
from seehear.store.write.staging import StagedRows, Staging, check_unique, check_videos
from seehear.types import Item, Video

if TYPE_CHECKING:
    import pyarrow as pa

    Changes = Sequence[tuple[TableChange, pa.Table | None]]

NEXT_MODEL = "next_model"  # catalog key of the model of an unfinished re-index


class Writer:
    """Adds, replaces, updates and removes videos; fills the tables of another model."""

    def __init__(self, committer: Committer, *, is_stale: bool) -> None:
        """`is_stale`: another machine may have written since this one last did."""
        self.backend = committer.backend
        self.committer = committer
        self._is_stale = is_stale
        self.recover()

    def recover(self) -> None:
        """After the start or a failed batch: repair the tables and read what they contain."""
        if not self.committer.needs_recovery:
            return
        is_repaired = self.committer.recover(is_stale=self._is_stale)
        snapshot = Snapshot(self.backend)
        self._model = snapshot.model
        self._next_model: dict[str, object] | None = snapshot.catalog.get(NEXT_MODEL)
        self._revisions = dict(snapshot.revisions)
        self._drop_unused_tables()
        self._next_id()
        if is_repaired or self._is_stale:
            hashes = {video.sha256 for video in snapshot.videos.values()}
            self.committer.journal.forget_except(hashes)
        self._is_stale = False

    def staging(self) -> Staging:
        """Return what workers need to write fragments of a new revision."""
        return Staging(
            root=str(self.backend.root),
            model=self._model,
            dims=self._dims(self._model),
            rev=self._next_id(),
        )

    def put(
        self, videos: Sequence[tuple[Video, Sequence[Item]]], staged: Sequence[StagedRows] = ()
    ) -> None:
        """Add or replace videos with their items, and those that workers staged, in one batch."""
        own = [self.staging().write_fragments(videos, self.backend)] if videos else []
        self._publish([*staged, *own])

    def _publish(self, staged: Sequence[StagedRows]) -> None:
        revisions = {video.id: each.rev for each in staged for video in each.videos}
        check_unique([video.id for each in staged for video in each.videos])
        if not revisions:
            return
        replaced = [video_id for video_id in revisions if video_id in self._revisions]
        files = {name: size for each in staged for name, size in each.files.items()}
        self.committer.commit(_changes(staged, replaced), self._next_id(), files)
        self._revisions |= revisions
        if replaced:
            before = min(revisions[video_id] for video_id in replaced)
            condition = f"video_id IN {schema.sql_list(replaced)} AND rev < {before}"
            self._delete(dict.fromkeys(self._item_tables(), condition))

    def remove(self, video_ids: Sequence[str]) -> None:
        """Remove videos with their items; unknown ids are ignored."""
        known = [video_id for video_id in video_ids if video_id in self._revisions]
        if not known:
            return
        ids = schema.sql_list(known)
        items = dict.fromkeys(self._item_tables(), f"video_id IN {ids}")
        self._delete({VIDEOS: f"id IN {ids}"} | items)
        for video_id in known:
            del self._revisions[video_id]

    def update_metadata(self, videos: Sequence[Video]) -> None:
        """Replace paths, times and notes of known videos; their items are not touched."""
        unknown = [video.id for video in videos if video.id not in self._revisions]
        if unknown:
            raise ValueError(f"cannot update videos that are not in the library: {unknown[:3]}")
        condition = f"id IN {schema.sql_list(video.id for video in videos)}"
        rows = schema.video_rows([(video, self._revisions[video.id]) for video in videos])
        self.replace_rows([(TableChange(table=VIDEOS, delete=condition), rows)])

    def write_catalog(self, values: Mapping[str, object], *, drop: Sequence[str] = ()) -> None:
        """Set and delete values of the catalog in one commit."""
        condition = f"key IN {schema.sql_list([*values, *drop])}"
        rows = schema.catalog_rows(values)
        self.replace_rows([(TableChange(table=CATALOG, delete=condition), rows)])

    def replace_rows(self, changes: Changes) -> None:
        """Commit changes, with the rows to add, as one batch."""
        self.committer.commit(changes, self.committer.next_id())

    def begin_reindex(self, model: Mapping[str, object], seen_dim: int, heard_dim: int) -> None:
        """Create empty tables for another model, or continue with those of an earlier call."""
        name_of = schema.summaries_table
        if name_of(model) == name_of(self._model):
            raise ValueError("the library already uses this model")
        if self._next_model and name_of(model) != name_of(self._next_model):
            raise LibraryError(
                f"the library '{self.backend.root}' is already being re-indexed with "
                f"{self._next_model.get('engine')}; finish that first"
            )
        for name, columns in (
            (schema.tokens_table(model), schema.token_schema()),
            (schema.summaries_table(model), schema.item_schema(seen_dim, heard_dim)),
        ):
            if not self.backend.manifests(name):
                create_table(self.backend, name, columns.empty_table())
        self.write_catalog({NEXT_MODEL: dict(model)})
        self._next_model = dict(model)

    def put_reindexed(self, videos: Sequence[tuple[Video, Sequence[Item]]]) -> None:
        """Add items of known videos from the next model; invisible until `finish_reindex`."""
        check_videos(videos)
        model = self._begun_model()
        items = [item for _, its in videos for item in its]
        revs = [self._revisions[item.video_id] for item in items]
        condition = f"video_id IN {schema.sql_list(video.id for video, _ in videos)}"
        rows = {
            schema.tokens_table(model): schema.token_rows(items, revs),
            schema.summaries_table(model): schema.item_rows(items, revs, self._dims(model)),
        }
        changes = ((TableChange(table=name, delete=condition), rows[name]) for name in rows)
        self.replace_rows(list(changes))

    def videos_to_reindex(self) -> tuple[Video, ...]:
        """Return the videos without items of the next model."""
        snapshot, model = Snapshot(self.backend), self._begun_model()
        tables = (schema.tokens_table(model), schema.summaries_table(model))
        rows = (snapshot.current_rows(self.committer.table(name)) for name in tables)
        in_both = set.intersection(*({item_id for item_id, _, _ in each} for each in rows))
        items = Counter(item_id.rsplit("-", 1)[0] for item_id in in_both)
        return tuple(v for v in snapshot.videos.values() if items[v.id] != v.items)

    def finish_reindex(self) -> None:
        """Switch to the next model; drop the tables and catalog values of the old one."""
        missing = len(self.videos_to_reindex())
        if missing:
            raise LibraryError(
                f"the next model's index lacks {missing} of "
                f"{counted(len(self._revisions), 'video')} of the library '{self.backend.root}'; "
                "index the rest first"
            )
        model = self._begun_model()
        old = Snapshot(self.backend).catalog.keys() - {"schema", "model"}
        self.write_catalog({"model": model}, drop=sorted(old))
        self._model, self._next_model = model, None
        self._drop_unused_tables()

    def _drop_unused_tables(self) -> None:
        used, prefixes = self._item_tables(), (schema.SUMMARIES_PREFIX, schema.TOKENS_PREFIX)
        found = self.backend.latest_versions()
        unused = [name for name in found if name.startswith(prefixes) and name not in used]
        if unused:
            for batch in self.committer.journal.batches():
                self.committer.journal.delete_batch(batch)  # they name the dropped tables
        for table in unused:
            self.committer.invalidate(table)
            self.backend.delete_folder(table)

    def _begun_model(self) -> dict[str, object]:
        if self._next_model is None:
            raise ValueError("call begin_reindex first")
        return self._next_model

    def _item_tables(self) -> list[str]:
        models = [self._model, *([self._next_model] if self._next_model else [])]
        names = (schema.summaries_table, schema.tokens_table)
        return [name(model) for model in models for name in names] + [MEDIA]

    def _dims(self, model: Mapping[str, object]) -> tuple[int, int]:
        columns = self.committer.table(schema.summaries_table(model)).schema
        return columns.field("seen").type.list_size, columns.field("heard").type.list_size

    def _delete(self, conditions: Mapping[str, str]) -> None:
        """Delete rows of several tables, by table and SQL condition, in this order."""
        self.replace_rows(
            [(TableChange(table=t, delete=sql), None) for t, sql in conditions.items()]
        )

    def _next_id(self) -> int:
        return self.committer.next_id(above=max(self._revisions.values(), default=0))


def _changes(staged: Sequence[StagedRows], replaced: Sequence[str]) -> Changes:
    """Items first, then the videos that make them visible in place of their old rows."""
    videos = [(video, each.rev) for each in staged for video in each.videos]
    ids = schema.sql_list(video.id for video, _ in videos)
    revs = f"rev IN ({', '.join(sorted({str(rev) for _, rev in videos}))})"
    fragments: dict[str, list[str]] = defaultdict(list)
    for each in staged:
        for table, written in each.fragments.items():
            fragments[table] += written
    undo = f"{revs} AND video_id IN {ids}"
    items = [TableChange(table=t, fragments=f, undo=undo) for t, f in fragments.items()]
    old = f"id IN {schema.sql_list(replaced)}" if replaced else ""
    shown = TableChange(table=VIDEOS, delete=old, undo=f"{revs} AND id IN {ids}")
    return [*((item, None) for item in items), (shown, schema.video_rows(videos))]
