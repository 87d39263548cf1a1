"""S3 backend against a real server: lost responses, outages, permissions, conditional writes."""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_servers import LosingResponses, Refusing, Unconditional
from samples import HEARD, MODEL, SEEN, five, make_video

from seaweed import Seaweed
from seehear.errors import LibraryError, UsageError
from seehear.store import Store
from seehear.store.backend import S3Backend, s3_client
from seehear.store.tables import lease


def test_a_commit_whose_response_is_lost_is_not_repeated(
    remote: Store, serve: Any, monkeypatch: pytest.MonkeyPatch
):
    """The server has the new version, but the writer gets no response and retries."""
    root = str(remote.root)
    remote.close()
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    losing = type("Losing", (LosingResponses,), {"endpoint": endpoint, "lost": []})
    local_dir = S3Backend(root).local_dir
    serve(losing)
    monkeypatch.setattr(S3Backend, "local_dir", local_dir)
    with Store.open(root, write=True) as store:
        losing.is_armed = True
        store.put([make_video("new", items=2)])
        losing.is_armed = False
        assert store.counts() == {"videos": 6, "items": 11}
        assert store.verify(full=True) == []
    assert {name.split("/")[-3] for name in losing.lost} >= {"videos", "media"}


def test_a_server_that_does_not_respond_is_an_error(
    remote: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    remote.close()
    monkeypatch.setattr(s3_client, "RETRY_S", 1.0)
    monkeypatch.setattr(s3_client, "WARN_AFTER_S", 0.1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(LibraryError, match=r"'127.0.0.1:9' did not respond for 1 s .*check AWS_"):
        Store.open(remote.root)
    assert 0.3 < time.monotonic() - began < 10
    warning = "the S3 server '127.0.0.1:9' does not respond; retrying"
    assert [record.getMessage() for record in caplog.records] == [warning]


def test_addresses_that_are_not_a_library_are_refused(
    remote: Store, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(LibraryError, match="there is no bucket 'nowhere'"):
        Store.open("s3://nowhere/library")
    with pytest.raises(LibraryError, match="there is no bucket 'nowhere'"):
        Store.create("s3://nowhere/library", model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    with pytest.raises(LibraryError, match="there is no library at"):
        Store.open(f"{remote.root}-none")
    with pytest.raises(LibraryError, match="is not a complete library"):
        Store.open(f"{remote.root}/videos")
    with pytest.raises(LibraryError, match="already a library"):
        Store.create(remote.root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
        Store.open("s3://shelf")


def test_credentials_are_not_stored(remote: Store, tmp_path: Path):
    remote.close()
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "journal.sqlite" for path in stored)
    backend = S3Backend(str(remote.root))
    files = backend.client.filesystem
    raw = [files.open_input_stream(backend._base + name).read() for name in backend.file_sizes("")]
    for content in (*raw, *(path.read_bytes() for path in stored)):
        assert b"AWS_" not in content and b"secret" not in content


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts a server of a handler class and sets its address in the environment."""
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("AccessDenied", "no permission for 's3://shelf/library'"),
        ("RequestTimeTooSkewed", "the clock of this machine differs too much"),
    ],
)
def test_errors_of_the_server_are_explained(address: str, serve: Any, code: str, sentence: str):
    serve(type("Refusing", (Refusing,), {"code": code}))
    with pytest.raises(LibraryError, match=sentence):
        Store.open("s3://shelf/library")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_explained(remote: Store, monkeypatch: pytest.MonkeyPatch, name: str):
    root = str(remote.root)
    remote.close()
    monkeypatch.setenv(name, "wrong")
    with pytest.raises(LibraryError, match=f"no permission for '{root}'"):
        Store.open(root)


def test_a_server_that_ignores_conditional_writes_is_refused(
    address: str, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A server without keys, because a signed request cannot be changed on its way."""
    monkeypatch.setattr(lease, "RACERS", 8)
    monkeypatch.setattr(lease, "ROUNDS", 2)
    server = Seaweed(tmp_path / "open", asks_keys=False)
    server.start()
    try:
        server.wait()
        serve(type("Unconditional", (Unconditional,), {"endpoint": server.endpoint}))
        with pytest.raises(LibraryError, match="ignores conditional writes"):
            Store.create(address, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    finally:
        server.stop()


def test_nearest_is_the_same_as_in_a_folder(remote: Store, tmp_path: Path):
    with Store.create(tmp_path / "l", model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as local:
        local.put(five())
        here, there = (s.nearest("seen", np.ones(SEEN), k=9) for s in (local, remote))
    assert here.ids == there.ids
    np.testing.assert_array_equal(here.scores, there.scores)
