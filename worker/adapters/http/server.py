"""A small HTTP server on threads of its own: a table of routes, bounded in connections and in time.

It reads no bodies, keeps no connection, and tells nothing of the process but what its routes say.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from worker.core.errors import SetupError

CONNECTIONS_MAX: Final = 16
REQUEST_SECONDS: Final = 5.0
"""Bound of one read or write on a connection."""

_CLOSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route gives."""

    status: int
    content_type: str
    body: bytes

    @classmethod
    def of_json(cls, status: int, document: Mapping[str, Any]) -> Self:
        """Give a document."""
        return cls(status, "application/json", json.dumps(document).encode() + b"\n")


Route = Callable[[Mapping[str, str]], Answer]
"""Given the request's headers by their names in lower case; on any thread."""


class HttpServer:
    """Serve routes by their paths, from `start` to `close`."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Listen; port 0 is any free one. Raises: SetupError."""
        try:
            self._server = _Server(host, port, routes)
        except OSError as error:
            raise SetupError(
                f"WORKER_HTTP_PORT={port}: can't listen on {host}: {error.strerror or error}. Choose another port, or "
                "0 for any free one; WORKER_HTTP_HOST must be an address of this machine"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="http", daemon=True
        )

    @property
    def port(self) -> int:
        """Give the port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(_CLOSE_SECONDS)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # What hangs in a connection must not keep the process.
    block_on_close = False

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.routes = routes
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # As `TCPServer` does, without HTTPServer's look-up of the host's name, which may take long.
        super(ThreadingHTTPServer, self).server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for a connection, or refuse it where there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a client that went away to itself."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server_version = "worker"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        assert isinstance(self.server, _Server)
        routes = self.server.routes
        route = routes.get(self.path.partition("?")[0])
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = route(headers) if route else Answer.of_json(404, {"paths": sorted(routes)})
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - The base class has it so.
        """Log nothing: probes come every few seconds."""
