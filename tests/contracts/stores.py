"""PostgreSQL for the tests of its ports: a real one and the simulated one, behind one face."""

import hashlib
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from socket import socket
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg

from tests.servers.proxy import CHUNK_BYTES, TcpProxy, _close
from tests.simulation.servers.database import SimDatabase
from tests.simulation.servers.faults import Faults
from tests.simulation.servers.postgres import Session, SimPostgres
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.records import Output
from worker.ports import Database, DatabaseUnavailable, Positions

LOCK_TIMEOUT_SECONDS = 0.3


class Connected(Positions, Database, Protocol):
    """One worker's connection, for both of its ports."""


class Store(Protocol):
    """A database, and what an onlooker does to it."""

    def connect(self, owner: str) -> Connected:
        """Give a worker's connection; it is closed in the end."""
        ...

    def connect_deaf(self, owner: str) -> Connected:
        """Give a connection on which `COMMIT` is done and its answer is lost."""
        ...

    def bring(self, owner: str, source: str, version: str) -> None:
        """Have the worker of this name register a version of a machine, as its start does."""
        ...

    def let_an_hour_pass(self) -> None:
        """Have all that was registered be of an hour ago: what came shortly before a worker counts as coming."""
        ...

    def end_sessions(self, owner: str) -> None:
        """Cut a worker's connections, as an administrator does."""
        ...

    def refuse_zeros(self) -> None:
        """Refuse texts with U+0000, as PostgreSQL does."""
        ...

    def age(self, days: int) -> None:
        """Have everything in the journal be of so many days ago."""
        ...

    def journal(self) -> Mapping[tuple[int, int], tuple[Output, ...]]:
        """Give what everybody sees of the journal: the outputs by partition and offset."""
        ...

    def close(self) -> None: ...


@dataclass
class SimulatedStore:
    """The simulated server."""

    server: SimPostgres = field(default_factory=SimPostgres)

    def connect(self, owner: str) -> Connected:
        return SimDatabase(self.server, owner, Faults())

    def connect_deaf(self, owner: str) -> Connected:
        faults = Faults()
        faults.plan("commit", DatabaseUnavailable("no answer"), happened=True)
        return SimDatabase(self.server, owner, faults)

    def bring(self, owner: str, source: str, version: str) -> None:
        self.server.register(owner, [(source, version)])

    def let_an_hour_pass(self) -> None:
        pass

    def end_sessions(self, owner: str) -> None:
        self.server.terminate([owner], Session("onlooker"))

    def refuse_zeros(self) -> None:
        self.server.refuses = lambda row: "a text has U+0000" if "\0" in (row.error_message or "") else None

    def age(self, days: int) -> None:
        raise NotImplementedError

    def journal(self) -> Mapping[tuple[int, int], tuple[Output, ...]]:
        return {place: row.outputs for place, row in self.server.journal.items()}

    def close(self) -> None:
        pass


@dataclass(slots=True)
class DeafProxy(TcpProxy):
    """A proxy that passes everything on to the server, and ends the connection at its answer to a COMMIT."""

    _deaf: threading.Event = field(default_factory=threading.Event, init=False)

    def _forward(self, source: socket, target: socket) -> None:
        with suppress(OSError):
            to_server = target.getpeername()[1] == self.target_port
            while chunk := source.recv(CHUNK_BYTES):
                if to_server and b"COMMIT\0" in chunk:
                    self._deaf.set()
                if not to_server and self._deaf.is_set():
                    break
                target.sendall(chunk)
        _close(source)
        _close(target)


@dataclass(frozen=True, slots=True)
class Version:
    """A machine of which nothing but its name counts."""

    source: str
    version: str

    @property
    def document(self) -> str:
        return f"{self.source} {self.version}"

    @property
    def definition_hash(self) -> bytes:
        return hashlib.sha256(self.document.encode()).digest()


@dataclass
class RealStore:
    """A database of its own on a real server."""

    url: str
    opened: dict[str, list[PostgresDatabase]] = field(default_factory=dict)
    proxies: list[TcpProxy] = field(default_factory=list)

    def connect(self, owner: str) -> Connected:
        return self._connect(owner, self.url)

    def connect_deaf(self, owner: str) -> Connected:
        port = urlsplit(self.url).port
        assert port is not None
        proxy = DeafProxy(port)
        self.proxies.append(proxy.__enter__())
        return self._connect(owner, self.url.replace(f":{port}/", f":{proxy.port}/"))

    def bring(self, owner: str, source: str, version: str) -> None:
        known = self.opened.get(owner)
        database = known[0] if known else self._connect(owner, self.url)
        database.register([Version(source, version)], owner)

    def let_an_hour_pass(self) -> None:
        earlier = "UPDATE definitions SET last_registered_at = last_registered_at - interval '1 hour' RETURNING version"
        self._rows(earlier)

    def end_sessions(self, owner: str) -> None:
        self._rows("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", owner)

    def refuse_zeros(self) -> None:
        pass

    def age(self, days: int) -> None:
        moved = "UPDATE journal SET day = day - %s, recorded_at = recorded_at - make_interval(days => %s) RETURNING day"
        self._rows(moved, days, days)

    def journal(self) -> Mapping[tuple[int, int], tuple[Output, ...]]:
        rows = self._rows("SELECT partition, record_offset FROM journal")
        observer = PostgresDatabase(DatabaseConfig(self.url), "observer")
        try:
            found = {place: observer.unpublished(place[0], place[1], place[1] + 1) for place in rows}
        finally:
            observer.close()
        return {place: one[0].outputs if one else () for place, one in found.items()}

    def close(self) -> None:
        for databases in self.opened.values():
            for database in databases:
                database.close()
        for proxy in self.proxies:
            proxy.__exit__(None, None, None)

    def _connect(self, owner: str, url: str) -> PostgresDatabase:
        config = DatabaseConfig(url, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS)
        database = PostgresDatabase(config, owner)
        self.opened.setdefault(owner, []).append(database)
        return database

    def _rows(self, statement: Any, *parameters: object) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()
