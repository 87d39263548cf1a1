"""A bounded queue of blocking calls; further calls get 429."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio
from starlette.exceptions import HTTPException

Result = TypeVar("Result")


class Busy(HTTPException):
    """429: the queue is full."""

    def __init__(self, what: str) -> None:
        super().__init__(429, f"{what}; try again in a second", headers={"Retry-After": "1"})


class Queue:
    """At most `running` calls at once and `waiting` in line."""

    def __init__(self, name: str, running: int, waiting: int) -> None:
        self._name, self._most, self._inside = name, running + waiting, 0
        self._limiter = anyio.CapacityLimiter(running)

    async def run(self, call: Callable[..., Result], *given: Any, **named: Any) -> Result:
        """Run `call` in a thread, in order of arrival. Raises: Busy (429) if the queue is full."""
        if self._inside >= self._most:
            raise Busy(f"too many {self._name} at once")
        self._inside += 1
        try:
            work = partial(call, *given, **named)
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._inside -= 1
