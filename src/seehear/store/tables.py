"""The seam to Lance: open, stage and commit one table. Nothing else in seehear calls Lance.

Lance never asks the disk to keep anything, so every commit is made in two halves here: files are
written and synced first, then a manifest names them and is synced too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from seehear.errors import LibraryError
from seehear.store import disk
from seehear.store.journal import Step

if TYPE_CHECKING:
    import lance
    import pyarrow as pa
    from lance.fragment import FragmentMetadata

FORMAT = "2.2"  # of the data files; the first with blob columns of the second kind
NEWEST = 2**64 - 1  # a manifest is named NEWEST - version
SEARCHED_VERSIONS = 64

os.environ.setdefault("LANCE_LOG", "error")  # read when Lance is first imported


def table_path(root: Path, name: str) -> Path:
    """Where a table of a library lies."""
    return root / name


def manifests(path: Path) -> dict[int, Path]:
    """Manifest files of a table by version, newest first."""
    folder = path / "_versions"
    found = folder.glob("*.manifest") if folder.is_dir() else ()
    by_version = {NEWEST - int(file.stem): file for file in found if file.stem.isdecimal()}
    return dict(sorted(by_version.items(), reverse=True))


def head_version(path: Path) -> int:
    """Newest version of a table, readable or not; 0 without any."""
    with os.scandir(path / "_versions") as entries:
        stems = [entry.name.removesuffix(".manifest") for entry in entries]
    return NEWEST - min((int(stem) for stem in stems if stem.isdecimal()), default=NEWEST)


def open_table(path: Path) -> tuple[lance.LanceDataset, list[Path]]:
    """The newest readable version of a table, and newer manifests that could not be read.

    Raises: LibraryError if there is no table or no version of it can be read.
    Note: opened by number, since Lance takes a head of zeros for an empty version 0.
    """
    import lance

    torn: list[Path] = []
    for version, manifest in manifests(path).items():
        try:
            return lance.dataset(str(path), version=version), torn
        except (ValueError, OSError):
            torn.append(manifest)
    reason = "no version of it can be read" if torn else "it is not there"
    raise LibraryError(
        f"table '{path.name}' of the library '{path.parent}' is damaged ({reason}); restore the "
        "folder from a copy, or delete it and index the videos again"
    )


def create_table(path: Path, rows: pa.Table) -> None:
    """A table of the columns and rows given, durable."""
    import lance

    lance.write_dataset(rows, str(path), schema=rows.schema, data_storage_version=FORMAT)
    disk.sync_files(disk.tree(path))
    disk.sync(path.parent)


def stage(path: Path, rows: pa.Table) -> tuple[list[str], dict[str, int]]:
    """Write rows durably without showing them: fragments as JSON, and the sizes of their files.

    File names are relative to the library.
    """
    from lance.fragment import write_fragments

    fragments = write_fragments(
        rows, str(path), rows.schema, mode="append", data_storage_version=FORMAT
    )
    written = [fragment.to_json() for fragment in fragments]
    names = [path / "data" / str(file["path"]) for each in written for file in each["files"]]
    files = [*names, *(blob for name in names for blob in disk.tree(name.with_suffix("")))]
    disk.sync_files(files)
    sizes = {file.relative_to(path.parent).as_posix(): file.stat().st_size for file in files}
    return [json.dumps(each) for each in written], sizes


def commit(path: Path, dataset: lance.LanceDataset, step: Step, batch: int) -> lance.LanceDataset:
    """Show the rows of a step and hide those it deletes, in one version; durable on return."""
    import lance
    from lance.dataset import LanceOperation, Transaction
    from lance.fragment import FragmentMetadata

    added = [FragmentMetadata.from_json(text) for text in step.fragments]
    changed, emptied = _delete(path, dataset, step.delete) if step.delete else ([], [])
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
    after = lance.LanceDataset.commit(str(path), transaction)
    disk.sync_files(
        [
            path / "_transactions" / f"{transaction.read_version}-{transaction.uuid}.txn",
            path / "_versions" / f"{NEWEST - after.version:020}.manifest",
        ]
    )
    return after


def _delete(
    path: Path, dataset: lance.LanceDataset, where: str
) -> tuple[list[FragmentMetadata], list[int]]:
    """Durable deletion files for matching rows: fragments changed, and numbers of emptied ones."""
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
    disk.sync_files(path / file.path(number) for file, number in deletions if file)
    return changed, emptied


def has_batch(dataset: lance.LanceDataset, batch: int) -> bool:
    """Whether a version of this table was committed by a batch; batch numbers only grow."""
    for version in range(dataset.version, max(0, dataset.version - SEARCHED_VERSIONS), -1):
        transaction = dataset.read_transaction(version)
        found = ((transaction and transaction.transaction_properties) or {}).get("batch")
        if found is not None and int(found) <= batch:
            return int(found) == batch
    return False
