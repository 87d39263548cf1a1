"""Faulty HTTP servers that replace an S3 server, or pass requests on to a real one."""

from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import ClassVar


class Refusing(BaseHTTPRequestHandler):
    """Answers every GET with an S3 error code."""

    status, code = 403, ""

    def do_GET(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Unconditional(BaseHTTPRequestHandler):
    """Forwards requests to `endpoint` without the condition of a PUT."""

    endpoint, dropped_header = "", "if-none-match"

    def _forward(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        headers = {k: v for k, v in self.headers.items() if k.lower() != self.dropped_header}
        server = HTTPConnection(self.endpoint.removeprefix("http://"))
        server.request(self.command, self.path, self.rfile.read(size), headers)
        response = server.getresponse()
        status, headers, body = response.status, dict(response.headers), response.read()
        server.close()
        if self.is_lost():
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def is_lost(self) -> bool:
        """Whether the client gets no response."""
        return False

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _forward

    def log_message(self, *_: object) -> None:
        pass


class LosingResponses(Unconditional):
    """Loses the first response to each new version, then refuses four retries."""

    dropped_header, is_armed = "", False
    lost: ClassVar[list[str]] = []

    def is_lost(self) -> bool:
        is_new = self.command == "PUT" and "/_versions/" in self.path
        if not self.is_armed or not (is_new or self.path in self.lost):
            return False
        self.lost.append(self.path)
        if 2 <= self.lost.count(self.path) <= 5:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return self.lost.count(self.path) <= 5
