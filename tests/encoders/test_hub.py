"""Weights from a local server with the protocol of the hub: pinned, partial, offline, refused."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import save_file

from seehear.encoders.hub import snapshot
from seehear.errors import ModelError
from seehear.models import build_model
from tiny_towers import cut, make_ast_folder, make_clip_folder
from waiting import LIMIT_S

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """A server with the two routes that downloading a snapshot uses."""

    root: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"] and self._folder(parts[2:4]).is_dir():
            folder = self._folder(parts[2:4])
            paths = sorted(folder.iterdir())
            body: object = [
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": COMMIT}
                for p in paths
            ]
            if "tree" not in parts:
                files = [{"rfilename": path.name} for path in paths]
                body = {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": files, "tags": []}
            self._answer(json.dumps(body).encode(), "application/json")
        elif "resolve" in parts and (self._folder(parts[:2]) / parts[-1]).is_file():
            self._answer((self._folder(parts[:2]) / parts[-1]).read_bytes(), "binary/octet-stream")
        else:
            self.send_error(404)

    def _folder(self, names: list[str]) -> Path:
        return self.root.joinpath(*names)

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("ETag", f'"{hashlib.sha256(body).hexdigest()}"'),
            ("X-Repo-Commit", COMMIT),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environment variables for a hub with one CLIP and one AST."""
    make_clip_folder(tmp_path / "hub/them/clip")
    make_ast_folder(tmp_path / "hub/them/ast")
    (tmp_path / "hub/them/clip/pytorch_model.bin").write_bytes(b"pickles are never fetched")
    handler = type("TheHub", (Hub,), {"root": tmp_path / "hub", "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "SEEHEAR_CACHE": str(tmp_path / "cache"),
    }
    server.shutdown()
    server.server_close()


def head_folder(folder: Path, **towers: str) -> Path:
    folder.mkdir()
    settings = {"dim": 32, "sound_dim": 48}
    torch.manual_seed(0)
    save_file(build_model("tefal.xpool", **settings).state_dict(), folder / "head.safetensors")
    description = {"model": "tefal.xpool", "settings": settings, **towers}
    (folder / "head.json").write_text(json.dumps(description))
    return folder


def seehear(*words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seehear", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.slow
def test_towers_are_fetched_once_and_used_offline(tmp_path: Path, hub: dict[str, str]) -> None:
    names = {"clip": f"them/clip@{COMMIT}", "ast": f"them/ast@{COMMIT}"}
    folder, library = head_folder(tmp_path / "models", **names), tmp_path / "library"
    index = ["index", str(tmp_path), "--library", str(library), "--models", str(folder)]
    early = seehear(*index, env=hub)
    assert early.returncode == 3
    assert "are not in the cache" in early.stderr
    assert f"seehear models pull {folder}" in early.stderr.replace("\n", "")
    pulled = seehear("models", "pull", str(folder), env=hub)
    assert pulled.returncode == 0, pulled.stderr
    fetched = {path.name for path in (tmp_path / "home").rglob("*") if path.is_symlink()}
    assert fetched == {"config.json", "model.safetensors", "tokenizer.json"}
    listed = seehear("models", "list", env=hub).stdout
    assert f"AST from the hub: them/ast@{COMMIT}, " in listed
    assert f"CLIP from the hub: them/clip@{COMMIT}, " in listed
    later = seehear(*index, "--dry-run", env=hub | {"HF_HUB_OFFLINE": "1"})
    assert "are not in the cache" not in later.stderr
    assert later.returncode != 3, later.stderr


def test_failed_or_partial_download_is_an_error(tmp_path: Path, hub: dict[str, str]) -> None:
    (tmp_path / "hub/them/ast/model.safetensors").unlink()
    names = {"clip": f"them/clip@{COMMIT}", "ast": f"them/ast@{COMMIT}"}
    folder = head_folder(tmp_path / "models", **names)
    partial = seehear("models", "pull", str(folder), env=hub)
    assert partial.returncode == 3
    assert "ast/model.safetensors missing" in partial.stderr.replace("\n", " ")
    unknown = head_folder(tmp_path / "other", clip=f"them/nothing@{COMMIT}")
    refused = seehear("models", "pull", str(unknown), env=hub)
    assert refused.returncode == 3
    assert "Traceback" not in refused.stderr
    offline = seehear("models", "pull", str(unknown), env=hub | {"HF_HUB_OFFLINE": "1"})
    assert offline.returncode == 3
    assert "Traceback" not in offline.stderr


def test_pull_checks_that_weights_load(tmp_path: Path, hub: dict[str, str]) -> None:
    cut(tmp_path / "hub/them/clip/tokenizer.json")
    names = {"clip": f"them/clip@{COMMIT}", "ast": f"them/ast@{COMMIT}"}
    pulled = seehear("models", "pull", str(head_folder(tmp_path / "models", **names)), env=hub)
    assert pulled.returncode == 3
    assert "tokenizer.json is damaged" in pulled.stderr
    assert "ready" not in pulled.stdout


@pytest.mark.parametrize(
    "name", ["them/clip", "them/clip@main", "clip@" + COMMIT, "../x@" + "0" * 8]
)
def test_name_without_a_commit_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="does not name one commit"):
        snapshot(name)
