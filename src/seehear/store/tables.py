"""The seam to Lance: open, stage and commit one table. Nothing else in seehear calls Lance.

Lance never asks the disk to keep anything, so every commit is made in two halves here: files are
written and synced first, then a manifest names them and is synced too.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from seehear.errors import LibraryError
from seehear.store.journal import Step
from seehear.store.place import NEWEST, Place

if TYPE_CHECKING:
    import lance
    import pyarrow as pa
    from lance.fragment import FragmentMetadata

FORMAT = "2.2"  # of the data files; the first with blob columns of the second kind
SEARCHED_VERSIONS = 64

os.environ.setdefault("LANCE_LOG", "error")  # read when Lance is first imported


def open_table(place: Place, name: str) -> tuple[lance.LanceDataset, list[str]]:
    """The newest readable version of a table, and newer manifests that could not be read.

    Raises: LibraryError if there is no table or no version of it can be read.
    Note: opened by number, since Lance takes a head of zeros for an empty version 0.
    """
    import lance

    torn: list[str] = []
    options = place.options
    for version, manifest in place.manifests(name).items():
        try:
            found = lance.dataset(place.uri(name), version=version, storage_options=options)
            return found, torn
        except (ValueError, OSError):
            place.explain()
            torn.append(manifest)
    reason = "no version of it can be read" if torn else "it is not there"
    raise LibraryError(
        f"table '{name}' of the library '{place.root}' is damaged ({reason}); restore the "
        "library from a copy, or delete it and index the videos again"
    )


def create_table(place: Place, name: str, rows: pa.Table) -> None:
    """A table of the columns and rows given, durable."""
    import lance

    lance.write_dataset(
        rows,
        place.uri(name),
        schema=rows.schema,
        data_storage_version=FORMAT,
        storage_options=place.options,
    )
    place.keep([*place.files(f"{name}/"), f"{name}/_versions"])  # with the root, as its folder


def stage(place: Place, name: str, rows: pa.Table) -> tuple[list[str], dict[str, int]]:
    """Write rows durably without showing them: fragments as JSON, and the sizes of their files.

    File names are relative to the library.
    """
    from lance.fragment import write_fragments

    fragments = write_fragments(
        rows,
        place.uri(name),
        rows.schema,
        mode="append",
        data_storage_version=FORMAT,
        storage_options=place.options,
    )
    written = [fragment.to_json() for fragment in fragments]
    sizes: dict[str, int] = {}
    for file in (file for each in written for file in each["files"]):
        path = f"{name}/data/{file['path']}"
        sizes |= place.files(path) | place.files(path.removesuffix(".lance") + "/")
    place.keep(sizes)
    return [json.dumps(each) for each in written], sizes


def commit(place: Place, dataset: lance.LanceDataset, step: Step, batch: int) -> lance.LanceDataset:
    """Show the rows of a step and hide those it deletes, in one version; durable on return.

    A commit that is refused, or whose answer is lost, may have come through: the number of the
    batch tells, not another try.
    """
    import lance
    from lance.commit import CommitConflictError
    from lance.dataset import LanceOperation, Transaction
    from lance.fragment import FragmentMetadata

    added = [FragmentMetadata.from_json(text) for text in step.fragments]
    changed, emptied = _delete(place, dataset, step) if step.delete else ([], [])
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
        transaction_properties={"batch": str(batch)},
    )
    uri = place.uri(step.table)
    try:
        after = lance.LanceDataset.commit(
            uri, transaction, storage_options=place.options, max_retries=0
        )
    except (CommitConflictError, OSError):
        place.check()
        after, _ = open_table(place, step.table)
        if not has_batch(after, batch, above=dataset.version):
            raise
    place.keep(
        [
            f"{step.table}/_transactions/{transaction.read_version}-{transaction.uuid}.txn",
            f"{step.table}/_versions/{NEWEST - after.version:020}.manifest",
        ]
    )
    return after


def _delete(
    place: Place, dataset: lance.LanceDataset, step: Step
) -> tuple[list[FragmentMetadata], list[int]]:
    """Durable deletion files for matching rows: fragments changed, and numbers of emptied ones."""
    where = step.delete
    rows = dataset.to_table(columns=[], filter=where, with_row_address=True)
    changed: list[FragmentMetadata] = []
    emptied: list[int] = []
    for number in sorted({address >> 32 for address in rows["_rowaddr"].to_pylist()}):
        fragment = dataset.get_fragment(number)
        rest = fragment.delete(where) if fragment else None
        if rest is None:
            emptied.append(number)
        else:
            changed.append(rest)
    deletions = ((rest.deletion_file, rest.id) for rest in changed)
    place.keep(f"{step.table}/{file.path(number)}" for file, number in deletions if file)
    return changed, emptied


def fence(place: Place, name: str) -> None:
    """Follow the head of a table by an equal one that no commit begun earlier can come after."""
    import lance

    head, _ = open_table(place, name)
    before = head.version
    head.restore()
    if head.version > before + 1:  # what another wrote in between stays written
        last, options = head.version - 1, place.options
        lance.dataset(place.uri(name), version=last, storage_options=options).restore()


def has_batch(dataset: lance.LanceDataset, batch: int, *, above: int = 0) -> bool:
    """Whether a version of this table above another one was committed by a batch."""
    oldest = max(above, dataset.version - SEARCHED_VERSIONS)
    for version in range(dataset.version, oldest, -1):
        transaction = dataset.read_transaction(version)
        found = ((transaction and transaction.transaction_properties) or {}).get("batch")
        if found is not None and int(found) == batch:
            return True
    return False
