"""Weights from the Hugging Face hub: pinned to a commit, safetensors only, fetched on demand."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from seehear.errors import ModelError, shorten

WANTED = ("config.json", "model.safetensors", "tokenizer.json")
PINNED = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")

TOWERS = {"clip": "CLIP", "audio-spectrogram-transformer": "AST"}  # by model_type of config.json


@dataclass(frozen=True, kw_only=True)
class CachedTower:
    """A tower in the cache of the hub; `tower` is "CLIP" or "AST", `name` is as in head.json."""

    tower: str
    name: str
    size_bytes: int


def list_cached_towers() -> list[CachedTower]:
    """List all towers with safetensors in the cache of the hub, by name."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = [
        CachedTower(
            tower=tower,
            name=f"{repository.repo_id}@{revision.commit_hash}",
            size_bytes=revision.size_on_disk,
        )
        for repository in repositories
        for revision in repository.revisions
        if (tower := _tower_in(revision.snapshot_path))
    ]
    return sorted(found, key=lambda each: each.name)


def _tower_in(folder: Path) -> str | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_complete = isinstance(config, dict) and (folder / "model.safetensors").is_file()
    return TOWERS.get(str(config.get("model_type"))) if is_complete else None


def snapshot(name: str, *, download: bool = False) -> Path:
    """Folder of `name` ("owner/name@commit") in the cache of the hub, downloaded if `download`.

    The settings of the hub apply: HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE.

    Raises: ModelError for a name without a commit, missing files, or a failed download.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    match = PINNED.fullmatch(name)
    if not match:
        raise ModelError(
            f"{name!r} does not name one commit of a hub repository; write owner/name@<commit>, "
            "the commit as 40 hex digits, so that the weights of a library never change"
        )
    repo, commit = match["repo"], match["commit"]
    try:
        folder = snapshot_download(
            repo, revision=commit, allow_patterns=list(WANTED), local_files_only=not download
        )
    except LocalEntryNotFoundError as error:
        reason = f" ({error.__cause__})" if download and error.__cause__ else ""
        raise ModelError(
            f"the weights {name} are not in the cache and were not downloaded{reason}"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"fetching {name} failed: {shorten(error)}") from error
    return Path(folder)
