"""S3 requests: connection from the environment, retries, and errors in plain words.

Server, region and credentials come from the environment, as for other S3 tools (AWS_REGION,
AWS_ENDPOINT_URL, keys, profiles, roles). None of them is stored or logged.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from seehear.errors import LibraryError

RETRY_S = 60.0  # how long a request is retried while the server does not respond
WARN_AFTER_S = 5.0  # without a response, log that the request is being retried
T = TypeVar("T")
log = logging.getLogger(__name__)


class S3Client:
    """Connection to the bucket of one library."""

    def __init__(self, root: str, bucket: str) -> None:
        self._root, self._bucket = root, bucket
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._has_warned = False  # since the last response

    def lance_options(self) -> dict[str, str]:
        """Connection options for Lance; it reads credentials from the environment itself."""
        options = {
            "aws_region": self._region,
            "client_max_retries": "32",
            "client_retry_timeout": str(int(RETRY_S)),
            "connect_timeout": "5s",
        }
        if self.endpoint:
            options["aws_endpoint"] = self.endpoint
            options["allow_http"] = str(self.endpoint.startswith("http:")).lower()
        return options

    @cached_property
    def filesystem(self) -> Any:
        """The bucket as a pyarrow file system, without its retries."""
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        return S3FileSystem(
            region=self._region,
            endpoint_override=self.endpoint,
            connect_timeout=5,
            request_timeout=30,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
        )

    def require_bucket(self) -> None:
        """Raises: LibraryError if the bucket does not exist or cannot be reached."""
        from pyarrow.fs import FileType

        info = self.request(partial(self.filesystem.get_file_info, self._bucket))
        if info.type == FileType.NotFound:
            raise LibraryError(self._permanent_error("NoSuchBucket"))

    def request(self, call: Callable[[], T]) -> T:
        """Run a request, retrying for RETRY_S while the server does not respond.

        Raises: LibraryError if it cannot succeed or the time is over.
        """
        warning = threading.Timer(WARN_AFTER_S, self._warn)
        warning.daemon = True
        warning.start()
        try:
            answer = self._retry(call)
            self._has_warned = False
            return answer
        finally:
            warning.cancel()

    def _retry(self, call: Callable[[], T]) -> T:
        until = time.monotonic() + RETRY_S
        pause_s = 0.2
        while True:
            try:
                return call()
            except OSError as error:
                reason = self._permanent_error(str(error))
                if reason or time.monotonic() + pause_s > until:
                    raise LibraryError(reason or self._timeout_error(str(error))) from error
            time.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, 8.0)

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning("%s does not respond; retrying", self._server)

    def _permanent_error(self, text: str) -> str:
        """Explain an error that a retry cannot fix; "" for other errors."""
        code = text.replace("_", "").lower()
        if "nosuchbucket" in code:
            return f"there is no bucket '{self._bucket}'; create it, or correct the address"
        if "requesttimetooskewed" in code:
            return (
                f"the clock of this machine differs too much from that of {self._server}; set it "
                "(e.g. with an NTP service) and try again"
            )
        if any(word in code for word in ("accessdenied", "accesskeyid", "signaturedoes", "token")):
            return (
                f"no permission for '{self._root}'; use credentials that may list the bucket and "
                "get, put and delete objects below the prefix (AWS_ACCESS_KEY_ID with "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
            )
        return ""

    def _timeout_error(self, text: str) -> str:
        return (
            f"{self._server} did not respond for {RETRY_S:.0f} s ({text.splitlines()[0][:160]}); "
            "start it, or check AWS_ENDPOINT_URL and the network; committed data is not affected"
        )

    @property
    def _server(self) -> str:
        host = urlsplit(self.endpoint).netloc if self.endpoint else "AWS"
        return f"the S3 server '{host}'"

    @cached_property
    def _region(self) -> str:
        from pyarrow.fs import resolve_s3_region

        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region or self.endpoint:
            return region or "us-east-1"
        return self.request(partial(resolve_s3_region, self._bucket))
