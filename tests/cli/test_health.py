"""`worker health`: what it says of a worker's port, and how it ends."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.acceptance.commands import run_here
from worker.adapters.embedded.server import free_port
from worker.adapters.http.server import Answer, HttpServer

FINE = {"status": "alive", "failing": [], "parts": {"loop": {"ok": True, "detail": "turned 0.1 s ago"}}}
READY = {"status": "not ready", "failing": ["kafka"], "parts": {"kafka": {"ok": False, "detail": "away for 3 s"}}}


@dataclass(slots=True)
class Told:
    """A port of health, and what it answers."""

    answers: dict[str, Answer] = field(default_factory=dict)
    port: int = 0

    @property
    def settings(self) -> dict[str, str]:
        return {"WORKER_HTTP_PORT": str(self.port), "WORKER_HTTP_HOST": "0.0.0.0"}  # noqa: S104 - As a worker has it.


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told({"/livez": Answer.of_json(200, FINE), "/readyz": Answer.of_json(503, READY)})
    routes = {path: lambda _, path=path: made.answers[path] for path in made.answers}
    server = HttpServer("127.0.0.1", 0, routes)
    made.port = server.port
    server.start()
    yield made
    server.close()


def test_a_worker_that_lives_is_told_with_its_parts(told: Told) -> None:
    done = run_here("health", given=told.settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n  loop: turned 0.1 s ago\n", "")


def test_what_is_not_ready_fails_and_says_why(told: Told) -> None:
    done = run_here("health", "--ready", given=told.settings)
    assert (done.returncode, done.stdout) == (1, "not ready\n  kafka: away for 3 s\n")


def test_json_is_what_the_port_says(told: Told) -> None:
    done = run_here("health", "--ready", "--json", given=told.settings)
    assert done.returncode == 1
    assert json.loads(done.stdout) == READY


def test_where_nobody_listens_no_worker_answers() -> None:
    port = free_port()
    done = run_here("health", given={"WORKER_HTTP_PORT": str(port)})
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no worker answers on 127.0.0.1, port {port}" in done.stderr


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"], ids=str)
def test_what_is_no_worker_is_told_as_such(told: Told, body: bytes) -> None:
    told.answers["/livez"] = Answer(200, "text/html", body)
    done = run_here("health", given=told.settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is no worker" in done.stderr


def test_a_port_that_is_not_known_is_a_fault_of_the_settings() -> None:
    done = run_here("health", given={})
    assert done.returncode == 2
    assert "WORKER_HTTP_PORT=0" in done.stderr


def test_the_version_is_printed() -> None:
    assert run_here("--version").stdout.count(".") == 2
