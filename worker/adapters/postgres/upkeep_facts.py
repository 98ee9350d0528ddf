"""What is seen of the database's upkeep, for `worker doctor`. Read alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from worker.adapters.postgres.session import DatabaseConfig, Session

DEFAULT_ROWS_MAX: Final = 10_001
"""How many rows of the journal's default partition are counted, at most."""

_FACTS: Final = r"""
SELECT
    (SELECT extract(epoch FROM now() - max(ended_at))::float8 FROM upkeep),
    (SELECT extract(epoch FROM now() - max(swept_at))::float8 FROM upkeep),
    ARRAY(
        SELECT current_date + ahead FROM generate_series(0, 1) AS ahead
        WHERE to_regclass('journal_' || to_char(current_date + ahead, 'YYYYMMDD')) IS NULL
    ),
    (
        SELECT current_date - min(to_date(substring(relname FROM '\d+'), 'YYYYMMDD'))
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = to_regclass('journal') AND relname ~ '^journal_\d{8}$'
    ),
    (SELECT count(*) FROM (SELECT FROM journal_default LIMIT %s) AS counted)
"""


@dataclass(frozen=True, slots=True)
class UpkeepFacts:
    """How long ago the upkeep ended, and when all instances had been looked at, in seconds; none if never.

    `days_missing` are those of today and tomorrow without a partition, `oldest_days` is the age of the oldest one in
    days; `default_rows` counts to DEFAULT_ROWS_MAX.
    """

    idle_seconds: float | None
    sweep_seconds: float | None
    days_missing: Sequence[date]
    oldest_days: int | None
    default_rows: int


def look_at_upkeep(config: DatabaseConfig, application_name: str) -> UpkeepFacts:
    """Look. Raises: DatabaseUnavailable, DatabaseRefused."""
    session = Session(config, application_name)
    try:
        ((idle, sweep, missing, oldest, rows),) = session.rows(_FACTS, (DEFAULT_ROWS_MAX,))
    finally:
        session.close()
    return UpkeepFacts(idle, sweep, missing, oldest, rows)
