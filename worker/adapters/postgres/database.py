"""Positions, instances and the journal in PostgreSQL: the runtime's `Database` port.

A batch is one transaction on one connection, in four round trips: `begin` sends everything that locks and reads,
the instances last and apart; `commit` everything that writes, then COMMIT. It never runs chart code and knows no Kafka.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors

from worker.adapters.postgres import columns, statements
from worker.adapters.postgres.definitions import Definition, register_definitions
from worker.adapters.postgres.frames import unpack_outputs
from worker.adapters.postgres.journal_days import JournalMaintenance, maintain_journal
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.digests import lock_key
from worker.core.errors import SetupError
from worker.ports import (
    Claim,
    DatabaseUnavailable,
    Found,
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
        """Store the definitions that are not known yet. Raises: DatabaseUnavailable."""
        with self._session.connection() as connection:
            register_definitions(connection, machines, registered_by)

    def keep_days(self, journal_days: int) -> JournalMaintenance:
        """Make the journal's days ahead and drop those past retention. Raises: DatabaseUnavailable."""
        with self._session.connection() as connection:
            return maintain_journal(connection, journal_days)

    # Positions

    def positions(self, partitions: Sequence[int]) -> Mapping[int, Position]:
        """Read the rows that these partitions have."""
        return _positions(self._session.rows(statements.POSITIONS, (list(partitions),)))

    def insert_positions(self, positions: Sequence[Position]) -> None:
        """Begin partitions."""
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
        with self._session.transaction() as connection:
            connection.execute(statements.RELEASE_POSITIONS, parameters)

    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        """Read the outputs of [start, end) in offset order."""
        rows: list[Any] = self._session.rows(statements.UNPUBLISHED, (partition, start, end))
        return [Unpublished(partition, offset, unpack_outputs(packed)) for offset, packed in rows]

    # A batch

    def begin(self, owner: str, wanted: Wanted) -> Found:
        """Open the batch's transaction, check its positions, take its locks and read."""
        keys = sorted({lock_key(digest) for digest in wanted.digests})
        with self._session.connection() as connection:
            with connection.pipeline():
                connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                connection.execute(statements.SETTINGS, self._config.timeouts())
                positions = connection.execute(statements.LOCK_POSITIONS, (list(wanted.next_offsets),))
                connection.execute(statements.LOCK_SUBJECTS, (keys,))
                seen = connection.execute(
                    statements.SEEN_EVENTS, (list(wanted.event_keys), self._config.deduplication_days)
                )
            # Apart: a pipeline ends with a flush after its sync, and PostgreSQL does not bound the idling of a session
            # whose last word was a flush, so a worker that stalls would keep its locks.
            instances = connection.execute(statements.INSTANCES, (list(wanted.digests),))
            as_found = {partition: (next_offset, holder) for partition, next_offset, holder in positions}
            found = Found(dict(map(columns.instance, instances)), [Seen(*row) for row in seen])
        self._check_positions(owner, wanted.next_offsets, as_found)
        return found

    def commit(self, writes: Writes) -> None:
        """Write and COMMIT the open transaction."""
        expected = [len(writes.created), len(writes.changed), len(writes.journal), len(writes.next_offsets)]
        with self._session.connection() as connection:
            with connection.pipeline():
                cursors = [
                    _bulk(connection, statements.INSERT_INSTANCES, columns.created(writes.created)),
                    _bulk(connection, statements.UPDATE_INSTANCES, columns.changed(writes.changed)),
                    _bulk(connection, statements.INSERT_JOURNAL, columns.journal(writes.journal)),
                    _bulk(connection, statements.UPDATE_POSITIONS, columns.positions(writes)),
                ]
            written = [cursor.rowcount if cursor else 0 for cursor in cursors]
            if written == expected:
                connection.execute("COMMIT")
        if written != expected:
            self.roll_back()
            raise RevisionMismatch(
                f"rows written (created, changed, journal, positions): expected {expected}, got {written}; "
                "another session changed rows under this batch's locks"
            )

    def roll_back(self) -> None:
        """Drop the open transaction; never fails."""
        try:
            with self._session.connection() as connection:
                connection.execute("ROLLBACK")
        except DatabaseUnavailable:
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
                connection.execute(statements.CLAIM_POSITIONS, (claim.owner, claim.transactional_id, partitions))
        if not as_found:
            raise PositionMoved(f"a position row of partitions {partitions} changed while they were taken")

    def _check_positions(
        self, owner: str, expected: Mapping[int, int], as_found: Mapping[int, tuple[int, str | None]]
    ) -> None:
        for partition, next_offset in expected.items():
            if as_found.get(partition) != (next_offset, owner):
                self.roll_back()
                raise PositionMoved(
                    f"the position row of partition {partition} is not as this worker left it at {next_offset}: "
                    "another worker took the partition"
                )


def _positions(rows: Iterable[tuple[Any, ...]]) -> dict[int, Position]:
    return {position.partition: position for position in (Position(*row) for row in rows)}


def _bulk(
    connection: psycopg.Connection, statement: Any, parameters: tuple[list[Any], ...]
) -> psycopg.Cursor[Any] | None:
    """Queue a bulk statement unless it has no rows."""
    return connection.execute(statement, parameters) if parameters[0] else None


def _binding_text(bound: tuple[Any, ...] | None, ours: tuple[str, str, str]) -> str:
    return (
        f"this database serves cluster, group and topic {bound}, but this worker is set to {ours}. "
        "Point WORKER_DATABASE_URL at a database of its own; or, if these take over its instances for good and no "
        "other worker runs, adopt it with: psql \"$WORKER_DATABASE_URL\" -c 'TRUNCATE binding'"
    )
