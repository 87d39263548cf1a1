"""Storage backends: a folder of this machine or a prefix of an S3 bucket, behind one interface."""

from __future__ import annotations

from pathlib import Path

from seehear.store.backend.local import LocalBackend
from seehear.store.backend.protocol import Backend
from seehear.store.backend.s3 import SCHEME, S3Backend


def backend_for(root: Path | str) -> Backend:
    """Return the backend of a folder or of an address `s3://bucket/prefix`."""
    if isinstance(root, str) and root.startswith(SCHEME):
        return S3Backend(root)
    return LocalBackend(Path(root).expanduser())
