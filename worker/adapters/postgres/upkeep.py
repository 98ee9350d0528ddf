"""The upkeep of a deployment's database: done by whichever worker comes first once it is due, the others leave it.

Who leads is settled in the one row of `upkeep`, under the advisory lock of `turns`: it says when the last run began,
and where the next one goes on. A leader that dies leaves nothing behind; another one leads when the next run is due.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from worker.adapters.postgres.journal_days import JournalMaintenance, maintain_journal, summarize_days
from worker.adapters.postgres.retention import SECONDS_MAX, Sweep, sweep_instances
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.adapters.postgres.turns import in_turn
from worker.core.retention import Retention
from worker.ports import Upkept

PERIOD_SECONDS: Final = 50
"""How long after the last run's begin the next is due; workers ask each minute."""

DAYS_SECONDS: Final = 3_600
"""How long after the journal's days were looked after they are looked after again."""

RETRY_SECONDS: Final = 300
"""How long after that, if days are without a partition."""

FIRST_SECONDS_MAX: Final = 1.0
"""How long a process's first run looks for instances that are to go: the worker does not begin before its end."""

SWEEP_SECONDS: Final = 3_600
"""How long after all instances had been looked at they are looked at again."""

CALLS: Final = 20
"""The upkeep is many short transactions, and may take the time of so many calls."""

_BEGIN: Final = """
INSERT INTO upkeep AS last (begun_at, worker) VALUES (clock_timestamp(), %(worker)s)
ON CONFLICT (id) DO UPDATE SET begun_at = clock_timestamp(), worker = %(worker)s
WHERE last.begun_at IS NULL OR last.begun_at < clock_timestamp() - %(period)s * interval '1 second'
RETURNING next_page,
    coalesce(days_at < now() - %(days)s * interval '1 second', true),
    next_page > 0 OR coalesce(swept_at < now() - %(sweep)s * interval '1 second', true)
"""

_END: Final = """
UPDATE upkeep
SET ended_at = clock_timestamp(), changes = %(changes)s, next_page = %(next_page)s,
    days_at = CASE WHEN %(days)s THEN begun_at - %(sooner)s * interval '1 second' ELSE days_at END,
    swept_at = CASE WHEN %(swept)s THEN clock_timestamp() ELSE swept_at END
"""

_IDLE: Final = "SELECT extract(epoch FROM clock_timestamp() - max(ended_at))::float8 FROM upkeep"


@dataclass(frozen=True, slots=True)
class UpkeepConfig:
    """Say how long things stay."""

    journal_days: int
    retention: Retention = field(default_factory=Retention)


@dataclass(frozen=True, slots=True)
class _Due:
    next_page: int
    days: bool
    sweep: bool


class PostgresUpkeep:
    """Keep a database, on a connection that is open for the time of a run; `owner` is the worker's token."""

    def __init__(self, database: DatabaseConfig, owner: str, config: UpkeepConfig) -> None:
        self._database: Final = database
        self._owner: Final = owner
        self._config: Final = config
        self._is_first = True

    def run(self) -> Upkept:
        """Do what is due, if it is this worker's to do. Raises: DatabaseUnavailable, DatabaseRefused."""
        # No session of a batch: who ends those of a stopped worker does not mean this one.
        session = Session(self._database, f"{self._owner} upkeep")
        is_first, self._is_first = self._is_first, False
        try:
            with session.connection(calls=CALLS) as connection:
                due = in_turn(connection, self._begin)
                if due is not None:
                    return self._keep(connection, due, is_first=is_first)
                ((idle_seconds,),) = connection.execute(_IDLE).fetchall()
                return Upkept(idle_seconds=idle_seconds)
        finally:
            session.close()

    def _begin(self, connection: psycopg.Connection[Any]) -> _Due | None:
        seconds = {"period": PERIOD_SECONDS, "days": DAYS_SECONDS, "sweep": SWEEP_SECONDS}
        row = connection.execute(_BEGIN, {**seconds, "worker": self._owner}).fetchone()
        return None if row is None else _Due(*row)

    def _keep(self, connection: psycopg.Connection[Any], due: _Due, *, is_first: bool) -> Upkept:
        began, retention = time.monotonic(), self._config.retention
        days, sweep, changes = JournalMaintenance(), Sweep(due.next_page), dict[str, int]()
        if due.days:
            days = maintain_journal(connection, self._config.journal_days)
            changes |= {
                "journal_days_made": len(days.created),
                "journal_days_dropped": len(days.dropped),
                "journal_rows_removed": days.purged,
            }
        if not is_first:
            summarize_days(connection)
        if due.sweep and not retention.keeps_all:
            seconds_max = FIRST_SECONDS_MAX if is_first else SECONDS_MAX
            sweep = sweep_instances(connection, retention, due.next_page, seconds_max)
            changes |= {"instances_removed": sweep.removed, "instances_archived": sweep.archived}
        ended = {
            "changes": Jsonb(changes),
            "next_page": sweep.next_page,
            "swept": sweep.is_whole,
            "days": due.days,
            "sooner": DAYS_SECONDS - RETRY_SECONDS if days.in_default else 0,
        }
        with connection.transaction():
            connection.execute(_END, ended)
        return Upkept(changes, tuple(map(str, days.kept)), time.monotonic() - began, 0.0)
