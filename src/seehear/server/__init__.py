"""The HTTP service and its page: thin layers over `Library`, safe to leave open on a desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seehear.server.settings import Settings

if TYPE_CHECKING:
    from seehear.server.app import create_app

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    """The service is imported when it is asked for: the decoder's process needs none of it."""
    if name == "create_app":
        from seehear.server.app import create_app

        return create_app
    raise AttributeError(f"module 'seehear.server' has no attribute {name!r}")
