"""Find moments in videos by what is seen and what is heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seehear.errors import (
    LibraryError,
    MediaError,
    ModelError,
    NothingDoneError,
    SeeHearError,
    UsageError,
)

if TYPE_CHECKING:
    from seehear.library import Library
    from seehear.types import Answer, Filter, Hit, Query

__all__ = [
    "Answer",
    "Filter",
    "Hit",
    "Library",
    "LibraryError",
    "MediaError",
    "ModelError",
    "NothingDoneError",
    "Query",
    "SeeHearError",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    """Import heavy names on first use."""
    if name == "Library":
        from seehear.library import Library

        return Library
    if name in ("Answer", "Filter", "Hit", "Query"):
        from seehear import types

        return getattr(types, name)
    raise AttributeError(f"module 'seehear' has no attribute {name!r}")
