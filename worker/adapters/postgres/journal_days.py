"""The journal's days: a partition for each day ahead, and the end of those that retention no longer wants.

Days are PostgreSQL's (`current_date`). Rows of a day without a partition of its own land in the default partition,
so nothing here has to succeed for the worker to go on. Each change is a transaction of its own with short time-outs,
and holds an advisory lock: what one worker does, another leaves alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.abc import Query
from psycopg.rows import scalar_row
from psycopg.sql import SQL, Identifier, Literal

from worker.adapters.postgres.tables import OF_A_DAY

DAYS_AHEAD: Final = 2
LOCK_TIMEOUT_SECONDS: Final = 2
STATEMENT_TIMEOUT_SECONDS: Final = 10
ROWS_MOVED_MAX: Final = 10_000
"""How many rows may move from the default partition into a new day, while writers wait; more stay where they are."""
ROWS_PURGED_MAX: Final = 50_000
"""How many rows past retention one run deletes from the default partition."""

# The two-integer keys are a space of their own, apart from the one-integer keys that lock subjects.
MAINTENANCE_LOCK: Final = (0x776F726B, 2)

# What a later run may succeed at: somebody held a lock, the work took too long, or rows came in between.
_TO_BE_LEFT: Final = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.DeadlockDetected,
    errors.CheckViolation,
)

_LIMITS: Final = SQL("SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}").format(
    lock=f"{LOCK_TIMEOUT_SECONDS}s", statement=f"{STATEMENT_TIMEOUT_SECONDS}s"
)

_TRY_LOCK: Final = SQL("SELECT pg_try_advisory_xact_lock({}, {})").format(*MAINTENANCE_LOCK)

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
_CREATE: Final = SQL("CREATE TABLE {table} (LIKE journal INCLUDING ALL) WITH ({parameters})")

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
    """What one run did, as days in order.

    `kept` are past retention but still there: they hold rows that are not known to be published, or were in use;
    `in_default` have no partition yet, so their rows go to the default partition.
    """

    created: tuple[date, ...] = ()
    dropped: tuple[date, ...] = ()
    kept: tuple[date, ...] = ()
    in_default: tuple[date, ...] = ()


def maintain_journal(connection: psycopg.Connection[Any], days: int) -> JournalMaintenance:
    """Create the partitions of today and DAYS_AHEAD days more; drop those older than `days` before today.

    No row at or above its partition's published offset is dropped. The connection must be in no transaction.
    While a change waits for its lock, at most LOCK_TIMEOUT_SECONDS, batches wait behind it.
    Raises: psycopg.Error if the connection or the role's rights fail; the worker can go on without.
    """
    today, known = _read_days(connection)
    wanted = [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    old = sorted(day for day in known if day < today - timedelta(days=days))
    created = tuple(day for day in wanted if day not in known and _in_turn(connection, partial(_create, day)))
    dropped = tuple(day for day in old if _in_turn(connection, partial(_drop, day)))
    _in_turn(connection, partial(_purge, days))
    _, known = _read_days(connection)
    return JournalMaintenance(
        created,
        dropped,
        kept=tuple(day for day in old if day in known),
        in_default=tuple(day for day in wanted if day not in known),
    )


def _read_days(connection: psycopg.Connection[Any]) -> tuple[date, set[date]]:
    """Give today and the days that have a partition."""
    with connection.transaction():
        today: date = _value(connection, "SELECT current_date")
        return today, {day for (day,) in connection.execute(_DAYS)}


def _in_turn(connection: psycopg.Connection[Any], change: Callable[[psycopg.Connection[Any]], bool]) -> bool:
    """Make one change unless another worker is at it or it can't be made now; say whether it was made."""
    try:
        with connection.transaction():
            connection.execute(_LIMITS)
            return _value(connection, _TRY_LOCK) and change(connection)
    except _TO_BE_LEFT:
        return False


def _create(day: date, connection: psycopg.Connection[Any]) -> bool:
    """Create the partition of a day, with the rows that the default partition has of it."""
    if _exists(connection, day):
        return False
    names = {"table": _table(day), "day": Literal(day), "after": Literal(day + timedelta(days=1))}
    rows = _value(connection, _COUNT_IN_DEFAULT.format(**names, rows=ROWS_MOVED_MAX + 1))
    if rows > ROWS_MOVED_MAX:
        return False
    connection.execute(_CREATE.format(**names, parameters=SQL(OF_A_DAY)))
    if rows:
        connection.execute(_MOVE.format(**names))
    connection.execute(_ATTACH.format(**names))
    return True


def _drop(day: date, connection: psycopg.Connection[Any]) -> bool:
    """Drop the partition of a day unless it holds rows that are not known to be published."""
    if not _exists(connection, day) or _value(connection, _HOLDS_UNPUBLISHED.format(day=_table(day))):
        return False
    connection.execute(SQL("DROP TABLE {}").format(_table(day)))
    return True


def _purge(days: int, connection: psycopg.Connection[Any]) -> bool:
    """Delete rows past retention from the default partition, which is never dropped."""
    return connection.execute(_PURGE, (days, ROWS_PURGED_MAX)).rowcount > 0


def _exists(connection: psycopg.Connection[Any], day: date) -> bool:
    return _value(connection, SQL("SELECT to_regclass({})").format(_table_name(day))) is not None


def _table(day: date) -> Identifier:
    return Identifier(_table_name(day))


def _table_name(day: date) -> str:
    return f"journal_{day:%Y%m%d}"


def _value(connection: psycopg.Connection[Any], query: Query) -> Any:
    return connection.cursor(row_factory=scalar_row).execute(query).fetchone()
