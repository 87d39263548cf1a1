"""The HTTP service and its web page, on top of `Library`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seehear.server.settings import Settings

if TYPE_CHECKING:
    from seehear.server.app import create_app

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    """Import the service on first use: the decoder's child process does not need it."""
    if name == "create_app":
        from seehear.server.app import create_app

        return create_app
    raise AttributeError(f"module 'seehear.server' has no attribute {name!r}")
