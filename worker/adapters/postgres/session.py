"""One connection to PostgreSQL, opened again after a failure.

The connection's application name is the worker's owner token: whoever takes a partition from a stopped
process ends that process's session by it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from worker.adapters.postgres.statements import SETTINGS
from worker.ports import DatabaseRefused, DatabaseUnavailable

LIVENESS: Final = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""A server that went without a word is missed within 25 s, not after the hours of TCP's own defaults."""


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Say where the database is and how long its calls may take.

    `url` is a `postgresql://` address, its password included: it is never shown.
    `deduplication_days` is the window in which an event's second coming is told.
    """

    url: str
    connect_timeout_seconds: int = 5
    lock_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 60.0
    deduplication_days: int = 7

    def timeouts(self) -> tuple[str, str, str]:
        """Give lock, statement and idle-in-transaction time-outs as PostgreSQL writes them."""
        seconds = (self.lock_timeout_seconds, self.statement_timeout_seconds, self.idle_timeout_seconds)
        lock, statement, idle = (f"{round(value * 1000)}ms" for value in seconds)
        return lock, statement, idle


class Session:
    """Hold the connection; any failure closes it.

    One of the infrastructure is told as `DatabaseUnavailable`, one of the statement as `DatabaseRefused`.
    """

    def __init__(self, config: DatabaseConfig, application_name: str) -> None:
        self._config = config
        self._application_name = application_name
        self._connection: psycopg.Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Lend the open connection, in autocommit mode. Raises: DatabaseUnavailable."""
        try:
            yield self._connected()
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            self.close()
            raise DatabaseUnavailable(describe(error)) from error
        except psycopg.Error as error:
            self.close()
            raise DatabaseRefused(f"PostgreSQL refused a statement: {describe(error)}") from error
        except BaseException:
            # Whatever else went wrong may have left a transaction or a pipeline open.
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Lend the connection within one bounded transaction. Raises: DatabaseUnavailable."""
        with self.connection() as connection, connection.transaction():
            connection.execute(SETTINGS, self._config.timeouts())
            yield connection

    def rows(self, statement: LiteralString, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Run one statement, bounded in time, and give its rows. Raises: DatabaseUnavailable."""
        with self.transaction() as connection:
            return connection.execute(statement, parameters).fetchall()

    def come_to_rest(self) -> None:
        """Close the connection if a transaction is open on it; never fails."""
        connection = self._connection
        if connection is not None and connection.info.transaction_status is not TransactionStatus.IDLE:
            self.close()

    def close(self) -> None:
        """Close the connection, which rolls back what is open; never fails."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                make_conninfo("", **{**LIVENESS, **conninfo_to_dict(self._config.url)}),
                autocommit=True,
                # A pooler may give each transaction another server, which does not know what was prepared before.
                prepare_threshold=None,
                application_name=self._application_name,
                connect_timeout=self._config.connect_timeout_seconds,
            )
        return self._connection


def describe(error: psycopg.Error) -> str:
    """Say what PostgreSQL said, in one line and without anything of the address."""
    text = error.diag.message_primary or str(error) or type(error).__name__
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return " ".join(text.split()).rstrip(".") + state
