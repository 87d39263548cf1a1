"""The API over real HTTP, mostly through the client."""

import asyncio
import csv
import io
import json
import os
import zipfile
from pathlib import Path

import httpx
import opentimelineio as otio
import pytest

from media.media_clips import RED, tone, write_clip
from seehear import Library
from seehear.errors import SeeHearError
from seehear.media import probe
from seehear.server import Settings, jobs
from seehear.server.client import Client
from server.conftest import free_port, serving
from waiting import LIMIT_S, wait_until


@pytest.fixture
def client(url: str):
    with Client(url) as client:
        yield client


def names(answer: dict) -> list[str]:
    return [hit["name"] for hit in answer["hits"]]


def test_a_search_says_what_the_library_says(client: Client, library: Library) -> None:
    answer = client.search("a dog barking", limit=3)
    expected = library.search("a dog barking", limit=3)
    assert [hit["item"] for hit in answer["hits"]] == [hit.item_id for hit in expected.hits]
    first = answer["hits"][0]
    assert first["name"] == "farm_dog.mp4"
    assert first["seen"] + first["heard"] == pytest.approx(first["score"])
    assert len(first["seen_timeline"]["times_s"]) == len(first["seen_timeline"]["weights"]) > 0


def test_pages_follow_each_other(client: Client) -> None:
    whole = client.search("a horse", limit=6)
    parts = client.search("a horse", limit=4), client.search("a horse", limit=4, offset=4)
    assert names(parts[0]) + names(parts[1]) == names(whole)
    assert parts[0]["next_offset"] == 4
    assert parts[1]["next_offset"] is None
    assert len(list(client.items())) == 6


def test_each_sense_alone_and_the_weight_between(client: Client) -> None:
    seen = client.search("a dog barking", mode="seen")
    heard = client.search("a dog barking", mode="heard")
    assert all(hit["heard"] == 0 for hit in seen["hits"])
    assert names(heard)[:2] != names(seen)[:2]
    assert client.search("a dog barking", audio_weight=1.0)["audio_weight"] == 1


def test_more_like_a_moment_by_looks_and_by_sound(client: Client) -> None:
    items = {Path(item["path"]).name: item["item"] for item in client.items()}
    looks = client.search(item=items["horse__wrong.mp4"], mode="seen")
    sounds = client.search(item=items["horse__wrong.mp4"], mode="heard")
    assert names(looks)[:2] == ["farm_horse.mp4", "horse__wrong.mp4"] or names(looks)[0] in (
        "horse__wrong.mp4",
        "farm_horse.mp4",
    )
    assert names(sounds)[0] in ("horse__wrong.mp4", "farm_dog.mp4")
    assert names(looks)[1] == ({"horse__wrong.mp4", "farm_horse.mp4"} - {names(looks)[0]}).pop()


def test_a_file_is_a_question_and_a_bad_one_a_sentence(
    client: Client, films: list[Path], tmp_path: Path
) -> None:
    assert names(client.search(like=films[0], mode="heard"))[0] in (
        "farm_dog.mp4",
        "horse__wrong.mp4",
    )
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(os.urandom(5000))
    with pytest.raises(SeeHearError, match=r"'broken' .*\(422\)"):
        client.search(like=broken)
    with pytest.raises(SeeHearError, match="leave out 'text' and 'item'"):
        client.search(like=films[0], text="two questions")


def test_pictures_have_etags_and_files_have_ranges(
    url: str, client: Client, films: list[Path]
) -> None:
    hit = client.search("a dog barking", limit=1)["hits"][0]
    picture = httpx.get(url + hit["thumbnail"])
    assert picture.headers["content-type"] in ("image/webp", "image/jpeg")
    again = httpx.get(url + hit["thumbnail"], headers={"If-None-Match": picture.headers["etag"]})
    assert again.status_code == 304
    assert not again.content
    part = httpx.get(url + hit["media"], headers={"Range": "bytes=100-299"})
    assert part.status_code == 206
    assert part.content == films[0].read_bytes()[100:300]
    same = {"If-None-Match": part.headers["etag"]}
    assert httpx.get(url + hit["media"], headers=same).status_code == 304
    more = {"Range": "bytes=0-9", "If-Range": part.headers["etag"]}
    assert httpx.get(url + hit["media"], headers=more).status_code == 206
    frame = httpx.get(url + hit["frame"], params={"at_s": 2.0, "height": 120})
    assert frame.headers["content-type"] in ("image/webp", "image/jpeg")
    assert httpx.get(url + hit["frame"], params={"at_s": 999}).status_code == 404


@pytest.mark.parametrize("path", ["/items?limit=2", "/status", "/openapi.json"])
def test_what_has_not_changed_is_not_sent_again(url: str, path: str) -> None:
    first = httpx.get(f"{url}/api/v1{path}")
    assert first.json()
    same = {"If-None-Match": first.headers["etag"]}
    again = httpx.get(f"{url}/api/v1{path}", headers=same)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-content-type-options"] == "nosniff"


def test_a_full_queue_returns_retry_after(library: Library, tmp_path: Path) -> None:
    settings = Settings(
        port=free_port(), searches_at_once=1, searches_waiting=0, cache=tmp_path / "cache"
    )

    async def crowd(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=LIMIT_S) as http:
            ask = {"text": "a dog barking", "exact": True}
            asked = [http.post(f"{url}/api/v1/search", json=ask) for _ in range(12)]
            return await asyncio.gather(*asked)

    with serving(library, settings) as url:
        answers = asyncio.run(crowd(url))
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert "try again in a second" in refused.json()["detail"]
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_proxy_is_made_once_and_plays(url: str, client: Client, tmp_path: Path) -> None:
    hit = client.search("a cat", limit=1)["hits"][0]
    film = tmp_path / "proxy.mp4"
    film.write_bytes(client.get(hit["proxy"]))
    info = probe(film)
    assert "h264" in info.codec
    assert info.duration_s == pytest.approx(hit["end_s"] - hit["start_s"], abs=0.3)
    tag = httpx.head(url + hit["proxy"].split("?")[0], follow_redirects=True)
    assert tag.status_code in (200, 405)
    assert client.get(hit["proxy"]) == film.read_bytes()


def test_exports_read_back(client: Client) -> None:
    hits = client.search("a dog", limit=3)["hits"]
    items = [hit["item"] for hit in hits]
    rows = list(csv.DictReader(io.StringIO(client.export(items).decode())))
    assert [row["path"] for row in rows] == [hit["path"] for hit in hits]
    assert len(json.loads(client.export(items, format="json"))["moments"]) == 3
    timeline = otio.adapters.read_from_string(
        client.export(items, format="otio").decode(), "otio_json"
    )
    spans = [clip.source_range.duration.to_seconds() for clip in timeline.video_tracks()[0]]
    assert spans == pytest.approx([hit["end_s"] - hit["start_s"] for hit in hits], abs=0.1)
    assert client.export(items, format="edl").decode().count("* FROM CLIP NAME") == 3
    with zipfile.ZipFile(io.BytesIO(client.export(items, format="clips"))) as archive:
        assert len(archive.namelist()) == 3


def test_indexing_reports_progress_and_end(tmp_path: Path, library: Library) -> None:
    """A job on a separate library: two clips and one broken file."""
    assert library  # weights are here
    films = tmp_path / "films"
    films.mkdir()
    write_clip(films / "a.mp4", shots=[(0, RED)], sounds=[tone(4, (1, 2))])
    (films / "b.mp4").write_bytes(b"no film")
    with (
        Library.create(tmp_path / "own") as own,
        serving(own, Settings(port=free_port(), cache=tmp_path / "cache")) as url,
        Client(url) as client,
    ):
        assert client.search("anything")["hits"] == []
        news = list(client.index([films]))
        assert news[-1]["state"] == "done"
        assert news[-1]["indexed"] == 1
        assert news[-1]["problems"][0]["path"].endswith("b.mp4")
        assert len(client.search("a red picture")["hits"]) == 1
        assert client.status()["failed"][0]["path"].endswith("b.mp4")
        with pytest.raises(SeeHearError, match="not an absolute path"):
            list(client.index(["films"]))
        assert httpx.get(f"{url}/api/v1/jobs/{'0' * 16}").status_code == 404


def test_an_ingest_that_does_not_come_on_is_stopped(
    tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert library  # weights are here
    monkeypatch.setattr(jobs, "STUCK_S", 0.2)  # less than a process needs to begin
    films = tmp_path / "films"
    films.mkdir()
    write_clip(films / "a.mp4", shots=[(0, RED)])
    with Library.create(tmp_path / "own") as own:
        work = jobs.Jobs(own)
        job = work.start([str(films)], prune=False)
        wait_until(lambda: job.state != "running", "the end of the job")
        assert job.state == "failed"
        assert "made no progress" in job.error
        monkeypatch.undo()
        job = work.start([str(films)], prune=False)
        wait_until(lambda: job.state != "running", "the end of the job")
        assert (job.state, job.indexed) == ("done", 1)


def test_health_metrics_and_problems(url: str) -> None:
    assert httpx.get(f"{url}/healthz").text == "ok"
    assert httpx.get(f"{url}/readyz").text == "tags"
    assert (
        'seehear_requests_total{route="/healthz",status="200"}' in httpx.get(f"{url}/metrics").text
    )
    problem = httpx.post(f"{url}/api/v1/search", json={"text": "a", "limit": 0})
    assert problem.status_code == 422
    assert problem.headers["content-type"] == "application/problem+json"
    assert set(problem.json()) == {"type", "title", "status", "detail"}
    assert "limit" in problem.json()["detail"]
    nothing = httpx.post(f"{url}/api/v1/search", json={})
    assert nothing.json()["detail"].startswith("give a text or an example")
    unknown = httpx.get(f"{url}/api/v1/items/{'0' * 32}-0000")
    assert unknown.status_code == 404
