"""Servers that misbehave between a library and its real S3 server."""

from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import ClassVar


class Answering(BaseHTTPRequestHandler):
    """Answers every request as an S3 server that refuses it."""

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


class Forgetful(BaseHTTPRequestHandler):
    """Passes requests on to a server, without the conditions of a PUT."""

    endpoint, without = "", "if-none-match"

    def _pass_on(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        headers = {k: v for k, v in self.headers.items() if k.lower() != self.without}
        server = HTTPConnection(self.endpoint.removeprefix("http://"))
        server.request(self.command, self.path, self.rfile.read(size), headers)
        answer = server.getresponse()
        status, told, body = answer.status, answer.headers, answer.read()
        server.close()
        if self.is_lost(status):
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in told.items():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def is_lost(self, status: int) -> bool:
        return False

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        pass


class Losing(Forgetful):
    """Of the first answer to each new version nothing is heard, and for a while it refuses."""

    without, is_armed = "", False
    lost: ClassVar[list[str]] = []

    def is_lost(self, status: int) -> bool:
        is_new = self.command == "PUT" and "/_versions/" in self.path
        if not self.is_armed or not (is_new or self.path in self.lost):
            return False
        self.lost.append(self.path)
        if 2 <= self.lost.count(self.path) <= 5:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return self.lost.count(self.path) <= 5
