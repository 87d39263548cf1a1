"""Waiting for a condition, never for a time: a loaded machine is only slower."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_S = 300.0  # longer than any machine needs; only a failure takes so long


def wait_until(done: Callable[[], object], what: str) -> None:
    """Ask until `done()` is true. Raises: TimeoutError that names `what` is missing."""
    until = time.monotonic() + LIMIT_S
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {LIMIT_S:.0f} s")
        time.sleep(0.02)
