"""A library on S3 made and searched by a cluster of two machines; one is lost meanwhile."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.nodes import Nodes
from seaweed import BUCKET, KEYS
from seehear.engine.tags import TagsEngine
from waiting import LIMIT_S

DRIVE = Path(__file__).with_name("drive.py")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'seehear[cluster]'")
    made = Nodes(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.slow
def test_a_machine_lost_in_the_middle_costs_nothing(
    nodes: Nodes, tags_engine: TagsEngine, shared_data: Path, tmp_path: Path
):
    assert nodes.server is not None
    child = nodes.python(
        DRIVE,
        f"s3://{BUCKET}/library",
        str(shared_data / "media" / "pairs"),
        AWS_ENDPOINT_URL=nodes.server.endpoint,
        XDG_DATA_HOME=str(tmp_path / "data"),
        PYTHONPATH=os.pathsep.join([str(DRIVE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        **KEYS,
    )
    limit = threading.Timer(3 * LIMIT_S, child.kill)
    limit.start()
    said: list[dict[str, object]] = []
    assert child.stdout is not None
    for line in child.stdout:
        if not line.startswith("{"):  # Ray speaks too
            continue
        said.append(json.loads(line))
        if said[-1].get("done") == 4:
            nodes.lose_worker()
        if "again" in said[-1]:
            nodes.join()
    child.stdout.close()
    limit.cancel()
    assert child.wait(LIMIT_S) == 0, nodes.errors()[-3000:]
    figures = {key: value for each in said for key, value in each.items()}
    assert figures["nodes"] == 2
    files = figures["indexed"]
    assert isinstance(files, int) and files > 8
    assert figures["done"] == files
    assert (figures["again"], figures["unchanged"], figures["problems"]) == (0, files, [])
    versions = figures["versions"]
    assert isinstance(versions, dict) and len(versions) == 4
    assert set(versions.values()) == {figures["commits"]}  # one of each table for each commit
    assert float(str(figures["wrote"])) > 0  # by workers
    searches = [each for each in said if "same" in each]
    assert len(searches) == 3
    for each in searches:
        assert each["same"] and float(str(each["apart"])) <= 1e-6
    partial = figures["partial"]
    assert isinstance(partial, dict) and partial["items"] < figures["whole"]
    assert str(partial["verdict"]).startswith("only ")
    assert "1 of 2 shards did not answer" in str(partial["verdict"])
    assert figures["healed"] is True
