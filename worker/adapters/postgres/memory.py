"""The library's memory in PostgreSQL: instances as the worker keeps them, and what their events came to.

An execution that locks is one transaction: `lock` begins it, `read` and `seen` run in it, `write` or `consumed`
commits it, and whatever ends it frees the lock, the end of the process included. Without a lock each call is a short
transaction of its own. It knows nothing of Kafka, positions and the journal.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import get_ident
from types import TracebackType
from typing import Any, Final, LiteralString, Self

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from worker.adapters.postgres import columns, statements
from worker.adapters.postgres.frames import pack_emitted, unpack_emitted
from worker.adapters.postgres.migrate import require_current
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.adapters.postgres.sessions import Sessions
from worker.core.digests import content_digest, event_digest, lock_key, subject_digest
from worker.core.errors import SetupError, StaleWriteError
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.outcomes import DomainedEvent
from worker.orchestrator.memory import ConsumedEvent

APPLICATION_NAME: Final = "worker memory"
FORGET_ROWS_MAX: Final = 10_000
SECONDS_MIN: Final = 0.001  # PostgreSQL counts milliseconds, and takes 0 for no bound.
SECONDS_MAX: Final = 86_400

_STATEMENT_SECONDS: Final = 30.0
"""How long a statement may take, beside what it waits for a lock."""
_STATEMENTS_MAX: Final = 4
"""How many statements a call has that may take long."""

_INSTANCE_MOVED: Final = (
    "the instance is not as this execution read it: another execution came between. Execute the event again."
)
_CONSUMED_ALREADY: Final = (
    "another execution consumed the event in the meantime. Execute it again: the result will be that execution's."
)


@dataclass(frozen=True, slots=True)
class _Write:
    """A statement that must find or write one row; `lost` says what it means if it doesn't."""

    statement: LiteralString
    parameters: tuple[Any, ...]
    lost: str


class PostgresMachineMemory:
    """Keep instances and consumed events in PostgreSQL, for any number of threads and processes: a DeduplicatingMemory.

    Instances are rows of the table that the worker uses, and its advisory lock on a subject is this one's. What a
    worker consumed is in its journal, though, and an event that it consumed is none that was consumed here.

    Threads may share a memory; processes may not: make one in each, after a fork. It is a context manager, and
    `close` ends its connections. A connection that is lost halts the execution, and the next one connects anew.

    Consumed events stay until `forget_before`: call it once a day, say, with a time before which no event comes again.
    """

    def __init__(
        self,
        url: str,
        *,
        lock_timeout_seconds: float = 5.0,
        idle_timeout_seconds: float = 60.0,
        connections_max: int = 10,
    ) -> None:
        """Check the database that `url` (`postgresql://…`) names; it must have been migrated by `worker migrate`.

        `lock_timeout_seconds` bounds the wait for a lock, and for a connection. `idle_timeout_seconds` bounds the
        time that a lock's holder may spend in its step; PostgreSQL ends the connection of one that takes longer, and
        its execution fails. At most `connections_max` connections are open at a time; each lock in use needs one.

        Raises: SetupError, for a malformed URL, a database that can't be reached or has another schema, and bounds
        that are none.
        """
        _check_seconds("lock_timeout_seconds", lock_timeout_seconds)
        _check_seconds("idle_timeout_seconds", idle_timeout_seconds)
        _check_connections(connections_max)
        require_current(url)
        statement_seconds = lock_timeout_seconds + _STATEMENT_SECONDS
        self._config: Final = DatabaseConfig(
            url,
            call_timeout_seconds=_STATEMENTS_MAX * statement_seconds,
            lock_timeout_seconds=lock_timeout_seconds,
            statement_timeout_seconds=statement_seconds,
            idle_timeout_seconds=idle_timeout_seconds,
        )
        name = conninfo_to_dict(url).get("application_name") or APPLICATION_NAME
        self._sessions: Final = Sessions(self._config, str(name), connections_max)
        # The transactions that hold a lock, by the thread and the subject that they were begun for.
        self._holding: Final[dict[tuple[int, str], Session]] = {}

    def read(self, subject: str) -> Instance | None:
        """Give the instance as the last commit left it. Raises: DatabaseUnavailable, DatabaseRefused."""
        row = self._row(subject, statements.INSTANCES, ([subject_digest(subject)],))
        return columns.instance(row)[1] if row else None

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        """Keep the instance if what is kept is still `previous`, by its revision; this commits, and frees the lock.

        Raises: StaleWriteError, if it is not; ValueError, for an instance of another subject; DatabaseUnavailable,
        DatabaseRefused.
        """
        self._write(subject, [_instance_write(subject, instance, previous)])

    def seen(self, event: Event) -> ConsumedEvent | None:
        """Give what is kept of an event that was not forgotten. Raises: DatabaseUnavailable, DatabaseRefused."""
        row = self._row(event.subject, statements.CONSUMPTION, (event_digest(event),))
        return ConsumedEvent(bytes(row[0]), unpack_emitted(row[1])) if row else None

    def consumed(
        self,
        event: Event,
        emitted: Sequence[DomainedEvent],
        instance: Instance | None,
        previous: Instance | None,
    ) -> None:
        """Keep the event, what it emitted and the instance, in one commit; this frees the lock.

        Raises: StaleWriteError, if the event was consumed, or the instance is no longer as `previous`; ValueError,
        for an instance of another subject; DatabaseUnavailable, DatabaseRefused.
        """
        kept = _instance_write(event.subject, instance, previous) if instance else _unmoved(event.subject, previous)
        self._write(event.subject, [_consumption_write(event, emitted), kept])

    def lock(self, subject: str) -> bool:
        """Begin a transaction that has the subject's lock, or tell after the time-out that another one has it.

        Raises: DatabaseUnavailable, also if all connections are in use.
        """
        session = self._sessions.take()
        acquired = False
        try:
            acquired = self._try_lock(session, subject)
        finally:
            if not acquired:
                self._sessions.give_back(session)
        if acquired:
            self._let_go(subject)  # A lock of this thread's that was lost with its connection.
            self._holding[get_ident(), subject] = session
        return acquired

    def unlock(self, subject: str) -> bool:
        """End the transaction that `lock` began on this thread, if it is still open. Raises: DatabaseUnavailable."""
        session = self._holding.pop((get_ident(), subject), None)
        if session is not None:
            with self._sessions.returned(session), session.connection() as connection:
                connection.execute("ROLLBACK")
        return True

    def forget_before(self, time: datetime) -> int:
        """Forget the events that were consumed before a time, and tell how many these were.

        An event that comes again after that is run again; only an init event still starts nothing. It deletes at
        most FORGET_ROWS_MAX rows in a transaction. Raises: ValueError, for a time without an offset;
        DatabaseUnavailable.
        """
        if time.utcoffset() is None:
            raise ValueError("forget_before needs a time with an offset from UTC; give it a time zone, as UTC")
        forgotten = 0
        while rows := self._forget_some(time):
            forgotten += rows
        return forgotten

    def close(self) -> None:
        """Close the connections, which frees the locks; executions that still run fail. It never fails itself."""
        self._sessions.close()
        for key in list(self._holding):
            if session := self._holding.pop(key, None):
                session.close()
                self._sessions.give_back(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _try_lock(self, session: Session, subject: str) -> bool:
        with session.connection() as connection:
            try:
                self._begin(connection, subject)
            except errors.LockNotAvailable:
                connection.execute("ROLLBACK")
                return False
        return True

    def _row(self, subject: str, statement: LiteralString, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        with self._session(subject) as (session, is_open), session.connection() as connection:
            if is_open:
                return connection.execute(statement, parameters).fetchone()
            with connection.pipeline():
                connection.execute(statements.BEGIN)
                connection.execute(statements.SETTINGS, self._config.timeouts())
                cursor = connection.execute(statement, parameters)
                connection.execute("COMMIT")
            return cursor.fetchone()

    def _write(self, subject: str, writes: Sequence[_Write]) -> None:
        with self._session(subject) as (session, is_open), session.connection() as connection:
            if not is_open:
                self._begin(connection, subject)
            lost = [
                write.lost for write in writes if connection.execute(write.statement, write.parameters).rowcount != 1
            ]
            connection.execute("ROLLBACK" if lost else "COMMIT")
        self._let_go(subject)
        if lost:
            raise StaleWriteError(lost[0])

    def _begin(self, connection: psycopg.Connection, subject: str) -> None:
        """Begin a transaction with the subject's lock, in one round trip.

        That trip is one text of several statements. A pipeline would end with a flush after its sync, and PostgreSQL
        does not bound the idling of a session whose last word was a flush.
        """
        key = lock_key(subject_digest(subject))
        psycopg.ClientCursor(connection).execute(statements.BEGIN_LOCKED, (*self._config.timeouts(), key))

    @contextmanager
    def _session(self, subject: str) -> Iterator[tuple[Session, bool]]:
        """Lend this thread's session that has the subject's lock, in its open transaction, or else any."""
        held = self._holding.get((get_ident(), subject))
        if held is None:
            with self._sessions.lent() as session:
                yield session, False
            return
        try:
            yield held, True
        except BaseException:
            # The failure closed the connection, so the lock is free.
            if self._holding.pop((get_ident(), subject), None):
                with self._sessions.returned(held):
                    raise
            raise

    def _let_go(self, subject: str) -> None:
        """Give the session back whose transaction was ended."""
        session = self._holding.pop((get_ident(), subject), None)
        if session is not None:
            self._sessions.give_back(session)

    def _forget_some(self, time: datetime) -> int:
        with self._sessions.lent() as session, session.transaction() as connection:
            return connection.execute(statements.FORGET_CONSUMPTIONS, (time, FORGET_ROWS_MAX)).rowcount


def _instance_write(subject: str, instance: Instance, previous: Instance | None) -> _Write:
    if instance.subject != subject:
        raise ValueError("the instance is another subject's than the one that it is to be kept under")
    row = columns.created([(subject_digest(subject), instance)])
    if previous is None:
        return _Write(statements.INSERT_INSTANCES, row, _INSTANCE_MOVED)
    return _Write(statements.REPLACE_INSTANCES, (*row, previous.revision), _INSTANCE_MOVED)


def _unmoved(subject: str, previous: Instance | None) -> _Write:
    digest = subject_digest(subject)
    if previous is None:
        return _Write(statements.NO_INSTANCE, (digest,), _INSTANCE_MOVED)
    return _Write(statements.INSTANCE_AT, (digest, previous.revision), _INSTANCE_MOVED)


def _consumption_write(event: Event, emitted: Sequence[DomainedEvent]) -> _Write:
    row = (
        event_digest(event),
        subject_digest(event.subject),
        event.source,
        event.id,
        event.type,
        content_digest(event),
        pack_emitted(emitted),
    )
    return _Write(statements.INSERT_CONSUMPTION, row, _CONSUMED_ALREADY)


def _check_seconds(name: str, seconds: Any) -> None:
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise SetupError(
            f"{name} must be a number of seconds from {SECONDS_MIN} to {SECONDS_MAX}, received {seconds!r}"
        )


def _check_connections(connections_max: object) -> None:
    if isinstance(connections_max, bool) or not isinstance(connections_max, int) or connections_max < 1:
        raise SetupError(f"connections_max must be an integer above 0, received {connections_max!r}")
