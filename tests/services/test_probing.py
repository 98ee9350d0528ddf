"""What probes are told of services."""

import time
from threading import Event as Flag

from tests.services.stock import V1, Missing, Take, Taken
from worker.adapters.kafka.clients import KafkaConfig
from worker.core.routing import Topics
from worker.services.answering import Answering, AnsweringConfig
from worker.services.connection import Connection
from worker.services.probing import Probes
from worker.services.service import service

NAME = "com.stock.take 1.0.0"
TURN_SECONDS_MAX = 300.0


@service(V1)
def take(_: Take) -> Taken | Missing:
    return Taken(left=1)


def probes(*, stopping: bool = False) -> tuple[Probes, Answering]:
    connection = Connection(KafkaConfig("nowhere:1"), Topics("orc"))
    line = Answering(take, [take], connection, Flag(), AnsweringConfig())
    return Probes([line], lambda: stopping, TURN_SECONDS_MAX), line


def test_services_are_ready_once_they_have_partitions() -> None:
    made, line = probes()
    assert made.liveness().is_fine
    assert made.readiness().document("ready")["parts"][NAME] == {"ok": False, "detail": "waits for partitions"}
    line.serving.set()
    assert made.readiness().is_fine


def test_services_without_brokers_live_and_are_not_ready() -> None:
    made, line = probes()
    line.serving.set()
    line.trouble = "KafkaUnavailable"
    assert made.liveness().is_fine
    assert made.readiness().failing == (NAME,)


def test_a_function_that_never_returns_is_told() -> None:
    made, line = probes()
    line.serving.set()
    line.turned_at = time.monotonic() - TURN_SECONDS_MAX - 1
    assert made.liveness().failing == made.readiness().failing == (NAME,)


def test_services_that_are_to_end_are_not_ready() -> None:
    made, line = probes(stopping=True)
    line.serving.set()
    assert made.readiness().failing == ("running",)
    routes = made.routes()
    assert (routes["/livez"]({}).status, routes["/readyz"]({}).status) == (200, 503)
