"""Two machines on one: network namespaces joined by a cable, a Ray node in each, one S3 server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from seaweed import KEYS, Seaweed

HEAD, WORKER = "10.77.0.1", "10.77.0.2"
GCS = f"{HEAD}:6379"  # outside of Ray's range of worker ports
RAY = str(Path(sys.executable).with_name("ray"))
SMALL = ["--num-cpus=1", "--object-store-memory=200000000", "--include-dashboard=false"]


class Nodes:
    """Everything is taken down again by `stop`, whatever was started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        mark = os.getpid() % 100000
        self.spaces = [f"sh{mark}a", f"sh{mark}b"]
        self.cable = [f"v{mark}a", f"v{mark}b"]
        self.server: Seaweed | None = None
        self._nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._lay_cable()
        self.server = Seaweed(self.folder / "s3", host=HEAD, around=self.inside(0))
        self.server.start()
        head = ["start", "--head", "--port=6379", f"--node-ip-address={HEAD}", *SMALL]
        self._nodes.append(self._ray(0, [*head, "--block"]))
        self._wait_for_head(seconds=120)
        self.join()

    def join(self) -> None:
        """The second machine comes to the cluster."""
        options = [f"--address={GCS}", f"--node-ip-address={WORKER}", *SMALL[:2], "--block"]
        self._nodes.append(self._ray(1, ["start", *options]))

    def lose_worker(self) -> None:
        """The second machine is gone: every process in its namespace is killed."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.spaces[1]], capture_output=True, text=True, check=True
        )
        subprocess.run(["kill", "-9", *found.stdout.split()], check=False)

    def inside(self, number: int) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.spaces[number])

    def python(self, script: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
        """A script on the first machine."""
        with (self.folder / "errors.txt").open("ab") as errors:
            return subprocess.Popen(
                [*self.inside(0), sys.executable, str(script), *words],
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def errors(self) -> str:
        """What the scripts complained about."""
        return (self.folder / "errors.txt").read_text()

    def stop(self) -> None:
        if self.server:
            self.server.stop()
        for space in self.spaces:
            found = subprocess.run(
                ["ip", "netns", "pids", space], capture_output=True, text=True, check=False
            )
            if found.stdout.split():
                subprocess.run(["kill", "-9", *found.stdout.split()], check=False)
        for node in self._nodes:
            node.wait()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
            shutil.rmtree(f"/tmp/{space}", ignore_errors=True)

    def _lay_cable(self) -> None:
        if not shutil.which("ip"):
            pytest.skip("no network namespaces here: the program ip (iproute2) is missing")
        steps: list[Sequence[str]] = [
            *(["ip", "netns", "add", space] for space in self.spaces),
            ["ip", "link", "add", self.cable[0], "type", "veth", "peer", "name", self.cable[1]],
        ]
        for space, end, address in zip(self.spaces, self.cable, (HEAD, WORKER), strict=True):
            inside = ["ip", "-n", space]
            steps += [
                ["ip", "link", "set", end, "netns", space],
                [*inside, "addr", "add", f"{address}/24", "dev", end],
                [*inside, "link", "set", end, "up"],
                [*inside, "link", "set", "lo", "up"],
            ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                self.stop()
                pytest.skip(f"no network namespaces here: {' '.join(step)}: {done.stderr.strip()}")

    def _wait_for_head(self, *, seconds: float) -> None:
        until = time.monotonic() + seconds
        ask = [*self.inside(0), RAY, "status", f"--address={GCS}"]
        while subprocess.run(ask, capture_output=True, timeout=seconds, check=False).returncode:
            if time.monotonic() > until:
                raise TimeoutError((self.folder / "ray 0.txt").read_text()[-3000:])
            time.sleep(1)

    def _ray(self, number: int, words: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"ray {number}.txt").open("ab") as log:
            return subprocess.Popen(
                [*self.inside(number), RAY, *words],
                stdout=log,
                stderr=log,
                env=os.environ
                | KEYS
                | {"RAY_TMPDIR": f"/tmp/{self.spaces[number]}"}
                | {"AWS_ENDPOINT_URL": self.server.endpoint if self.server else ""},
            )
