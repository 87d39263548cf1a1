"""Create, open, commit and compact one Lance table, durably.

Lance never calls fsync. A commit therefore has two steps: write and sync the data files, then write
and sync the manifest that names them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from seehear.errors import LibraryError
from seehear.store.backend.journal import TableChange
from seehear.store.backend.protocol import MAX_VERSION, Backend

if TYPE_CHECKING:
    import pyarrow as pa
    from lance import LanceDataset as Dataset
    from lance.dataset import Index
    from lance.fragment import FragmentMetadata

DATA_FORMAT = "2.2"  # the first Lance file format with blob columns of the second kind
SEARCHED_VERSIONS = 64

os.environ.setdefault("LANCE_LOG", "error")  # read when Lance is first imported


def open_table(backend: Backend, name: str) -> tuple[Dataset, list[str]]:
    """Open the newest readable version of a table; also return newer manifests, all unreadable.

    Raises: LibraryError if the table does not exist or no version can be read.
    Note: versions are opened by number, because Lance opens a manifest of zeros as an empty table.
    """
    import lance

    torn: list[str] = []
    options = backend.lance_options
    for version, manifest in backend.manifests(name).items():
        try:
            uri = backend.table_uri(name)
            return lance.dataset(uri, version=version, storage_options=options), torn
        except (ValueError, OSError):
            backend.check_available()
            torn.append(manifest)
    reason = "no version of it can be read" if torn else "it does not exist"
    raise LibraryError(
        f"table '{name}' of the library '{backend.root}' is damaged ({reason}); restore the "
        "library from a copy, or delete it and index the videos again"
    )


def create_table(backend: Backend, name: str, rows: pa.Table) -> None:
    """Create a table with these columns and rows; durable on return."""
    import lance

    lance.write_dataset(
        rows,
        backend.table_uri(name),
        schema=rows.schema,
        data_storage_version=DATA_FORMAT,
        storage_options=backend.lance_options,
    )
    backend.sync([*backend.file_sizes(f"{name}/"), f"{name}/_versions"])  # syncs the root too


def write_fragments(
    backend: Backend, table: str, rows: pa.Table
) -> tuple[list[str], dict[str, int]]:
    """Write rows durably without committing them: fragments as JSON, and the sizes of their files.

    File names are relative to the library.
    """
    from lance.fragment import write_fragments

    fragments = write_fragments(
        rows,
        backend.table_uri(table),
        rows.schema,
        mode="append",
        data_storage_version=DATA_FORMAT,
        storage_options=backend.lance_options,
    )
    written = [fragment.to_json() for fragment in fragments]
    sizes: dict[str, int] = {}
    for file in (file for each in written for file in each["files"]):
        path = f"{table}/data/{file['path']}"
        sizes |= backend.file_sizes(path) | backend.file_sizes(path.removesuffix(".lance") + "/")
    backend.sync(sizes)
    return [json.dumps(each) for each in written], sizes


def commit_change(
    backend: Backend,
    dataset: Dataset,
    change: TableChange,
    batch_id: int,
    check_lease: Callable[[], None],
) -> Dataset:
    """Add and delete the rows of a change in one version; durable on return.

    A refused commit, or one whose response was lost, may have succeeded. It is not repeated: the
    batch id in newer versions shows whether it did.
    """
    import lance
    from lance.commit import CommitConflictError
    from lance.dataset import LanceOperation, Transaction
    from lance.fragment import FragmentMetadata

    added = [FragmentMetadata.from_json(text) for text in change.fragments]
    changed, emptied = _delete_rows(backend, dataset, change) if change.delete else ([], [])
    if not added and not changed and not emptied:
        return dataset
    if changed or emptied:
        operation = LanceOperation.Update(
            removed_fragment_ids=emptied, updated_fragments=changed, new_fragments=added
        )
    else:
        operation = LanceOperation.Append(added)
    transaction = Transaction(
        read_version=dataset.version,
        operation=operation,
        transaction_properties={"batch": str(batch_id)},
    )
    uri, options = backend.table_uri(change.table), backend.lance_options
    try:
        after = lance.LanceDataset.commit(uri, transaction, storage_options=options, max_retries=0)
    except (CommitConflictError, OSError):
        check_lease()
        after, _ = open_table(backend, change.table)
        if not has_batch(after, batch_id, above=dataset.version):
            raise
    record = f"_transactions/{transaction.read_version}-{transaction.uuid}.txn"
    manifest = f"_versions/{MAX_VERSION - after.version:020}.manifest"
    backend.sync([f"{change.table}/{record}", f"{change.table}/{manifest}"])
    return after


def _delete_rows(
    backend: Backend, dataset: Dataset, change: TableChange
) -> tuple[list[FragmentMetadata], list[int]]:
    """Write durable deletion files: fragments that changed, and numbers of those now empty."""
    condition = change.delete
    rows = dataset.to_table(columns=[], filter=condition, with_row_address=True)
    changed: list[FragmentMetadata] = []
    emptied: list[int] = []
    for number in sorted({address >> 32 for address in rows["_rowaddr"].to_pylist()}):
        fragment = dataset.get_fragment(number)
        rest = fragment.delete(condition) if fragment else None
        if rest is None:
            emptied.append(number)
        else:
            changed.append(rest)
    deletions = ((rest.deletion_file, rest.id) for rest in changed)
    backend.sync(f"{change.table}/{file.path(number)}" for file, number in deletions if file)
    return changed, emptied


def bump_version(backend: Backend, table: str) -> None:
    """Add a version equal to the latest, so that commits begun before conflict with it."""
    import lance

    latest, _ = open_table(backend, table)
    before = latest.version
    latest.restore()
    if latest.version > before + 1:  # another writer committed in between: keep its version
        last, options = latest.version - 1, backend.lance_options
        lance.dataset(backend.table_uri(table), version=last, storage_options=options).restore()


def has_batch(dataset: Dataset, batch_id: int, *, above: int = 0) -> bool:
    """Whether a batch committed a version of this table above another version."""
    oldest = max(above, dataset.version - SEARCHED_VERSIONS)
    for version in range(dataset.version, oldest, -1):
        transaction = dataset.read_transaction(version)
        found = ((transaction and transaction.transaction_properties) or {}).get("batch")
        if found is not None and int(found) == batch_id:
            return True
    return False


def compact(
    backend: Backend, table: str, dataset: Dataset, *, fragment_rows: int, batch_rows: int
) -> tuple[int, int]:
    """Join fragments of fewer than `fragment_rows` rows, reading `batch_rows` at once.

    Returns the numbers of fragments removed and added.
    """
    from lance.optimize import Compaction

    plan = Compaction.plan(
        dataset,
        options={
            "target_rows_per_fragment": fragment_rows,
            "batch_size": batch_rows,
            "num_threads": 1,
        },
    )
    results = [task.execute(dataset) for task in plan.tasks]
    backend.sync(backend.file_sizes(f"{table}/data/"))
    metrics = Compaction.commit(dataset, results)
    backend.sync(backend.file_sizes(f"{table}/"))
    return metrics.fragments_removed, metrics.fragments_added


def with_index(dataset: Dataset, index: Index, replaced: list[Index]) -> Dataset:
    """Return a detached version, which no reader opens, with an index in place of others."""
    import lance
    from lance.dataset import LanceOperation, Transaction

    operation = LanceOperation.CreateIndex([index], replaced)
    transaction = Transaction(read_version=dataset.version, operation=operation)
    return lance.LanceDataset.commit(dataset, transaction, detached=True)
