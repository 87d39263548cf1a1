"""Each line that the service promises about safety, tried from outside."""

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import threading
from pathlib import Path

import httpx
import pytest
from PIL import Image

from media.media_clips import RED, write_clip
from seehear import Library
from seehear.errors import MediaError, UsageError
from seehear.server import Settings
from seehear.server.queueing import Busy, Queue
from seehear.server.sandbox import Limits, call
from seehear.server.settings import hash_of, make_token, token_file
from server.conftest import free_port, serving
from waiting import LIMIT_S

ASK = {"text": "a dog"}


def test_other_machines_need_a_token() -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
        with pytest.raises(UsageError, match="needs a token"):
            Settings(host=host)
    assert Settings(host="0.0.0.0", token_hash=hash_of("x")).accepts("x")
    for host in ("127.0.0.1", "::1", "localhost"):
        Settings(host=host)


def test_a_token_is_kept_as_a_hash_only(tmp_path: Path) -> None:
    token = make_token(tmp_path)
    kept = token_file(tmp_path)
    assert token not in kept.read_text()
    assert kept.read_text() == hash_of(token)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert make_token(tmp_path) != token


def test_with_a_token_nothing_opens_without_it(library: Library, tmp_path: Path) -> None:
    settings = Settings(port=free_port(), token_hash=hash_of("secret"), cache=tmp_path)
    with serving(library, settings) as url:
        api = f"{url}/api/v1"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            assert httpx.post(f"{api}/search", json=ASK, headers=headers).status_code == 401
            assert httpx.get(f"{url}/metrics", headers=headers).status_code == 401
            assert httpx.get(f"{api}/openapi.json", headers=headers).status_code == 401
        assert httpx.get(url).status_code == 200  # the page, which then asks for the token
        right = {"Authorization": "Bearer secret"}
        hit = httpx.post(f"{api}/search", json=ASK, headers=right).json()["hits"][0]
        assert httpx.get(url + hit["thumbnail"]).status_code == 200  # a signed link
        assert httpx.get(url + hit["thumbnail"].split("?")[0]).status_code == 401
        forged = hit["thumbnail"].replace("until=", "until=9")
        assert httpx.get(url + forged).status_code == 401
        for wrong in ("until=9999999999&signed=%C3%A9", f"until={'9' * 5000}&signed=x"):
            assert httpx.get(f"{url}{hit['media'].split('?')[0]}?{wrong}").status_code == 401
        moved = hit["media"].split("?")[0] + "?" + hit["thumbnail"].split("?")[1]
        assert httpx.get(url + moved).status_code == 401


def test_other_names_and_other_sites_are_refused(url: str) -> None:
    def ask(**headers: str) -> int:
        return httpx.post(f"{url}/api/v1/search", json=ASK, headers=headers).status_code

    assert ask() == 200
    assert ask(Host="evil.example") == 421  # a name bound to this machine from outside
    assert ask(Origin="https://evil.example") == 403
    assert ask(Origin="null") == 403
    assert ask(Origin=url) == 200
    assert ask(**{"Sec-Fetch-Site": "cross-site"}) == 403
    plain = {"Content-Type": "text/plain"}  # what a form of another site can send unasked
    assert (
        httpx.post(f"{url}/api/v1/search", content='{"text":"a"}', headers=plain).status_code == 422
    )


def test_a_name_counts_however_it_is_written() -> None:
    settings = Settings(names=("My-Desk",), token_hash=hash_of("x"))
    assert {"my-desk", "my-desk:8420"} <= settings.allowed_hosts()


def test_pictures_are_bounded_in_pixels(url: str, tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    Image.new("1", (12_000, 12_000)).save(huge)
    answer = httpx.post(
        f"{url}/api/v1/search/upload", files={"file": huge.read_bytes()}, timeout=LIMIT_S
    )
    assert answer.status_code == 422
    assert "the limit is 120 million" in answer.json()["detail"]


def test_every_answer_carries_the_strict_headers(url: str) -> None:
    for path in ("/", "/web/app.js", "/api/v1/status", "/api/v1/nothing"):
        headers = httpx.get(url + path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/web/../app.py",
        "/web/..%2fapp.py",
        "/web/%2e%2e/app.py",
        "/web//etc/passwd",
        "/api/v1/videos/..%2f..%2fetc%2fpasswd/media",
        "/api/v1/videos/%00/media",
        f"/api/v1/videos/{'f' * 32}/media",
    ],
)
def test_no_path_leads_out_of_the_index(url: str, path: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:  # a client that cleans no path
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    assert answer.split()[1] in (b"404", b"422", b"400")
    assert b"root:" not in answer
    assert b"def create_app" not in answer


def test_a_file_swapped_for_a_link_or_another_is_not_served(
    tmp_path: Path, library: Library
) -> None:
    assert library
    film, secret = tmp_path / "film.mp4", tmp_path / "secret"
    write_clip(film, shots=[(0, RED)])
    with Library.create(tmp_path / "own") as own:
        own.add([film], workers=1)
        secret.write_bytes(b"x" * film.stat().st_size)
        with serving(own, Settings(port=free_port(), cache=tmp_path / "c")) as url:
            media = f"{url}/api/v1/videos/{own.videos()[0].id}/media"
            assert httpx.get(media).status_code == 200
            shutil.move(film, tmp_path / "kept.mp4")
            film.symlink_to(secret)
            assert httpx.get(media).status_code == 410
            clips = {"format": "clips", "moments": [{"item": next(iter(own.items())).id}]}
            assert httpx.post(f"{url}/api/v1/export", json=clips).status_code == 410
            film.unlink()
            film.write_bytes(secret.read_bytes())  # of the same size
            assert httpx.get(media).status_code == 410


def test_a_folder_swapped_for_a_link_leads_nowhere(tmp_path: Path, library: Library) -> None:
    assert library
    films, elsewhere = tmp_path / "films", tmp_path / "elsewhere"
    films.mkdir()
    elsewhere.mkdir()
    film = write_clip(films / "film.mp4", shots=[(0, RED)])
    with Library.create(tmp_path / "own") as own:
        own.add([film], workers=1)
        now = film.stat()
        (elsewhere / "film.mp4").write_bytes(b"x" * now.st_size)
        os.utime(elsewhere / "film.mp4", ns=(now.st_atime_ns, now.st_mtime_ns))
        with serving(own, Settings(port=free_port(), cache=tmp_path / "c")) as url:
            media = f"{url}/api/v1/videos/{own.videos()[0].id}/media"
            assert httpx.get(media).status_code == 200
            films.rename(tmp_path / "kept")
            films.symlink_to(elsewhere)  # same name, size and time, another content
            assert httpx.get(media).status_code == 410


def test_what_was_indexed_through_a_link_is_played(tmp_path: Path, library: Library) -> None:
    assert library
    (tmp_path / "disk").mkdir()
    (tmp_path / "films").mkdir()
    film = write_clip(tmp_path / "disk" / "film.mp4", shots=[(0, RED)])
    (tmp_path / "films" / "linked.mp4").symlink_to(film)
    with Library.create(tmp_path / "own") as own:
        own.add([tmp_path / "films"], workers=1)
        with serving(own, Settings(port=free_port(), cache=tmp_path / "c")) as url:
            media = f"{url}/api/v1/videos/{own.videos()[0].id}/media"
            assert httpx.get(media).content == film.read_bytes()
            film.write_bytes(b"x" * film.stat().st_size)
            assert httpx.get(media).status_code == 410


@pytest.mark.parametrize(
    "name", ["..", ".", "é" * 300 + ".mp4", "../../up.png", "list.m3u8", "%d.png"]
)
def test_an_upload_may_be_called_anything(url: str, films: list[Path], name: str) -> None:
    """Its name decides neither its place nor its format."""
    files = {"file": (name, films[0].read_bytes())}
    answer = httpx.post(f"{url}/api/v1/search/upload", files=files, timeout=LIMIT_S)
    assert answer.status_code == 200, answer.text
    assert answer.json()["hits"][0]["name"] == "farm_dog.mp4"


def test_uploads_are_bounded_in_size(library: Library, tmp_path: Path) -> None:
    settings = Settings(port=free_port(), upload_bytes=100_000, cache=tmp_path)
    with serving(library, settings) as url:
        files = {"file": ("big.bin", os.urandom(200_001))}
        assert httpx.post(f"{url}/api/v1/search/upload", files=files).status_code == 413

        def unannounced():
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
            for _ in range(100):
                yield b"x" * 65536

        form = {"Content-Type": "multipart/form-data; boundary=b"}
        with contextlib.suppress(httpx.WriteError):  # the line may be cut while sending
            answer = httpx.post(f"{url}/api/v1/search/upload", content=unannounced(), headers=form)
            assert answer.status_code == 413


def test_decoding_is_bounded_in_time_and_memory(films: list[Path], tmp_path: Path) -> None:
    given = {"path": str(films[0]), "at_s": 1.0, "height_px": 100, "output": str(tmp_path / "x")}
    with pytest.raises(MediaError, match="longer than 0 s"):
        call("frame", Limits(time_s=0.05, memory_bytes=3 << 30), **given)
    with pytest.raises(MediaError, match=r"needs more memory|within the limits"):
        call("frame", Limits(time_s=30, memory_bytes=80 << 20), **given)
    assert not (tmp_path / "x").exists()
    call("frame", Limits(time_s=30, memory_bytes=3 << 30), **given)
    assert (tmp_path / "x").stat().st_size > 500


def test_a_full_queue_says_when_to_come_again() -> None:
    async def crowd() -> list[str]:
        queue, gate = Queue("searches", 1, 1), threading.Event()
        calls = [asyncio.create_task(queue.run(gate.wait, 5)) for _ in range(3)]
        await asyncio.sleep(0.2)
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [type(result).__name__ for result in results]

    assert sorted(asyncio.run(crowd())) == ["Busy", "bool", "bool"]
    assert Busy("x").headers == {"Retry-After": "1"}
