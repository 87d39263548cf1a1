"""Clusters that are not here: queries and ingest as discrete events, from measured service times.

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
    disk_dollars_per_gb: float = 0.10  # a month, beside a machine
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


def queries(items: float, shards: int, service: Service, assumed: Assumed, asked: int) -> list[Row]:
    """So many queries against a cluster in which machines fail as often as assumed."""
    rng = np.random.default_rng(0)
    copy_s = items / shards * COPIED_BYTES / assumed.copy_bytes_per_s
    world = simpy.Environment()
    machines = [simpy.Resource(world, assumed.cores_per_shard) for _ in range(shards)]
    link = simpy.Resource(world, 1)
    took: list[float] = []
    busy: list[float] = []

    def part(machine: simpy.Resource):
        with machine.request() as turn:
            yield turn
            spent = service.draw(rng)
            busy.append(spent)
            yield world.timeout(spent)

    def query():
        begun = world.now
        parts = [world.process(part(machine)) for machine in machines]
        yield world.all_of(parts)
        with link.request() as turn:  # all answers enter the coordinator by one link
            yield turn
            sent = shards * (2 * 100 * ANSWER_BYTES + QUERY_BYTES)
            yield world.timeout(sent / assumed.link_bytes_per_s)
        yield world.timeout((assumed.hop_ms + shards * assumed.merge_ms_per_shard) / 1000)
        took.append(world.now - begun)

    def users():
        for _ in range(asked):
            yield world.timeout(rng.exponential(1 / assumed.queries_per_s))
            world.process(query())

    world.process(users())
    world.run()
    whole, searched = outages(shards, copy_s, assumed)
    name = f"simulated {items:.0e}"
    cores = shards * assumed.cores_per_shard
    dollars = {
        "S3": items * ITEM_BYTES / 1e9 * assumed.stored_dollars_per_gb,
        "disks": items * COPIED_BYTES / 1e9 * assumed.disk_dollars_per_gb,
        "cores": cores * assumed.core_dollars_per_h * 730,
    }
    return [
        (f"{name}, shards", shards, ""),
        (f"{name}, query p50", 1000 * float(np.percentile(took, 50)), "ms"),
        (f"{name}, query p95", 1000 * float(np.percentile(took, 95)), "ms"),
        (f"{name}, cores busy", 100 * sum(busy) / (world.now * cores), "%"),
        (f"{name}, network per query", shards * (200 * ANSWER_BYTES + QUERY_BYTES) / 1e3, "kB"),
        (f"{name}, a new disk is filled in", copy_s / 60, "min"),
        (f"{name}, answers from the whole library", 100 * whole, "%"),
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


def told(assumed: Assumed) -> list[Row]:
    """The assumptions as rows."""
    return [
        (f"assumed: {field.name.replace('_', ' ')}", float(getattr(assumed, field.name)), "")
        for field in fields(assumed)
    ]
