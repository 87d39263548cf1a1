"""SHA-256 of weight files, computed once per state of a file and cached."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from seehear.encoders.weights import cache_folder, sha256_of


def known_hashes(paths: Iterable[Path]) -> dict[Path, str]:
    """Hex SHA-256 of each file, from the cache while its size, times and inode are unchanged.

    Note: content changed in place always changes the inode's change time, which no program sets.
    """
    store = cache_folder() / "hashes.json"
    cached = _read(store)
    found: dict[Path, str] = {}
    fresh: dict[str, list[str]] = {}
    for path in paths:
        status = path.stat()
        times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
        state = f"{status.st_size} {times} {status.st_dev} {status.st_ino}"
        known = cached.get(str(path), ["", ""])
        found[path] = known[1] if known[0] == state else sha256_of(path)
        if known[0] != state:
            fresh[str(path)] = [state, found[path]]
    if fresh:
        with suppress(OSError):  # a read-only cache: hashed again next time
            store.parent.mkdir(parents=True, exist_ok=True)
            partial = store.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(json.dumps(cached | fresh))
            partial.replace(store)
    return found


def _read(store: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(store.read_text())
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(found, dict) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)
        for pair in found.values()
    )
    return found if is_ours else {}
