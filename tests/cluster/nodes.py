"""Two network namespaces with a Ray node each and one S3 server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence, Set
from pathlib import Path

import pytest

from seaweed import KEYS, Seaweed

HEAD, WORKER = "10.77.0.1", "10.77.0.2"
GCS = f"{HEAD}:6379"  # outside of Ray's range of worker ports
RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
SMALL = ["--num-cpus=1", "--object-store-memory=200000000"]


class Nodes:
    """Everything is taken down again by `stop`, whatever was started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        mark = os.getpid() % 100000
        self.spaces = [f"sh{mark}a", f"sh{mark}b"]
        self.cable = [f"v{mark}a", f"v{mark}b"]
        self.server: Seaweed | None = None

    def start(self) -> None:
        self._connect()
        self.server = Seaweed(self.folder / "s3", host=HEAD, around=self.inside(0))
        self.server.start()
        head = ["--head", "--port=6379", f"--node-ip-address={HEAD}", "--include-dashboard=false"]
        self._start_ray(0, head)
        self.join()

    def join(self) -> None:
        """The second machine comes to the cluster."""
        self._start_ray(1, [f"--address={GCS}", f"--node-ip-address={WORKER}"])

    def lose_worker(self) -> None:
        """The second machine is gone: every process in its namespace is killed."""
        self._kill(1)

    def inside(self, number: int) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.spaces[number])

    def python(self, script: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
        """A script on the first machine."""
        with (self.folder / "errors.txt").open("ab") as errors:
            return subprocess.Popen(
                [*self.inside(0), sys.executable, str(script), *words],
                env=os.environ | TOKEN | environment,
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
        for number, space in enumerate(self.spaces):
            self._kill(number)
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
            shutil.rmtree(f"/tmp/{space}", ignore_errors=True)

    def _pids(self, number: int) -> set[str]:
        ask = ["ip", "netns", "pids", self.spaces[number]]
        return set(subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split())

    def _kill(self, number: int, *, but: Set[str] = frozenset()) -> None:
        if doomed := self._pids(number) - but:
            subprocess.run(["kill", "-9", *doomed], check=False)

    def _connect(self) -> None:
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

    def _start_ray(self, number: int, words: Sequence[str]) -> None:
        """Returns once the node is up; a busy machine may need a second try."""
        environment = {"RAY_TMPDIR": f"/tmp/{self.spaces[number]}"}
        environment["AWS_ENDPOINT_URL"] = self.server.endpoint if self.server else ""
        log, others = self.folder / f"ray {number}.txt", self._pids(number)
        command = ["timeout", "100", *self.inside(number), RAY, "start", *words, *SMALL]
        for _ in range(3):
            with log.open("ab") as said:
                done = subprocess.run(
                    command, stdout=said, stderr=said, env=os.environ | KEYS | TOKEN | environment
                )
            if done.returncode == 0:
                return
            self._kill(number, but=others)
        raise RuntimeError(log.read_text()[-3000:])
