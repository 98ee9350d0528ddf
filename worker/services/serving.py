"""Run services on Kafka: each on a thread of its own, as a member of its own consumer group."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event as Flag
from threading import Thread
from types import FrameType, TracebackType
from typing import Any, Final, Self

import structlog

from worker.adapters.http.server import HttpServer, Route
from worker.adapters.kafka.rights import Needs
from worker.adapters.telemetry.tracers import make_tracers
from worker.core.errors import SetupError, WorkerError
from worker.logs import configure_logs
from worker.services.answering import Answering, AnsweringConfig
from worker.services.connection import connection_of, service_settings
from worker.services.probing import Probes
from worker.services.service import Service
from worker.settings import Settings

STOP_SECONDS: Final = 20.0
"""How long services may take to end; orchestrators kill after 30 s, by their defaults."""

_LOOK_SECONDS: Final = 0.2
_EXPORT_SECONDS: Final = 2.0
_LOG = structlog.get_logger("worker.services")


class ServiceStuck(WorkerError):
    """A service did not end in time; what it had in hand is answered by the next process of its group."""


class ServiceWorker:
    """Serve for as long as the context lasts, or until `run` is stopped: each service on a thread of its own.

    Settings are the worker's, from WORKER_* and `.env`.
    """

    def __init__(
        self,
        services: Sequence[Service[..., Any]],
        *,
        settings: Settings | None = None,
        config: AnsweringConfig | None = None,
    ) -> None:
        """Check what is to be served. Raises: SetupError."""
        _check(services)
        connection = self._connection = connection_of(settings)
        self._stopping = Flag()
        self._failed: list[BaseException] = []
        by_type: dict[str, list[Service[..., Any]]] = defaultdict(list)
        for service in services:
            by_type[service.source].append(service)
        self._lines = [
            Answering(service, by_type[service.source], connection, self._stopping, config or AnsweringConfig())
            for service in services
        ]
        # A function that never returns must not hold the process up.
        self._threads = [
            Thread(target=self._run_line, args=(line,), name=f"service-{line.service.source}", daemon=True)
            for line in self._lines
        ]

    def __enter__(self) -> Self:
        """Check that all topics are there and may be used, and begin to serve. Raises: SetupError."""
        domains = sorted({line.service.domain for line in self._lines})
        topics = self._connection.topics
        groups = [line.group_id for line in self._lines]
        self._connection.prepare(Needs(reads=[*map(topics.domain, domains)], groups=groups))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop after the requests in hand. Raises: ServiceStuck, and what ended a service by itself: a bug."""
        self.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        stuck = [line.service for line, thread in zip(self._lines, self._threads, strict=True) if thread.is_alive()]
        if stuck:
            raise ServiceStuck(
                f"{', '.join(map(repr, stuck))} did not end within {STOP_SECONDS:g} s: a function or a broker did not "
                "answer. What was in hand is answered by the next process of its group"
            )
        if self._failed and error is None:
            raise self._failed[0]

    def stop(self) -> None:
        """Ask all services to end; from any thread or a signal handler."""
        self._stopping.set()

    def routes(self) -> Mapping[str, Route]:
        """Give what probes ask for: `/livez` and `/readyz`."""
        return Probes(self._lines, self._stopping.is_set, self._connection.kafka.poll_interval_seconds).routes()

    def run(self) -> None:
        """Serve until stopped. Raises: SetupError, ServiceStuck."""
        with self:
            _LOG.info("serving", services=[repr(line.service) for line in self._lines])
            while not self._stopping.wait(_LOOK_SECONDS):
                # A signal handler runs between two waits.
                pass
        _LOG.info("stopped")

    def wait_until_serving(self, timeout_seconds: float) -> bool:
        """Wait until every service has been given its partitions; tell whether it came to that."""
        deadline = time.monotonic() + timeout_seconds
        return all(line.serving.wait(max(0.0, deadline - time.monotonic())) for line in self._lines)

    def _run_line(self, line: Answering) -> None:
        try:
            line.run()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits.
            # What is wrong with one service is known to no other: better all end, and are started again.
            self._failed.append(error)
            self.stop()


def serve(*services: Service[..., Any], settings: Settings | None = None) -> None:
    """Answer requests until SIGTERM or Ctrl-C, at least once each; the main thread waits meanwhile.

    Settings are the worker's, from WORKER_* and `.env`; services need no database.
    Raises: SetupError, before anything is read; ServiceStuck.
    """
    given = settings or service_settings()
    configure_logs(given.log_level, given.log_format)
    worker = ServiceWorker(services, settings=given)
    with _observed(worker, given), _signals_stop(worker):
        worker.run()


@contextmanager
def _observed(worker: ServiceWorker, settings: Settings) -> Iterator[None]:
    """Answer probes on WORKER_HTTP_PORT, if that is set, and trace as OTEL_* say. Raises: SetupError."""
    tracers = make_tracers({"service.name": "orchestrator-services"}, os.environ)
    server = HttpServer(settings.http_host, settings.http_port, worker.routes()) if settings.http_port else None
    if tracers is not None:
        tracers.install()
    if server is not None:
        server.start()
        _LOG.info("probes", http_port=server.port)
    try:
        yield
    finally:
        if server is not None:
            server.close()
        if tracers is not None:
            tracers.close(_EXPORT_SECONDS)


@contextmanager
def _signals_stop(worker: ServiceWorker) -> Iterator[None]:
    """Stop on SIGTERM and Ctrl-C; on another than the main thread, which alone can take signals, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        worker.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check(services: Sequence[object]) -> None:
    if not services:
        raise SetupError("There is no service to run; put @service(contract.version(…)) above a function and give it.")
    seen: set[tuple[str, str]] = set()
    for one in services:
        if not isinstance(one, Service):
            raise SetupError(
                f"Services are run, and {one!r:.200} is none; put @service(contract.version(…)) above the function."
            )
        key = (one.source, one.version)
        if key in seen:
            raise SetupError(
                f"{one.source} {one.version} has two services; each request has one answer: leave one of them out."
            )
        seen.add(key)
