"""What PostgreSQL tells of itself, for `worker doctor`: settings, rights, what lies between, its clock. Read alone."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from worker.adapters.postgres import rights, statements
from worker.adapters.postgres.faults import describe
from worker.adapters.postgres.session import DatabaseConfig
from worker.ports import DatabaseUnavailable

APPLICATION_NAME: Final = "worker doctor"
_SETTINGS: Final = (
    "autovacuum",
    "default_transaction_read_only",
    "fsync",
    "full_page_writes",
    "in_hot_standby",
    "synchronous_standby_names",
)

_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8"
_SESSION: Final = """
SELECT pg_backend_pid(), (SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
_ASKED: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
_OLDEST: Final = """
SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""
# One look into the index for each version that there is, however many instances it has.
_VERSIONS: Final = """
WITH RECURSIVE known AS (
    (SELECT source, version FROM instances ORDER BY source, version LIMIT 1)
    UNION ALL
    SELECT next.source, next.version
    FROM known, LATERAL (
        SELECT source, version FROM instances
        WHERE (source, version) > (known.source, known.version) ORDER BY source, version LIMIT 1
    ) AS next
)
SELECT source, version FROM known
WHERE EXISTS (
    SELECT FROM instances WHERE (source, version) = (known.source, known.version) AND status = 'active'
)
"""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a database tells.

    `clock_ahead_ms` is how far its clock is before this machine's, give or take `clock_doubt_ms`. `is_pooled` says that
    something stands between, `has_name` that the session has the name that was asked for. `lacking` are rights that
    are missing, each with the statement that grants it; `longest_seconds` is the age of the oldest transaction.
    """

    version: str
    lock_table_size: int
    is_pooled: bool
    has_name: bool
    settings: Mapping[str, str]
    lacking: Sequence[tuple[str, str]]
    longest_seconds: float
    clock_ahead_ms: float
    clock_doubt_ms: float
    active_versions: Sequence[tuple[str, str]]


def diagnose(config: DatabaseConfig) -> DatabaseFacts:
    """Ask the database, which must have its schema. Raises: DatabaseUnavailable."""
    conninfo = make_conninfo(config.url)
    try:
        with psycopg.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None,
            application_name=APPLICATION_NAME,
            connect_timeout=config.connect_timeout_seconds,
        ) as connection:
            return _facts(connection)
    except psycopg.Error as error:
        raise DatabaseUnavailable(describe(error)) from error


def _facts(connection: psycopg.Connection) -> DatabaseFacts:
    ahead, doubt = _clock(connection)
    # In one transaction: a pooler that has no transactions refuses it here, as it would refuse the worker.
    with connection.transaction():
        ((pid, name),) = connection.execute(_SESSION).fetchall()
        ((size,),) = connection.execute(statements.LOCK_TABLE_SIZE).fetchall()
        return DatabaseFacts(
            version=connection.info.parameter_status("server_version") or "unknown",
            lock_table_size=size,
            # Poolers give their clients a number of their own.
            is_pooled=pid != connection.info.backend_pid,
            has_name=name == APPLICATION_NAME,
            settings=dict(connection.execute(_ASKED, (list(_SETTINGS),)).fetchall()),
            lacking=rights.told(connection.execute(rights.LACKING, rights.parameters()).fetchall()),
            longest_seconds=connection.execute(_OLDEST).fetchall()[0][0],
            clock_ahead_ms=ahead,
            clock_doubt_ms=doubt,
            active_versions=[(source, version) for source, version in connection.execute(_VERSIONS)],
        )


def _clock(connection: psycopg.Connection) -> tuple[float, float]:
    """Say how far its clock is ahead of ours, and how far off that may be; the quickest of some answers counts."""
    answers = []
    for _ in range(5):
        asked = time.time() * 1000
        ((there,),) = connection.execute(_CLOCK).fetchall()
        answered = time.time() * 1000
        answers.append((answered - asked, there - (asked + answered) / 2))
    took, ahead = min(answers)
    return ahead, took / 2
