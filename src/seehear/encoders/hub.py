"""Weights from the Hugging Face hub: one named commit, safetensors only, on demand."""

from __future__ import annotations

import re
from pathlib import Path

from seehear.errors import ModelError

WANTED = ("config.json", "model.safetensors", "tokenizer.json")
PINNED = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")


def snapshot(name: str, *, download: bool = False) -> Path:
    """The folder of `name` ("owner/name@commit") in the hub's cache; fetched only if `download`.

    The hub's own settings hold: HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE.

    Raises: ModelError for a name without a commit, files that are not here, or a failed download.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    match = PINNED.fullmatch(name)
    if not match:
        raise ModelError(
            f"{name!r} does not name one commit of a hub repository; write owner/name@<commit>, "
            "the commit in 40 hex digits, so that the weights can never change under a library"
        )
    repo, commit = match["repo"], match["commit"]
    try:
        folder = snapshot_download(
            repo, revision=commit, allow_patterns=list(WANTED), local_files_only=not download
        )
    except LocalEntryNotFoundError as error:
        reason = f" ({error.__cause__})" if download and error.__cause__ else ""
        raise ModelError(f"the weights {name} are not here and were not fetched{reason}") from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"fetching {name} failed: {str(error).splitlines()[0]}") from error
    return Path(folder)
