"""What other machines, slow clients and racing files can and cannot do."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException

from media.media_clips import RED, write_clip
from seehear import Library
from seehear.errors import UsageError
from seehear.server import Settings, guard, routes_export
from seehear.server.service import Paths, top_folders
from seehear.server.settings import hash_of
from server.conftest import free_port, serving

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def remote(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client that calls the service by the name of a proxy, as another machine does."""
    settings = Settings(
        port=free_port(),
        names=("desk.example",),
        token_hash=hash_of("secret"),
        cache=tmp_path_factory.mktemp("proxies"),
    )
    headers = TOKEN | {"Host": "desk.example"}
    with (
        serving(library, settings) as url,
        httpx.Client(base_url=url, headers=headers, timeout=60) as client,
    ):
        yield client


def test_a_further_name_needs_a_token() -> None:
    with pytest.raises(UsageError, match=r"'desk.example' opens the library"):
        Settings(names=("desk.example",))


def test_remote_clients_see_paths_below_the_library(
    remote: httpx.Client, library: Library, films: list[Path]
) -> None:
    folder = os.path.commonpath([film.parent for film in films])
    asked = remote.post("/api/v1/search", json={"text": "a dog barking", "limit": 1})
    assert asked.json()["hits"][0]["path"] == "pairs/farm_dog.mp4"
    item = asked.json()["hits"][0]["item"]
    answers = [
        asked,
        remote.get("/api/v1/items"),
        remote.get(f"/api/v1/items/{item}"),
        remote.get("/api/v1/status"),
        *(
            remote.post("/api/v1/export", json={"format": kind, "moments": [{"item": item}]})
            for kind in ("csv", "json", "edl", "otio")
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert folder not in answer.text
        assert library.status().root not in answer.text


def test_remote_clients_filter_by_folders_below_the_library(remote: httpx.Client) -> None:
    def found(folder: str) -> httpx.Response:
        return remote.post("/api/v1/search", json={"text": "a dog", "where": {"folder": folder}})

    assert {hit["path"].split("/")[0] for hit in found("contrast").json()["hits"]} == {"contrast"}
    assert {found(each).status_code for each in ("..", "/etc", "/", "pairs/../../..")} == {403}


def test_remote_jobs_learn_nothing_about_other_folders(
    remote: httpx.Client, tmp_path: Path
) -> None:
    link = tmp_path / "there"
    link.mkdir()
    answers = [
        remote.post("/api/v1/jobs", json={"paths": [str(path)]})
        for path in (link, tmp_path / "missing", "/etc/passwd", "../..")
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1
    job = remote.post("/api/v1/jobs", json={"paths": ["pairs/missing"]}).json()
    until = time.monotonic() + 60
    while job["state"] == "running" and time.monotonic() < until:
        time.sleep(0.2)
        job = remote.get(f"/api/v1/jobs/{job['id']}").json()
    assert job["state"] != "running"
    assert str(tmp_path) not in str(job)


def test_a_library_of_several_disks_does_not_open_the_root() -> None:
    """Files below /home and /mnt have only / in common; that is not a folder of the library."""
    videos = ["/home/me/films/a.mp4", "/home/me/b.mp4", "/mnt/disk/c.mp4", "/d.mp4"]
    paths = Paths(folders=top_folders(videos), library="/home/me/library")
    assert paths.folders == ("/home/me", "/mnt/disk")
    shown = [paths.shown(video) for video in videos]
    assert shown == ["me/films/a.mp4", "me/b.mp4", "disk/c.mp4", "d.mp4"]
    assert paths.resolved("me/films") == "/home/me/films"
    assert paths.resolved("disk") == "/mnt/disk"
    for path in ("/", ".", "/etc", "me/../../etc", "/home", "/home/me2"):
        with pytest.raises(HTTPException):
            paths.resolved(path)
    assert paths.within("/mnt/disk/c.mp4: no / left") == "disk/c.mp4: no / left"
    assert top_folders([]) == ()


def test_a_missing_token_is_asked_for_in_the_standard_way(remote: httpx.Client) -> None:
    answer = remote.get("/api/v1/status", headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_origins_without_the_port_are_other_sites(url: str) -> None:
    port = url.rsplit(":", 1)[1]
    for origin, status in (
        ("http://localhost", 403),
        ("http://127.0.0.1", 403),
        (f"http://localhost:{port}", 403),  # not the name that was called
        (f"http://127.0.0.1:{port}", 200),
    ):
        asked = httpx.post(
            f"{url}/api/v1/search", json={"text": "a dog"}, headers={"Origin": origin}
        )
        assert asked.status_code == status, origin


def test_head_answers_as_get_without_a_body(url: str, films: list[Path]) -> None:
    hit = httpx.post(f"{url}/api/v1/search", json={"text": "a dog barking"}).json()["hits"][0]
    for link in (hit["media"], hit["thumbnail"]):
        head, get = httpx.head(url + link), httpx.get(url + link)
        assert head.status_code == get.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers["content-type"] == get.headers["content-type"]


def test_a_file_that_changes_places_is_never_another_file(tmp_path: Path, library: Library) -> None:
    """The path is swapped between the film and a link to a secret while it is requested."""
    assert library
    film, secret, spare = tmp_path / "film.mp4", tmp_path / "secret", tmp_path / "spare.mp4"
    write_clip(film, shots=[(0, RED)])
    content, times = film.read_bytes(), film.stat()
    secret.write_bytes(b"x" * len(content))
    os.utime(secret, ns=(times.st_atime_ns, times.st_mtime_ns))
    with Library.create(tmp_path / "own") as own:
        own.add([film], workers=1)
        stop = threading.Event()

        def swap() -> None:
            link = tmp_path / "link"
            while not stop.is_set():
                os.link(film, spare)
                link.symlink_to(secret)
                link.replace(film)
                spare.replace(film)

        with serving(own, Settings(port=free_port(), cache=tmp_path / "c")) as url:
            media = f"{url}/api/v1/videos/{own.videos()[0].id}/media"
            swapping = threading.Thread(target=swap, daemon=True)
            swapping.start()
            try:
                answers = [httpx.get(media) for _ in range(300)]
            finally:
                stop.set()
                swapping.join()
    assert {answer.status_code for answer in answers} <= {200, 410}
    assert all(answer.content == content for answer in answers if answer.status_code == 200)
    assert any(answer.status_code == 200 for answer in answers)


def test_slow_bodies_are_cut(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GRACE_S", 0.3)
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"POST /api/v1/search HTTP/1.1\r\nHost: {host}:{port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(head.encode())
        assert line.recv(4096).split()[1] == b"408"


def test_bodies_without_a_token_are_not_read(remote: httpx.Client) -> None:
    port = remote.base_url.port
    head = (
        "POST /api/v1/search/upload HTTP/1.1\r\nHost: desk.example\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 60000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(head.encode())  # and not a byte of the body
        assert line.recv(4096).split()[1] == b"401"


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"export_bytes": 10}, "exceed"), ({"export_s": 0.0}, "too long")],
)
def test_exports_are_limited(
    library: Library, tmp_path: Path, limits: dict[str, float], words: str
) -> None:
    settings = Settings(port=free_port(), cache=tmp_path, **limits)
    with serving(library, settings) as url:
        moments = [{"item": item.id} for item in library.items()][:2]
        wanted = {"format": "clips", "moments": moments}
        answer = httpx.post(f"{url}/api/v1/export", json=wanted, timeout=60)
    assert answer.status_code == 413
    assert words in answer.json()["detail"]


def test_an_export_stops_when_its_client_leaves(
    url: str, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    cut_all = routes_export._cut_all

    def watched(*given: object, **named: object) -> None:
        try:
            cut_all(*given, **named)  # type: ignore[arg-type]
        finally:
            ended.set()

    monkeypatch.setattr(routes_export, "_cut_all", watched)
    moments = [{"item": item.id} for item in library.items()] * 80
    wanted = {"format": "clips", "moments": moments[:480], "exact": True}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/api/v1/export", json=wanted, timeout=2)
    assert ended.wait(10), "480 exact clips would take minutes"


@pytest.mark.slow
def test_a_service_with_an_export_ends_within_ten_seconds(library: Library, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "seehear", "serve", "-l", library.status().root]
    environment = os.environ | {"SEEHEAR_LIBRARY": ""}
    service = subprocess.Popen([*command, "--port", str(port)], env=environment)
    try:
        api, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx.get(f"{api}/readyz", timeout=30).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        moments = [{"item": item.id} for item in library.items()] * 80
        wanted = {"format": "clips", "moments": moments[:480], "exact": True}

        def export() -> None:
            try:
                httpx.post(f"{api}/api/v1/export", json=wanted, timeout=60)
            except httpx.HTTPError:
                return

        asking = threading.Thread(target=export, daemon=True)
        asking.start()
        time.sleep(2)
        begun = time.monotonic()
        service.send_signal(signal.SIGTERM)
        service.wait(timeout=30)
        assert time.monotonic() - begun < 10
    finally:
        service.kill()
