"""Instances counted for an operator: by status, and by active state, on a connection that is closed afterwards.

Bounded in what is read, whatever the table has grown to: beyond `PAGES_MAX` pages, that many are taken at random and
the counts are estimates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.adapters.postgres.session import DatabaseConfig, Session

PAGES_MAX: Final = 16_384
"""128 MiB of 8 KiB pages."""

ROWS_MAX: Final = 1_000
"""Machines, versions and states together; more than charts have."""

_PAGES: Final = "SELECT pg_relation_size('instances') / current_setting('block_size')::int"

_STATUSES: Final = """
SELECT source, version, status, count(*)
FROM instances TABLESAMPLE SYSTEM (%b::real)
GROUP BY source, version, status ORDER BY count(*) DESC, source, version, status LIMIT %b::int
"""

_STATES: Final = """
SELECT source, version, state, count(*), extract(epoch FROM now() - min(updated_at))::float8
FROM instances TABLESAMPLE SYSTEM (%b::real), unnest(states) AS state
WHERE status = 'active'
GROUP BY source, version, state ORDER BY count(*) DESC, source, version, state LIMIT %b::int
"""

_WHOLE: Final = 100.0


@dataclass(frozen=True, slots=True)
class InstanceCounts:
    """Counts by source, version and status, or state; the longest wait of each state in seconds.

    `share` is the part of the table that was read.
    """

    statuses: Mapping[tuple[str, str, str], float]
    states: Mapping[tuple[str, str, str], float]
    waits: Mapping[tuple[str, str, str], float]
    share: float


def count_instances(config: DatabaseConfig, application_name: str, pages_max: int = PAGES_MAX) -> InstanceCounts:
    """Count. Raises: DatabaseUnavailable, DatabaseRefused."""
    session = Session(config, application_name)
    try:
        ((pages,),) = session.rows(_PAGES)
        percent = min(_WHOLE, _WHOLE * pages_max / max(pages, 1))
        statuses = session.rows(_STATUSES, (percent, ROWS_MAX))
        states = session.rows(_STATES, (percent, ROWS_MAX))
    finally:
        session.close()
    scale = _WHOLE / percent
    return InstanceCounts(
        {(source, version, status): count * scale for source, version, status, count in statuses},
        {(source, version, state): count * scale for source, version, state, count, _ in states},
        {(source, version, state): max(0.0, seconds) for source, version, state, _, seconds in states},
        percent / _WHOLE,
    )
