"""Search filters: which videos pass."""

from __future__ import annotations

import os
from pathlib import Path

from seehear.types import Filter, Video


def passes(video: Video, where: Filter) -> bool:
    """Whether a video passes; for the folder, any of its paths is enough."""
    return (
        (
            where.folder is None
            or any(is_below(p, where.folder) for p in (video.path, *video.aliases))
        )
        and (where.min_duration_s is None or video.duration_s >= where.min_duration_s)
        and (where.max_duration_s is None or video.duration_s <= where.max_duration_s)
        and (where.has_sound is None or (video.sound == "sound") == where.has_sound)
        and (where.added_since_us is None or video.added_us >= where.added_since_us)
    )


def is_below(path: str, *folders: str | Path) -> bool:
    """Whether an absolute path is one of these absolute folders or below one of them."""
    roots = [str(folder).rstrip(os.sep) for folder in folders]
    return any(path.rstrip(os.sep) == root or path.startswith(root + os.sep) for root in roots)
