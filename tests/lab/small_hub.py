"""A local hub with one data set, for `datasets` and `huggingface_hub`."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "someone/clips"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a hub whose data set `NAME` has the files of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Hub,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Hub(BaseHTTPRequestHandler):
    folder: Path

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = self.folder / re.sub(r".*/resolve/[^/]+/", "", path)
        if "/resolve/" in path and file.is_file():
            self.answer(file.read_bytes())
        elif "/tree/" in path:
            self.answer(self.listed(path.partition(f"/tree/{COMMIT}")[2].strip("/")))
        elif path.startswith(f"/api/datasets/{NAME}"):
            self.answer({"id": NAME, "sha": COMMIT, "siblings": [], "tags": []})
        else:
            self.answer(b"", status=404)

    do_HEAD = do_GET  # noqa: N815

    def listed(self, below: str) -> list[dict[str, Any]]:
        return [
            {"type": "file" if path.is_file() else "directory", "oid": "0" * 40}
            | {"path": path.relative_to(self.folder).as_posix(), "size": path.stat().st_size}
            for path in (self.folder / below).glob("*")
        ]

    def answer(self, content: Any, *, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Error-Code", "EntryNotFound" if status == 404 else "")
        self.send_header("ETag", f'"{hash(body)}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...
