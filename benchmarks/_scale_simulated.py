"""Discrete-event simulation of clusters: queries and ingest from measured service times.

Assumed, and printed with every result: the constants below. Measured, and handed in: how long one
shard takes for its part of a query, how long a file takes a worker and a batch the committer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import simpy

Row = tuple[str, float, str]
DAY_S = 86400.0
ITEM_BYTES, ANSWER_BYTES, QUERY_BYTES = 80_000, 44, 4_096  # stored; id and two scores; one query
COPIED_BYTES = 70_500  # of an item: tokens, vectors, index, keys; no picture


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What was not measured."""

    queries_per_s: float = 10.0
    cores_per_shard: int = 8  # so many queries at once
    link_bytes_per_s: float = 1.25e9  # 10 Gb/s
    hop_ms: float = 0.5  # there and back
    merge_ms_per_shard: float = 0.2  # of the coordinator
    machine_fails_every_days: float = 30.0
    disk_is_lost_with_it: float = 0.1  # else only the process starts again
    restart_s: float = 60.0
    copy_bytes_per_s: float = 1e9  # from S3 to a new disk
    stored_dollars_per_gb: float = 0.023  # a month, on S3
    disk_dollars_per_gb: float = 0.10  # a month, attached to a machine
    core_dollars_per_h: float = 0.04
    worker_fails_every_days: float = 7.0


@dataclass(frozen=True, kw_only=True)
class Service:
    """Median and 95th percentile of something, in seconds, as a log-normal."""

    p50_s: float
    p95_s: float

    def draw(self, rng: np.random.Generator) -> float:
        sigma = np.log(max(self.p95_s / self.p50_s, 1.001)) / 1.645
        return float(self.p50_s * np.exp(sigma * rng.standard_normal()))


class Cluster:
    """Shards with their cores, a link that all answers enter by, and users who ask."""

    def __init__(self, shards: int, service: Service, assumed: Assumed) -> None:
        self.world = simpy.Environment()
        self.took: list[float] = []  # seconds of each query
        self.busy_s = 0.0
        self._service, self._assumed = service, assumed
        self._machines = [
            simpy.Resource(self.world, assumed.cores_per_shard) for _ in range(shards)
        ]
        self._link = simpy.Resource(self.world, 1)
        self._rng = np.random.default_rng(0)

    def run(self, asked: int) -> None:
        """So many queries, as they come."""
        self.world.process(self._users(asked))
        self.world.run()

    def _users(self, asked: int):
        for _ in range(asked):
            yield self.world.timeout(self._rng.exponential(1 / self._assumed.queries_per_s))
            self.world.process(self._query())

    def _query(self):
        begun, shards = self.world.now, len(self._machines)
        yield self.world.all_of([self.world.process(self._part(each)) for each in self._machines])
        with self._link.request() as turn:
            yield turn
            yield self.world.timeout(answer_bytes(shards) / self._assumed.link_bytes_per_s)
        merge_ms = self._assumed.hop_ms + shards * self._assumed.merge_ms_per_shard
        yield self.world.timeout(merge_ms / 1000)
        self.took.append(self.world.now - begun)

    def _part(self, machine: simpy.Resource):
        with machine.request() as turn:
            yield turn
            spent = self._service.draw(self._rng)
            self.busy_s += spent
            yield self.world.timeout(spent)


def answer_bytes(shards: int) -> int:
    """Between the coordinator and all shards, for one query."""
    return shards * (2 * 100 * ANSWER_BYTES + QUERY_BYTES)


def queries(items: float, shards: int, service: Service, assumed: Assumed, asked: int) -> list[Row]:
    """So many queries against a cluster in which machines fail as often as assumed."""
    copy_s = items / shards * COPIED_BYTES / assumed.copy_bytes_per_s
    whole, searched = outages(shards, copy_s, assumed)
    cluster = Cluster(shards, service, assumed)
    cluster.run(asked)
    cores = shards * assumed.cores_per_shard
    dollars = {
        "S3": items * ITEM_BYTES / 1e9 * assumed.stored_dollars_per_gb,
        "disks": items * COPIED_BYTES / 1e9 * assumed.disk_dollars_per_gb,
        "cores": cores * assumed.core_dollars_per_h * 730,
    }
    name = f"simulated {items:.0e}"
    return [
        (f"{name}, shards", shards, ""),
        (f"{name}, query p50", 1000 * float(np.percentile(cluster.took, 50)), "ms"),
        (f"{name}, query p95", 1000 * float(np.percentile(cluster.took, 95)), "ms"),
        (f"{name}, cores busy", 100 * cluster.busy_s / (cluster.world.now * cores), "%"),
        (f"{name}, network per query", answer_bytes(shards) / 1e3, "kB"),
        (f"{name}, a new disk is filled in", copy_s / 60, "min"),
        (f"{name}, answers from the entire library", 100 * whole, "%"),
        (f"{name}, of the library searched on average", 100 * searched, "%"),
        *((f"{name}, {what} a month", cost, "$") for what, cost in dollars.items()),
    ]


def outages(shards: int, copy_s: float, assumed: Assumed) -> tuple[float, float]:
    """Over ten years: share of the time that all shards answer, and share of shards that do."""
    rng = np.random.default_rng(1)
    world = simpy.Environment()
    down, since = 0, 0.0
    spent = np.zeros(shards + 1)  # seconds by how many shards were down

    def changed(by: int) -> None:
        nonlocal down, since
        spent[down] += world.now - since
        down, since = down + by, world.now

    def machine():
        while True:
            yield world.timeout(rng.exponential(assumed.machine_fails_every_days * DAY_S))
            changed(1)
            is_disk_lost = rng.random() < assumed.disk_is_lost_with_it
            yield world.timeout(assumed.restart_s + is_disk_lost * copy_s)
            changed(-1)

    for _ in range(shards):
        world.process(machine())
    world.run(until=3650 * DAY_S)
    changed(0)
    shares = spent / spent.sum()
    return float(shares[0]), float(shares @ (1 - np.arange(shards + 1) / shards))


def ingest(file: Service, commit: Service, assumed: Assumed, files: int, workers: int) -> float:
    """Seconds that so many workers and one committer take for files in batches of 64."""
    rng = np.random.default_rng(workers)
    world = simpy.Environment()
    waiting = simpy.Container(world, init=files, capacity=files)
    done = simpy.Store(world)

    def worker():
        while waiting.level:
            yield waiting.get(1)
            spent = file.draw(rng)
            if rng.random() < spent / DAY_S / assumed.worker_fails_every_days:
                yield world.timeout(spent / 2 + assumed.restart_s)  # half done, then lost
                yield waiting.put(1)
                continue
            yield world.timeout(spent)
            yield done.put(1)

    def committer():
        for batch in range(0, files, 64):
            for _ in range(min(64, files - batch)):
                yield done.get()
            yield world.timeout(commit.draw(rng))

    for _ in range(workers):
        world.process(worker())
    world.run(until=world.process(committer()))
    return float(world.now)


def speed_ups(file: Service, commit: Service, assumed: Assumed, files: int) -> list[Row]:
    """How much faster 1 to 64 workers are than one."""
    alone = ingest(file, commit, assumed, files, 1)
    return [
        (
            f"simulated ingest, {workers} workers",
            alone / ingest(file, commit, assumed, files, workers),
            "x",
        )
        for workers in (1, 2, 4, 8, 16, 32, 64)
    ]


def assumption_rows(assumed: Assumed) -> list[Row]:
    """The assumptions as rows."""
    return [
        (f"assumed: {field.name.replace('_', ' ')}", float(getattr(assumed, field.name)), "")
        for field in fields(assumed)
    ]
