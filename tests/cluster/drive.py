"""What the first of two machines does: `drive.py LIBRARY FOLDER`; says one JSON a line."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from filelock import FileLock
from ray.util import list_named_actors

from cluster.made import versions_by_batch
from cluster.nodes import GCS, HEAD
from seaweed import make_bucket
from seehear import Library
from seehear.cluster import Shards, on_ray, served
from seehear.types import Query
from waiting import wait_until

QUERIES = ["a tractor in a field", "a dog barking", "loud explosions and gunfire"]
QUERY = Query(text=QUERIES[0])


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def join(nodes: int) -> None:
    """Connect once all machines have: on a busy one that takes a while."""

    def are_here() -> bool:
        try:
            if not ray.is_initialized():
                ray.init(address=GCS, _node_ip_address=HEAD, log_to_driver=False)
            return sum(node["Alive"] for node in ray.nodes()) >= nodes
        except (ConnectionError, RuntimeError):
            ray.shutdown()
            return False

    wait_until(are_here, f"{nodes} machines")


def lose_replica(divided: Shards, cache: str) -> dict[str, Any]:
    """Kill the process of one shard, and what is answered while it cannot come back."""
    (lock,) = Path(cache).glob("*-1-2-*.lock")
    names = [each["name"] for each in list_named_actors(all_namespaces=True)]
    name = next(name for name in names if "SERVE_REPLICA::seehear-1-2" in name)
    with FileLock(lock):
        ray.kill(ray.get_actor(name, namespace="serve"))
        answer = divided.search(QUERY)
    return {"verdict": answer.verdict, "items": answer.items_searched}


def wait_for(divided: Shards, items: int) -> bool:
    """Whether all items are searched again after a while."""
    with suppress(TimeoutError):
        wait_until(lambda: divided.search(QUERY).items_searched == items, "all items")
        return True
    return False


def main() -> None:
    root, folder = sys.argv[1:]
    make_bucket(os.environ["AWS_ENDPOINT_URL"])
    join(2)
    say(nodes=sum(node["Alive"] for node in ray.nodes()))
    with Library.create(root, engine="tags") as library:
        done = 0

        def progress(stage: str, so_far: float, total: float) -> None:
            nonlocal done
            done += stage == "index"
            say(done=done)

        report = library.add([folder], indexer=on_ray(GCS), progress=progress)
        say(indexed=report.indexed, problems=report.problems, commits=report.commits)
        say(versions=versions_by_batch(root), wrote=report.spent_s["write"])
        again = library.add([folder], indexer=on_ray(GCS))
        say(again=again.indexed, unchanged=again.unchanged)
        say(problems=library.verify(full=True))
        cache = f"{os.environ['XDG_DATA_HOME']}/replicas"
        join(2)  # the lost one is back
        divided = served(root, of=2, address=GCS, cores=0.6, cache=cache)  # one shard on each
        for text in QUERIES:
            ours, theirs = divided.search(Query(text=text)), library.search(text)
            apart = [abs(a.score - b.score) for a, b in zip(ours.hits, theirs.hits, strict=True)]
            same = [hit.item_id for hit in ours.hits] == [hit.item_id for hit in theirs.hits]
            say(same=same, apart=max(apart), items=ours.items_searched)
        say(partial=lose_replica(divided, cache), whole=library.status().items)
        say(healed=wait_for(divided, library.status().items))
    ray.shutdown()


if __name__ == "__main__":
    main()
