"""One connection to PostgreSQL, opened again after a failure.

The connection's application name is the worker's owner token: whoever takes a partition from a stopped
process ends that process's session by it.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from worker.adapters.postgres.faults import CALL, Fault, Told, fault_of, raised
from worker.adapters.postgres.statements import BEGIN, COMMIT, ROLLBACK, SETTINGS
from worker.ports import DatabaseUnavailable

T = TypeVar("T")

LIVENESS: Final = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""A server that went without a word is missed within 25 s, not after the hours of TCP's own defaults."""

STATEMENT_SHARE: Final = 0.3
"""A call has at most three statements that may take long: PostgreSQL ends a slow one before the call's bound does.

So whatever takes long is told as that, and the bound of the call means that there was no word.
"""

PREPARED_AFTER: Final = 2
"""How often a statement is run before the server keeps its plan: what a worker says once is not worth it."""

_WAKE_SECONDS: Final = 0.1
"""How often psycopg looks around while it waits, by its own default."""


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Say where the database is and how long its calls may take.

    `url` is a `postgresql://` address, its password included: it is never shown. `call_timeout_seconds` bounds each
    call on this side, whatever becomes of the server and the network; the statements of a call have their share of it
    unless told otherwise. `deduplication_days` is the window in which an event's second coming is told. `reads_archive`
    says that instances are archived, so that those which are not found are looked for there.
    """

    url: str
    connect_timeout_seconds: int = 5
    call_timeout_seconds: float = 30.0
    lock_timeout_seconds: float = 5.0
    statement_timeout_seconds: float | None = None
    idle_timeout_seconds: float = 60.0
    deduplication_days: int = 7
    reads_archive: bool = False

    def timeouts(self) -> tuple[str, str, str]:
        """Give lock, statement and idle-in-transaction time-outs as PostgreSQL writes them."""
        statement_seconds = self.statement_timeout_seconds or STATEMENT_SHARE * self.call_timeout_seconds
        lock_seconds = min(self.lock_timeout_seconds, statement_seconds)
        lock, statement, idle = (
            f"{max(1, round(value * 1000))}ms" for value in (lock_seconds, statement_seconds, self.idle_timeout_seconds)
        )
        return lock, statement, idle


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection whose waits end at a moment that is set for each call, and are none longer than one call's bound."""

    deadline = math.inf
    wait_seconds_max = math.inf

    def wait(self, gen: PQGen[T], interval: float = _WAKE_SECONDS, timeout: float | None = None) -> T:
        """Wait for an answer until the deadline; past it, the connection is closed."""
        left = min(max(0.0, self.deadline - monotonic()), self.wait_seconds_max)
        if timeout is not None or left == math.inf:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, left)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  # psycopg asks callers to turn it into one of their own.
            # Else psycopg would go on and end the pipeline or the transaction, which waits for the same answer.
            self.close()
            raise psycopg.OperationalError("the server did not answer in time") from None


class Session:
    """Hold the connection; failures close it, but for those that a part of the same batch may not meet."""

    def __init__(self, config: DatabaseConfig, application_name: str) -> None:
        self._config = config
        self._application_name = application_name
        self._connection: BoundedConnection | None = None

    @contextmanager
    def connection(self, told: Told = CALL, calls: int = 1) -> Iterator[psycopg.Connection]:
        """Lend the open connection, in autocommit mode, for the time of so many calls. Raises: what `told` says."""
        try:
            connection = self._connected()
            connection.wait_seconds_max = self._config.call_timeout_seconds
            connection.deadline = monotonic() + calls * connection.wait_seconds_max
            yield connection
        except psycopg.Error as error:
            self._recover(error)
            raise raised(error, told) from error
        except BaseException:
            # Whatever else went wrong may have left a transaction or a pipeline open.
            self.close()
            raise

    @contextmanager
    def open_transaction(self, told: Told) -> Iterator[psycopg.Connection]:
        """Lend the connection within the transaction that is open on it, for one call.

        Raises: DatabaseUnavailable, if none is: what was to be done in it must not be done on its own.
        """
        if self._status is not TransactionStatus.INTRANS:
            self.close()
            raise DatabaseUnavailable("the batch's transaction has ended")
        with self.connection(told) as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Lend the connection within one bounded transaction. Raises: DatabaseUnavailable, DatabaseRefused."""
        self.come_to_rest()
        with self.connection() as connection, connection.transaction():
            connection.execute(SETTINGS, self._config.timeouts())
            yield connection

    def call(self, statement: LiteralString, parameters: tuple[object, ...] = ()) -> psycopg.Cursor[TupleRow]:
        """Run one statement in a transaction of its own, in one round trip.

        Raises: DatabaseUnavailable, DatabaseRefused.
        """
        self.come_to_rest()
        with self.connection() as connection:
            with connection.pipeline():
                connection.execute(BEGIN)
                connection.execute(SETTINGS, self._config.timeouts())
                cursor = connection.execute(statement, parameters)
                connection.execute(COMMIT)
            return cursor

    def rows(self, statement: LiteralString, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and give its rows. Raises: as `call`."""
        return self.call(statement, parameters).fetchall()

    def come_to_rest(self) -> None:
        """Close the connection if a transaction is open on it; never fails."""
        if self.is_open:
            self.close()

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open on the connection, or something went wrong with it."""
        return self._status not in (None, TransactionStatus.IDLE)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known; from any thread."""
        connection = self._connection
        return connection is not None and not connection.closed

    def close(self) -> None:
        """Close the connection, which rolls back what is open; never fails."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _status(self) -> TransactionStatus | None:
        return None if self._connection is None else self._connection.info.transaction_status

    def _recover(self, error: psycopg.Error) -> None:
        """Close the connection, but roll back alone if a part of the batch will be next."""
        connection = self._connection
        if connection is None or fault_of(error) not in (Fault.SIZE, Fault.DATA):
            self.close()
            return
        try:
            connection.execute(ROLLBACK)
        except psycopg.Error:
            self.close()
        self.come_to_rest()

    def _connected(self) -> BoundedConnection:
        if self._connection is None or self._connection.closed:
            self._connection = BoundedConnection.connect(
                make_conninfo("", **{**LIVENESS, **conninfo_to_dict(self._config.url)}),
                autocommit=True,
                prepare_threshold=None,
                application_name=self._application_name,
                connect_timeout=self._config.connect_timeout_seconds,
            )
            self._connection.prepare_threshold = _prepare_threshold(self._connection)
        return self._connection


def _prepare_threshold(connection: psycopg.Connection[Any]) -> int | None:
    """Have statements prepared that are run again, but not behind a pooler.

    It may give each transaction another server, which does not know what was prepared before. A pooler tells clients a
    number of its own for the server's process, since it has to pass their cancel requests on.
    """
    (server_pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (None,)
    return PREPARED_AFTER if server_pid == connection.info.backend_pid else None
