"""The HTTP server answers what it has, and nobody keeps it from that."""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException

import pytest

from tests.acceptance.deployment import wait_until
from tests.telemetry.scraping import get, probe
from worker.adapters.http.server import CONNECTIONS_MAX, Answer, HttpServer
from worker.core.errors import SetupError

LOOPBACK = "127.0.0.1"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    made = HttpServer(
        LOOPBACK,
        0,
        {
            "/fine": lambda headers: Answer.of_json(200, {"agent": headers["user-agent"]}),
            "/bad": lambda _: Answer(503, "text/plain", b"no"),
            "/fault": lambda _: Answer(1 // 0, "", b""),
        },
    )
    made.start()
    yield made
    made.close()


def test_routes_are_answered(server: HttpServer) -> None:
    assert server.port > 0
    assert probe(server.port, "/fine?verbose")[0] == 200
    assert probe(server.port, "/fine")[1]["agent"].startswith("Python-urllib")
    assert get(server.port, "/bad") == (503, "no")
    assert probe(server.port, "/") == (404, {"paths": ["/bad", "/fault", "/fine"]})


def test_head_has_no_body(server: HttpServer) -> None:
    asked = urllib.request.Request(f"http://{LOOPBACK}:{server.port}/fine", method="HEAD")
    with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310
        assert answer.read() == b""
        assert int(answer.headers["Content-Length"]) > 0
        assert answer.headers["Server"] == "worker ", "it does not tell what Python runs"


def test_a_fault_of_a_route_ends_its_connection_alone(server: HttpServer, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection((LOOPBACK, server.port), timeout=5) as client:
        client.sendall(b"GET /fault HTTP/1.0\r\n\r\n")
        assert client.recv(1000) == b""
    assert get(server.port, "/bad")[0] == 503
    assert capsys.readouterr().err == ""


def test_clients_that_say_nothing_keep_others_out_beyond_their_number_alone(server: HttpServer) -> None:
    silent = [socket.create_connection((LOOPBACK, server.port), timeout=5) for _ in range(CONNECTIONS_MAX)]
    with socket.create_connection((LOOPBACK, server.port), timeout=5) as refused:
        assert refused.recv(1) == b"", "there are no more connections than that"
    silent.pop().close()
    wait_until(lambda: answers(server.port), 5, "there is one for somebody else")
    for one in silent:
        one.close()


def answers(port: int) -> bool:
    with suppress(OSError, HTTPException):
        return get(port, "/bad")[0] == 503
    return False


def test_a_port_that_is_taken_is_told(server: HttpServer) -> None:
    with pytest.raises(SetupError, match=f"WORKER_HTTP_PORT={server.port}: can't listen on 127.0.0.1: Address already"):
        HttpServer(LOOPBACK, server.port, {})
