"""The library on disk: one writer, any number of readers, every batch all or nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Float, Float32

from seehear.errors import LibraryError
from seehear.store import check, disk, remodel, schema, summaries, tables, upkeep
from seehear.store.commit import QUARANTINE, Committer
from seehear.store.journal import FILE_NAME, Journal, Step
from seehear.store.snapshot import Snapshot, heads
from seehear.store.summaries import Column, Summaries
from seehear.types import Candidates, Filter, Item, Tokens, Video


class Store:
    """A library folder. Readers see one snapshot until `refresh`; a writer sees its own writes.

    Note: a reader that does not refresh for an hour may find its files cleaned away.
    """

    def __init__(self, root: Path, lock: FileLock | None) -> None:
        """Use `create` or `open`."""
        self.root = root
        self._lock = lock
        self._snapshot: Snapshot | None = None
        self._summaries: tuple[Snapshot, Summaries] | None = None

    @classmethod
    def create(
        cls, root: Path, *, model: Mapping[str, object], seen_dim: int, heard_dim: int
    ) -> Store:
        """A new library for one engine, opened for writing.

        Raises: LibraryError if the folder is not empty or lies on a network file system.
        """
        if not model.get("fingerprint"):
            raise ValueError("a model needs a 'fingerprint'")
        _refuse_taken(root)
        root.mkdir(parents=True, exist_ok=True)
        disk.refuse_network_folder(root)
        store = cls(root, _locked(root))
        with_dims = schema.item_schema(seen_dim, heard_dim)
        for name, columns in (
            (schema.VIDEOS, schema.video_schema()),
            (schema.MEDIA, schema.media_schema()),
            (schema.tok(model), schema.token_schema()),
            (schema.emb(model), with_dims),
            (schema.CATALOG, schema.catalog_schema()),
        ):
            tables.create_table(tables.table_path(root, name), columns)
        store._write_catalog({"schema": schema.VERSION, "model": dict(model)})
        return store
