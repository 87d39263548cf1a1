"""Tiles of work on a pool of threads, with BLAS limited to one thread each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Tile = TypeVar("Tile")
_lock = threading.Lock()
_inside: list[Any] = []  # one entry per call that runs now; the first one holds the old setting


def run_tiles(work: Callable[[Tile], None], tiles: Iterable[Tile], *, threads: int | None) -> None:
    """`work(tile)` for every tile, on `threads` threads (default: the cores of this process)."""
    todo = list(tiles)
    count = min(threads or cores(), len(todo))
    waiting = iter(todo)  # `next` on a list's iterator is atomic

    def drain() -> None:
        for tile in waiting:
            work(tile)

    with _single_blas():
        others = [_pool(count).submit(drain) for _ in range(count - 1)]
        drain()
        for other in others:
            other.result()


@contextmanager
def _single_blas() -> Generator[None]:
    """BLAS on one thread while any call runs; the first sets it, the last puts it back."""
    with _lock:
        _inside.append(_blas().limit(limits=1) if not _inside else None)
    try:
        yield
    finally:
        with _lock:
            if len(_inside) == 1:
                _inside[0].restore_original_limits()
                _inside.clear()
            else:
                _inside.pop()  # never the first: it goes last


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scoring")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
