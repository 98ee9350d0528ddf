"""The journal's days: a partition for each day ahead, and the end of those that retention no longer wants.

Days are PostgreSQL's (`current_date`). Rows of a day without a partition of its own land in the default partition,
so nothing here has to succeed for the worker to go on. Each change is one turn (`turns`). A change that locks the whole
journal is not tried while somebody's transaction, which has been open for a while, has a lock on it: batches would wait
behind the change, and it for that transaction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from worker.adapters.postgres.tables import BY_SUBJECT, OF_A_DAY
from worker.adapters.postgres.turns import in_turn, value_of

DAYS_AHEAD: Final = 2
ROWS_MOVED_MAX: Final = 10_000
"""How many rows may move from the default partition into a new day, while writers wait; more stay where they are."""
ROWS_PURGED_MAX: Final = 50_000
"""How many rows past retention one run deletes from the default partition."""

LONG_SECONDS: Final = 1
"""How long a transaction that has a lock on the journal may have been open: batches are shorter for the most part."""

# Transactions of other roles tell their age to members of pg_read_all_stats alone; others are not waited for long.
_IS_READ_LONG: Final = """
SELECT EXISTS (
    SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'relation' AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND relation IN (
            SELECT 'journal'::regclass UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'journal'::regclass
        )
        AND granted AND pid <> pg_backend_pid()
        AND xact_start < clock_timestamp() - %s * interval '1 second'
)
"""

_DAYS: Final = r"""
SELECT to_date(substring(child.relname FROM '\d+'), 'YYYYMMDD')
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass('journal') AND child.relname ~ '^journal_\d{8}$'
ORDER BY 1
"""

_COUNT_IN_DEFAULT: Final = SQL(
    "SELECT count(*) FROM (SELECT FROM journal_default WHERE day = {day} LIMIT {rows}) AS counted"
)

# Made first and attached then, writers of other days go on meanwhile.
_CREATE: Final = SQL("""
CREATE TABLE {table} (LIKE journal INCLUDING ALL) WITH ({parameters});
CREATE INDEX {index} ON {table} {by_subject}
""")

# Under the lock no row of the day can come in behind the move.
_MOVE: Final = SQL("""
LOCK TABLE journal_default IN ACCESS EXCLUSIVE MODE;
WITH moved AS (DELETE FROM journal_default WHERE day = {day} RETURNING *)
INSERT INTO {table} SELECT * FROM moved
""")

_ATTACH: Final = SQL("ALTER TABLE journal ATTACH PARTITION {table} FOR VALUES FROM ({day}) TO ({after})")

# The rows of a day by its primary key alone: each partition that it knows, then whether that has a row from W on.
# A partition without a position row counts as wholly unpublished; of an incarnation that ended nothing is published.
_HOLDS_UNPUBLISHED: Final = SQL("""
WITH RECURSIVE known (partition) AS (
    SELECT min(partition) FROM {day}
    UNION ALL
    SELECT (SELECT min(partition) FROM {day} WHERE partition > known.partition)
    FROM known WHERE known.partition IS NOT NULL
)
SELECT EXISTS (
    SELECT FROM known LEFT JOIN positions USING (partition)
    WHERE EXISTS (
        SELECT FROM {day} AS row
        WHERE row.partition = known.partition AND row.incarnation >= coalesce(positions.incarnation, 0)
            AND row.record_offset >= coalesce(positions.published_offset, 0)
    )
)
""")

_PURGE: Final = """
DELETE FROM journal_default
WHERE ctid = ANY(ARRAY(
    SELECT row.ctid FROM journal_default AS row JOIN positions USING (partition)
    WHERE row.day < current_date - %s::integer
        AND (row.incarnation < positions.incarnation OR row.record_offset < positions.published_offset)
    LIMIT %s
))
"""


@dataclass(frozen=True, slots=True)
class JournalMaintenance:
    """What one run did, as days in order, and how many rows it deleted from the default partition.

    `kept` are past retention but still there: they hold rows that are not known to be published, or were in use;
    `in_default` have no partition yet, so their rows go to the default partition.
    """

    created: tuple[date, ...] = ()
    dropped: tuple[date, ...] = ()
    purged: int = 0
    kept: tuple[date, ...] = ()
    in_default: tuple[date, ...] = ()


def maintain_journal(connection: psycopg.Connection[Any], days: int) -> JournalMaintenance:
    """Create the partitions of today and DAYS_AHEAD days more; drop those older than `days` before today.

    No row at or above its partition's published offset is dropped. The connection must be in no transaction.
    While a change waits for its lock, at most `turns.LOCK_TIMEOUT_SECONDS`, batches wait behind it: where one waits in
    vain, the others wait for the next run.
    Raises: psycopg.Error if the connection or the role's rights fail; the worker can go on without.
    """
    today, known = _read_days(connection)
    wanted = [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    old = sorted(day for day in known if day < today - timedelta(days=days))
    created = tuple(day for day in wanted if day not in known and in_turn(connection, partial(_create, day)))
    dropped = tuple(_dropped(connection, old))
    purged = in_turn(connection, partial(_purge, days)) or 0
    _, known = _read_days(connection)
    return JournalMaintenance(
        created,
        dropped,
        purged,
        kept=tuple(day for day in old if day in known),
        in_default=tuple(day for day in wanted if day not in known),
    )


def _read_days(connection: psycopg.Connection[Any]) -> tuple[date, set[date]]:
    """Give today and the days that have a partition."""
    with connection.transaction():
        today: date = value_of(connection, "SELECT current_date")
        return today, {day for (day,) in connection.execute(_DAYS)}


def summarize_days(connection: psycopg.Connection[Any]) -> None:
    """Have the indexes by subject say what came into the days of yesterday and today. Raises: psycopg.Error."""
    today, known = _read_days(connection)
    for day in (today - timedelta(days=1), today):
        if day in known:
            in_turn(connection, partial(_summarize, day))


def _dropped(connection: psycopg.Connection[Any], days: Sequence[date]) -> Iterator[date]:
    """Drop days in order until one can't be: whoever waited for a lock in vain will hardly have the next."""
    for day in days:
        done = in_turn(connection, partial(_drop, day))
        if done is None:
            return
        if done:
            yield day


def _create(day: date, connection: psycopg.Connection[Any]) -> bool:
    """Create the partition of a day, with the rows that the default partition has of it."""
    if _exists(connection, day) or _is_read_long(connection):
        return False
    names = {"table": _table(day), "day": Literal(day), "after": Literal(day + timedelta(days=1))}
    rows = value_of(connection, _COUNT_IN_DEFAULT.format(**names, rows=ROWS_MOVED_MAX + 1))
    if rows > ROWS_MOVED_MAX:
        return False
    parameters, by_subject = SQL(OF_A_DAY), SQL(BY_SUBJECT)
    connection.execute(_CREATE.format(**names, index=_index(day), parameters=parameters, by_subject=by_subject))
    if rows:
        connection.execute(_MOVE.format(**names))
    connection.execute(_ATTACH.format(**names))
    return True


def _drop(day: date, connection: psycopg.Connection[Any]) -> bool:
    """Drop the partition of a day unless it holds rows that are not known to be published."""
    if not _exists(connection, day) or value_of(connection, _HOLDS_UNPUBLISHED.format(day=_table(day))):
        return False
    if _is_read_long(connection):
        return False
    connection.execute(SQL("DROP TABLE {}").format(_table(day)))
    return True


def _purge(days: int, connection: psycopg.Connection[Any]) -> int:
    """Delete rows past retention from the default partition, which is never dropped; give how many."""
    return connection.execute(_PURGE, (days, ROWS_PURGED_MAX)).rowcount


def _summarize(day: date, connection: psycopg.Connection[Any]) -> bool:
    """Bring a day's index by subject up to date, if it has one; what was done before a time-out stays done."""
    index = SQL("SELECT to_regclass({})").format(_index_name(day))
    if value_of(connection, index) is None:
        return False
    # Shorter than deadlock_timeout, after which a vacuum that is in the way would be cancelled.
    connection.execute("SET LOCAL lock_timeout = '300ms'")
    ranges: int = value_of(connection, SQL("SELECT brin_summarize_new_values({})").format(_index_name(day)))
    return ranges > 0


def _is_read_long(connection: psycopg.Connection[Any]) -> bool:
    ((is_read,),) = connection.execute(_IS_READ_LONG, (LONG_SECONDS,)).fetchall()
    assert isinstance(is_read, bool)
    return is_read


def _exists(connection: psycopg.Connection[Any], day: date) -> bool:
    return value_of(connection, SQL("SELECT to_regclass({})").format(_table_name(day))) is not None


def _table(day: date) -> Identifier:
    return Identifier(_table_name(day))


def _table_name(day: date) -> str:
    return f"journal_{day:%Y%m%d}"


def _index(day: date) -> Identifier:
    return Identifier(_index_name(day))


def _index_name(day: date) -> str:
    return f"{_table_name(day)}_subject_digest_idx"
