"""What operators' commands read and change: where reading begins, and whom the database serves.

Workers look at the same rows. A change is made only if nothing of them has moved since it was shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.adapters.postgres.statements import BINDING, POSITIONS_LOCKED
from worker.ports import Position, PositionMoved

_APPLICATION_NAME: Final = "worker partitions"

_ALL_POSITIONS: Final = """
SELECT partition, topic_id, next_offset, published_offset, owner, transactional_id, deaths, attempts, claims
FROM positions ORDER BY partition
"""

# A worker's sessions have its token as their name, whether it owns a partition now or not.
_SESSIONS: Final = r"""
SELECT application_name, coalesce(host(client_addr), 'local'), pid FROM pg_stat_activity
WHERE datname = current_database()
    AND (application_name IN (SELECT owner FROM positions) OR application_name ~ '^worker-[0-9a-f]{16}$')
ORDER BY 1, 3
"""

# The last owner stays in its row, so that whoever takes the partition ends what that one may still have open in Kafka.
# A partition that the journal knows, though its row is gone, begins another incarnation too.
_BEGIN: Final = """
INSERT INTO positions (partition, topic_id, next_offset, published_offset, incarnation)
SELECT partition, topic_id, next_offset, next_offset,
    (SELECT coalesce(max(incarnation) + 1, 0) FROM journal WHERE journal.partition = row.partition)
FROM unnest(%b::int[], %b::text[], %b::bigint[]) AS row (partition, topic_id, next_offset)
WHERE partition <> ALL(%b::int[])
ON CONFLICT DO NOTHING
"""

# Further on in the same topic, what the journal has is still to be published, and no offset comes twice. Anything else
# is another incarnation, whose offsets have a journal of their own.
_BEGIN_ELSEWHERE: Final = """
UPDATE positions
SET topic_id = row.topic_id, next_offset = row.next_offset,
    published_offset = CASE WHEN goes_on THEN published_offset ELSE row.next_offset END,
    incarnation = incarnation + CASE WHEN goes_on THEN 0 ELSE 1 END,
    deaths = 0, attempts = 0, claims = claims + 1, updated_at = now()
FROM (
    SELECT partition, row.topic_id, row.next_offset,
        row.topic_id = positions.topic_id AND row.next_offset >= positions.next_offset AS goes_on
    FROM unnest(%b::int[], %b::text[], %b::bigint[]) AS row (partition, topic_id, next_offset)
    JOIN positions USING (partition)
) AS row
WHERE positions.partition = row.partition
"""

_UNBIND: Final = "DELETE FROM binding WHERE (cluster_id, group_id, input_topic) = (%s, %s, %s)"

_BIND: Final = "INSERT INTO binding (cluster_id, group_id, input_topic) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class WorkerSession:
    """A worker's session, as PostgreSQL knows it."""

    owner: str
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Served:
    """Whom a database serves."""

    cluster_id: str
    group_id: str
    input_topic: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a partition of the topic with this identity is to be read from."""

    partition: int
    topic_id: str
    offset: int


class OperatorDatabase:
    """Read a deployment's rows, and change them while no worker runs.

    All calls raise DatabaseUnavailable and DatabaseRefused.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self._session = Session(config, _APPLICATION_NAME)

    def positions(self) -> Mapping[int, Position]:
        """Read all rows."""
        return _by_partition(self._session.rows(_ALL_POSITIONS))

    def sessions(self) -> Sequence[WorkerSession]:
        """Name the workers that are connected."""
        return [WorkerSession(*row) for row in self._session.rows(_SESSIONS)]

    def served(self) -> Served | None:
        """Tell whom the database serves; None before its first worker."""
        rows = self._session.rows(BINDING)
        return Served(*rows[0]) if rows else None

    def begin(self, beginnings: Sequence[Beginning], found: Mapping[int, Position]) -> None:
        """Put all of these in place, if their rows are still as found. Raises: PositionMoved; then none is."""
        partitions = [one.partition for one in beginnings]
        rows = (partitions, [one.topic_id for one in beginnings], [one.offset for one in beginnings])
        with self._session.transaction() as connection:
            before = _by_partition(connection.execute(POSITIONS_LOCKED, (partitions,)))
            elsewhere = connection.execute(_BEGIN_ELSEWHERE, rows).rowcount
            new = connection.execute(_BEGIN, (*rows, list(before))).rowcount
            expected = {partition: row for partition, row in found.items() if partition in partitions}
            if (before, elsewhere, elsewhere + new) != (expected, len(before), len(partitions)):
                raise PositionMoved("a position row changed in the meantime")

    def adopt(self, served: Served, found: Served | None) -> None:
        """Have the database serve these from now on, if it still serves those found. Raises: PositionMoved."""
        with self._session.transaction() as connection:
            if found is not None and connection.execute(_UNBIND, _columns(found)).rowcount != 1:
                raise PositionMoved("whom the database serves changed in the meantime")
            connection.execute(_BIND, _columns(served))

    def close(self) -> None:
        """Close the connection; never fails."""
        self._session.close()


def _by_partition(rows: Iterable[tuple[Any, ...]]) -> dict[int, Position]:
    return {position.partition: position for position in (Position(*row) for row in rows)}


def _columns(served: Served) -> tuple[str, str, str]:
    return served.cluster_id, served.group_id, served.input_topic
