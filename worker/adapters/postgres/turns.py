"""One change of the upkeep: a short transaction that holds an advisory lock, so that another worker leaves it alone.

The lock is the transaction's: a pooler may give the next one another session, and what ends the one frees the other.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import Query
from psycopg.rows import scalar_row
from psycopg.sql import SQL

T = TypeVar("T")

LOCK_TIMEOUT_SECONDS: Final = 1
STATEMENT_TIMEOUT_SECONDS: Final = 10

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


def in_turn(connection: psycopg.Connection[Any], change: Callable[[psycopg.Connection[Any]], T]) -> T | None:
    """Make one change and give what it gives; nothing if another worker is at one, or it can't be made now.

    The connection must be in no transaction. Raises: psycopg.Error, for what no later run would succeed at.
    """
    try:
        with connection.transaction():
            connection.execute(_LIMITS)
            return change(connection) if value_of(connection, _TRY_LOCK) else None
    except _TO_BE_LEFT:
        return None


def value_of(connection: psycopg.Connection[Any], query: Query) -> Any:
    """Give the one value of a query."""
    return connection.cursor(row_factory=scalar_row).execute(query).fetchone()
