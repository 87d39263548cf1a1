"""A thin Python client: the API's JSON as dicts, errors as SeeHearError.

with Client("http://127.0.0.1:8420") as client:
    for hit in client.search("a dog barking")["hits"]:
        print(hit["path"], hit["start_s"])
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from seehear.errors import SeeHearError


class Client:
    """One connection to a service; `token` if the service requires one."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s)

    def search(self, text: str = "", *, like: str | Path = "", **fields: Any) -> dict[str, Any]:
        """An answer; `like` uploads a file, `fields` are those of the API (mode, limit ...)."""
        query = {"text": text, **fields}
        if not like:
            return self._json("POST", "/search", json=query)
        with Path(like).open("rb") as file:
            files, form = {"file": (Path(like).name, file)}, {"query": json.dumps(query)}
            return self._json("POST", "/search/upload", files=files, data=form)

    def items(self) -> Iterator[dict[str, Any]]:
        """All moments."""
        after = ""
        while True:
            page = self._json("GET", "/items", params={"after": after, "limit": 1000})
            yield from page["items"]
            if page["next"] is None:
                return
            after = page["next"]

    def status(self) -> dict[str, Any]:
        """Counts of the library."""
        return self._json("GET", "/status")

    def index(
        self, paths: Sequence[str | Path], *, prune: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Start an indexing job and yield its state until it ends."""
        wanted = {"paths": [str(path) for path in paths], "prune": prune}
        job = self._json("POST", "/jobs", json=wanted)
        with self._http.stream("GET", f"/api/v1/jobs/{job['id']}/events") as events:
            for line in events.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def export(self, items: Sequence[str], *, format: str = "csv") -> bytes:
        """Moments as csv, json, edl, otio or a zip of clips."""
        moments = [{"item": item} for item in items]
        return self._request("POST", "/export", json={"format": format, "moments": moments}).content

    def get(self, link: str) -> bytes:
        """The bytes behind a link of an answer: a thumbnail, a file, a proxy."""
        return self._checked(self._http.get(link)).content

    def _json(self, method: str, path: str, **given: Any) -> Any:
        return self._request(method, path, **given).json()

    def _request(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self._checked(self._http.request(method, f"/api/v1{path}", **given))

    @staticmethod
    def _checked(answer: httpx.Response) -> httpx.Response:
        if answer.is_error:
            kind = answer.headers.get("content-type", "")
            detail = answer.json()["detail"] if "json" in kind else answer.reason_phrase
            raise SeeHearError(f"{detail} ({answer.status_code})")
        return answer

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
