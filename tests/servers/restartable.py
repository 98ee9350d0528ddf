"""A durable PostgreSQL of the wheel that can crash and be started again on the same data and port."""

import os
import signal
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.embedded.server import Server

END_TIMEOUT_SECONDS = 15.0


@dataclass(slots=True)
class RestartablePostgres:
    """Run PostgreSQL for as long as the context lasts, with an outage or two."""

    _embedded: EmbeddedPostgres = field(default_factory=EmbeddedPostgres, init=False)

    def __enter__(self) -> Self:
        self._embedded.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._embedded.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        return self._embedded.url

    def crash(self) -> None:
        """End it without a check point, as a crash does: what was committed is in its log alone."""
        server = self._running()
        os.kill(server.pid, signal.SIGQUIT)
        deadline = time.monotonic() + END_TIMEOUT_SECONDS
        while server.running:
            assert time.monotonic() < deadline, "PostgreSQL did not end"
            time.sleep(0.05)

    def start(self) -> None:
        """Start it again and block until it answers."""
        crashed = self._running()
        # What stands before the server's own command makes the data, which is there.
        words = crashed.plan.command
        server = next(number for number, word in enumerate(words) if Path(word).name == "postgres")
        plan = replace(crashed.plan, command=words[server:])
        crashed.remove_folder = False
        crashed.stop()
        self._embedded._server = Server(plan, crashed.folder)
        self._embedded._server.start(self._answers)

    def _running(self) -> Server:
        server = self._embedded._server
        assert server is not None
        return server

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
