"""Positions, instances and the journal in PostgreSQL: the runtime's ports `Positions` and `Database`.

A batch is one transaction on one connection, in few round trips: `lock`, `read`, `write` (of three: what COPY takes is
asked for first) and `commit`. It never runs chart code and knows no Kafka.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg import errors

from worker.adapters.postgres import arrays, columns, rights, statements
from worker.adapters.postgres.arrays import Array
from worker.adapters.postgres.blocks import kept
from worker.adapters.postgres.definitions import Definition, register_definitions
from worker.adapters.postgres.faults import CALL, COMMITTING, READING, WRITING
from worker.adapters.postgres.journal_copy import COPY_JOURNAL, copied
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.digests import lock_key
from worker.core.errors import SetupError
from worker.core.instances import Instance
from worker.ports import (
    Claim,
    DatabaseRefused,
    DatabaseUnavailable,
    Position,
    PositionMoved,
    RevisionMismatch,
    Seen,
    Unpublished,
    Wanted,
    Writes,
)

LOCK_TABLE_SHARE = 2
"""The batch's advisory locks may fill one part in two of PostgreSQL's lock table."""


class PostgresDatabase:
    """Keep a worker's state; `owner` is the worker's token and its sessions' application name."""

    def __init__(self, config: DatabaseConfig, owner: str) -> None:
        self._config = config
        self._session = Session(config, owner)
        self._registered_at: datetime | None = None
        self._reads_archive = config.reads_archive
        self._incarnations: Mapping[int, int] = {}

    # Start

    def bind(self, cluster_id: str, group_id: str, input_topic: str) -> None:
        """Tie the database to one cluster, group and topic, or check that it is.

        Raises: SetupError, DatabaseUnavailable.
        """
        ours = (cluster_id, group_id, input_topic)
        with self._session.transaction() as connection:
            connection.execute(statements.INSERT_BINDING, ours)
            bound = connection.execute(statements.BINDING).fetchone()
        if bound != ours:
            raise SetupError(_binding_text(bound, ours))

    def check_rights(self) -> None:
        """Check that this user may do all that a worker does. Raises: SetupError, DatabaseUnavailable."""
        rights.require(self._session.rows(rights.LACKING, rights.parameters()))

    def check_lock_table(self, subjects_max: int) -> None:
        """Check that a batch's locks fit into PostgreSQL's lock table. Raises: SetupError, DatabaseUnavailable."""
        ((size,),) = self._session.rows(statements.LOCK_TABLE_SIZE)
        assert isinstance(size, int)
        if subjects_max * LOCK_TABLE_SHARE > size:
            raise SetupError(
                f"a batch may lock {subjects_max} subjects, but PostgreSQL's lock table holds {size} locks and at most "
                f"half may be a batch's: lower WORKER_BATCH_RECORDS_MAX to {size // LOCK_TABLE_SHARE} or raise "
                "max_locks_per_transaction"
            )

    def register(self, machines: Iterable[Definition], registered_by: str) -> None:
        """Store the definitions that are not known yet, and that they are brought now. Raises: DatabaseUnavailable."""
        with self._session.connection() as connection:
            self._registered_at = register_definitions(connection, machines, registered_by)

    def look_for_archive(self) -> None:
        """Look instances up in the archive from now on, if there are some. Raises: DatabaseUnavailable."""
        ((is_there,),) = self._session.rows(statements.IS_ARCHIVE_THERE)
        self._reads_archive = self._reads_archive or bool(is_there)

    def connections(self) -> Mapping[str, int]:
        """Count the connections: in use, and idle; from any thread."""
        is_connected, is_used = self._session.is_connected, self._session.is_open
        return {"used": int(is_connected and is_used), "idle": int(is_connected and not is_used)}

    # Positions

    def positions(self, partitions: Sequence[int]) -> Mapping[int, Position]:
        """Read the rows that these partitions have."""
        return _positions(self._session.rows(statements.POSITIONS, (list(partitions),)))

    def insert_positions(self, positions: Sequence[Position]) -> None:
        """Begin all of these partitions, or none if one has a row already."""
        with self._session.transaction() as connection:
            cursor = connection.execute(statements.INSERT_POSITIONS, columns.inserted_positions(positions))
            if cursor.rowcount != len(positions):
                raise PositionMoved("another worker began one of these partitions in the meantime")

    def claim(self, found: Sequence[Position], claim: Claim) -> None:
        """Put `claim` into all these rows if all are still as `found`."""
        try:
            self._claim(found, claim)
        except DatabaseUnavailable as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable):
                raise
            # The owners were fenced in Kafka, so a session of theirs that still holds a row is a stopped process's,
            # or one of ours whose connection is gone.
            owners = [one.owner for one in found if one.owner is not None]
            self._session.rows(statements.END_SESSIONS, (owners,))
            self._claim(found, claim)

    def release(self, owner: str, published_offsets: Mapping[int, int]) -> None:
        """Give rows of this owner back, with what is published."""
        parameters = (list(published_offsets), list(published_offsets.values()), owner)
        self._session.call(statements.RELEASE_POSITIONS, parameters)

    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        """Read the outputs of [start, end) in offset order."""
        rows = self._session.rows(statements.UNPUBLISHED, (partition, start, end))
        return [Unpublished(partition, offset, kept(stored).outputs) for offset, *stored in rows]

    def note_attempt(self, owner: str, partition: int, offset: int) -> int:
        """Note that the record at `offset` is about to be run on its own; give how often it was before."""
        noted = self._session.rows(statements.NOTE_ATTEMPT, (partition, owner, offset))
        if not noted:
            raise PositionMoved(_moved_text(partition, offset))
        ((before,),) = noted
        assert isinstance(before, int)
        return before

    # A batch

    def lock(self, owner: str, wanted: Wanted) -> Sequence[Seen]:
        """Open the transaction, check its positions, take its locks, and look its events up in the journal.

        `read` follows at once: a pipeline ends with a flush after its sync, and PostgreSQL does not bound the idling of
        a session whose last word was a flush.
        """
        keys = arrays.big_integers(sorted({lock_key(digest) for digest in wanted.digests}))
        events = arrays.big_integers(list(wanted.event_keys))
        self._session.come_to_rest()
        with self._session.connection(READING) as connection:
            with connection.pipeline():
                connection.execute(statements.BEGIN)
                connection.execute(statements.BY_INDEX, self._config.timeouts())
                positions = connection.execute(statements.LOCK_POSITIONS, (list(wanted.next_offsets),))
                connection.execute(statements.LOCK_SUBJECTS, (keys,))
                rows = connection.execute(statements.SEEN_EVENTS, (events, self._config.deduplication_days))
            locked = positions.fetchall()
            as_found = {partition: (next_offset, holder) for partition, next_offset, holder, _ in locked}
            seen = [Seen(*row) for row in rows]
        self._check_positions(owner, wanted.next_offsets, as_found)
        self._incarnations = {partition: incarnation for partition, _, _, incarnation in locked}
        return seen

    def read(self, digests: Sequence[bytes]) -> Mapping[bytes, Instance]:
        """Read instances by subject digest, under the locks; asks for none too, so that the session idles boundedly.

        Archived ones are as if they were still there: what comes for them late is ignored, as it was before.
        """
        with self._session.open_transaction(READING) as connection:
            rows = connection.execute(statements.INSTANCES, (arrays.blobs(digests),), binary=True)
            found = dict(map(columns.instance, rows.fetchall()))
            missing = [digest for digest in digests if digest not in found] if self._reads_archive else []
            if missing:
                rows = connection.execute(statements.ARCHIVED_INSTANCES, (arrays.blobs(missing),), binary=True)
                found.update(map(columns.instance, rows.fetchall()))
            return found

    def is_coming(self, source: str, version: str) -> bool:
        """Tell whether a worker has brought this version of a machine since this one registered its own.

        Or some minutes before: in a roll-out old workers may start again, and new ones together.
        """
        asked = statements.IS_COMING, (source, version, self._registered_at)
        if not self._session.is_open:
            ((is_coming,),) = self._session.rows(*asked)
            return bool(is_coming)
        with self._session.open_transaction(CALL) as connection:
            ((is_coming,),) = connection.execute(*asked).fetchall()
        return bool(is_coming)

    def write(self, writes: Writes) -> None:
        """Write everything.

        The journal comes last: PostgreSQL bounds the idling of a session whose last word was no flush.
        """
        expected = [len(writes.created), len(writes.changed), len(writes.journal), len(writes.next_offsets)]
        with self._session.open_transaction(WRITING) as connection, _values_refused():
            rows = copied(writes.journal, self._incarnations) if writes.journal else b""
            with connection.pipeline():
                cursors = [
                    _bulk(
                        connection,
                        statements.INSERT_INSTANCES,
                        columns.created(writes.created) if writes.created else None,
                    ),
                    _bulk(
                        connection,
                        statements.UPDATE_INSTANCES,
                        columns.changed(writes.changed) if writes.changed else None,
                    ),
                    _bulk(
                        connection,
                        statements.UPDATE_POSITIONS,
                        columns.positions(writes) if writes.next_offsets else None,
                    ),
                ]
            created, changed, positions = (cursor.rowcount if cursor else 0 for cursor in cursors)
            written = [created, changed, _copy(connection, rows) if rows else 0, positions]
        if written != expected:
            self.roll_back()
            raise RevisionMismatch(
                f"rows written (created, changed, journal, positions): expected {expected}, got {written}; "
                "another session changed rows under this batch's locks"
            )

    def commit(self) -> None:
        """COMMIT."""
        with self._session.open_transaction(COMMITTING) as connection:
            connection.execute(statements.COMMIT)

    def roll_back(self) -> None:
        """Drop the open transaction, if there is one; never fails."""
        if not self._session.is_open:
            return
        try:
            with self._session.connection() as connection:
                connection.execute(statements.ROLLBACK)
        except (DatabaseUnavailable, DatabaseRefused):
            # Closing the connection has rolled back.
            return

    def close(self) -> None:
        """Close the connection; never fails."""
        self._session.close()

    def _claim(self, found: Sequence[Position], claim: Claim) -> None:
        partitions = [one.partition for one in found]
        with self._session.transaction() as connection:
            rows = connection.execute(statements.POSITIONS_LOCKED, (partitions,)).fetchall()
            as_found = _positions(rows) == {one.partition: one for one in found}
            if as_found:
                parameters = {**asdict(claim), "partitions": partitions}
                connection.execute(statements.CLAIM_POSITIONS, parameters)
        if not as_found:
            raise PositionMoved(f"a position row of partitions {partitions} changed while they were taken")

    def _check_positions(
        self, owner: str, expected: Mapping[int, int], as_found: Mapping[int, tuple[int, str | None]]
    ) -> None:
        for partition, next_offset in expected.items():
            if as_found.get(partition) != (next_offset, owner):
                self.roll_back()
                raise PositionMoved(_moved_text(partition, next_offset))


def _positions(rows: Iterable[tuple[Any, ...]]) -> dict[int, Position]:
    return {position.partition: position for position in (Position(*row) for row in rows)}


@contextmanager
def _values_refused() -> Iterator[None]:
    """Tell of a text that can't even be sent, as one with a lone surrogate, as PostgreSQL's refusals are told."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise psycopg.DataError("a text is not Unicode") from error


def _moved_text(partition: int, next_offset: int) -> str:
    return (
        f"the position row of partition {partition} is not as this worker left it at {next_offset}: "
        "another worker took the partition"
    )


def _bulk(
    connection: psycopg.Connection, statement: LiteralString, parameters: tuple[Array, ...] | None
) -> psycopg.Cursor[Any] | None:
    """Queue a bulk statement unless it has no rows."""
    return connection.execute(statement, parameters) if parameters else None


def _copy(connection: psycopg.Connection, rows: bytes) -> int:
    with connection.cursor() as cursor:
        with cursor.copy(COPY_JOURNAL) as copy:
            copy.write(rows)
        return cursor.rowcount


def _binding_text(bound: tuple[Any, ...] | None, ours: tuple[str, str, str]) -> str:
    return (
        f"this database serves cluster, group and topic {bound}, but this worker is set to {ours}. "
        "Point WORKER_DATABASE_URL at a database of its own; or, if these take over its instances for good, stop all "
        "workers and adopt it with `worker adopt`"
    )
