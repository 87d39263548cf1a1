"""`seehear serve --ray`: the page's API before shards on Ray Serve, and one of them lost."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from cluster.made import fill
from seaweed import free_ports
from seehear import Library
from seehear.engine.tags import TagsEngine
from waiting import LIMIT_S, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:lance is not fork-safe"),  # Ray starts programs, no forks
]


def ask(url: str, text: str) -> dict[str, Any]:
    body = json.dumps({"text": text}).encode()
    request = Request(f"{url}/api/v1/search", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=LIMIT_S) as answer:
        return json.load(answer)


def hits(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(hit["item"], round(hit["score"], 6)) for hit in answer["hits"]]


@contextmanager
def serving(root: Path, *words: str) -> Iterator[str]:
    """The command, until it answers; ended by Ctrl-C."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "seehear", "serve", "-l", str(root), "--port", str(port)]
    child = subprocess.Popen([*command, *words])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: child.poll() is not None or is_there(f"{url}/readyz"), url)
        assert child.poll() is None
        yield url
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(LIMIT_S)


def is_there(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_the_page_answers_from_shards_and_reports_missing_shards(
    cluster: Any, tags_engine: TagsEngine, tmp_path: Path
):
    root = tmp_path / "library"
    fill(root, tags_engine, 40)
    address = cluster.get_runtime_context().gcs_address
    with serving(root, "--ray", address, "--shards", "2") as url, Library.open(root) as library:
        for text in ("a dog barking", "a church bell"):
            answer = ask(url, text)
            ours = library.search(text, limit=24)
            assert hits(answer) == [(hit.item_id, round(hit.score, 6)) for hit in ours.hits]
            assert (answer["verdict"], answer["items_searched"]) == (ours.verdict, 60)
        refuses_another(tmp_path / "other", address, tags_engine)
        (root / "catalog").rename(tmp_path / "catalog")  # without it no replica can start
        lose_replica(cluster, "seehear-1-2")
        partial = ask(url, text)
        assert partial["items_searched"] < 60
        assert partial["verdict"].startswith("only ")
        assert "of the library was searched: 1 of 2 shards did not answer" in partial["verdict"]
        (tmp_path / "catalog").rename(root / "catalog")
        wait_until(lambda: ask(url, text)["verdict"] == ours.verdict, "both shards")
        with urlopen(f"{url}{answer['hits'][0]['thumbnail']}", timeout=LIMIT_S) as picture:
            assert picture.status == 200
    wait_until(lambda: not replicas(cluster, "seehear"), "the end of the replicas")


def refuses_another(root: Path, address: str, engine: TagsEngine) -> None:
    """Shards are identified by their library too, not by their number alone."""
    fill(root, engine, 4)
    command = [sys.executable, "-m", "seehear", "serve", "-l", str(root), "--ray", address]
    command += ["--shards", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 4
    assert "of this cluster belong to" in done.stderr and "Traceback" not in done.stderr


def lose_replica(ray: Any, name: str) -> None:
    (lost,) = replicas(ray, name)
    ray.kill(ray.get_actor(lost, namespace="serve"))


def replicas(ray: Any, name: str) -> list[str]:
    named = [each["name"] for each in ray.util.list_named_actors(all_namespaces=True)]
    return [each for each in named if f"SERVE_REPLICA::{name}" in each]
