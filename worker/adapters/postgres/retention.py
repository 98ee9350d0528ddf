"""Ended instances go by age: they are removed, or moved to `instances_archive`, as their machine's rule says.

The table is looked through page by page, some more in each run, so what one run reads is bounded. An index by the end
of instances would make the last step of each workflow more than a HOT update.

An ended instance stays while its parent or a child of its is active: the tree of what runs is whole.
"""

from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any, Final

import psycopg

from worker.adapters.postgres.turns import in_turn, value_of
from worker.core.retention import Deed, Retention

PAGES_MAX: Final = 16_384
"""How many pages one run looks at: 128 MiB."""

ROWS_MAX: Final = 200_000
"""How many instances go in one run: 3,000 a second, if a run comes each minute."""

SECONDS_MAX: Final = 20.0
"""How long one run looks."""

PAGES_AT_ONCE: Final = 64
"""How many pages one transaction looks at: some hundreds of instances."""

_PAGES: Final = "SELECT pg_relation_size('instances') / current_setting('block_size')::int"

_COLUMNS: Final = """
subject_digest, subject, parent_subject, parent_digest, source, version, status, states, snapshot, output,
init_event_id, revision, now_ms, created_at, updated_at, ended_at
"""

# A range of row addresses: PostgreSQL reads these pages alone.
_SWEEP: Final = f"""
WITH rule (source, days, archives) AS (
    SELECT * FROM unnest(%(sources)s::text[], %(days)s::int[], %(archives)s::bool[])
), due AS (
    SELECT one.ctid AS place, CASE WHEN rule.source IS NULL THEN %(archives_others)s ELSE rule.archives END AS archives
    FROM instances AS one LEFT JOIN rule ON rule.source = one.source
    WHERE one.ctid >= %(first)s::tid AND one.ctid < %(last)s::tid AND one.status <> 'active'
        AND one.ended_at < now() - make_interval(
            days => CASE WHEN rule.source IS NULL THEN %(days_others)s::int ELSE rule.days END
        )
        AND NOT EXISTS (
            SELECT FROM instances AS parent WHERE parent.subject_digest = one.parent_digest AND parent.status = 'active'
        )
        AND NOT EXISTS (
            SELECT FROM instances AS child WHERE child.parent_digest = one.subject_digest AND child.status = 'active'
        )
    FOR UPDATE OF one SKIP LOCKED
), gone AS (
    DELETE FROM instances USING due WHERE instances.ctid = due.place RETURNING instances.*, due.archives
), archived AS (
    INSERT INTO instances_archive ({_COLUMNS})
    SELECT {_COLUMNS} FROM gone WHERE archives
)
SELECT count(*) FILTER (WHERE NOT archives), count(*) FILTER (WHERE archives) FROM gone
"""  # noqa: S608 - Put together of constants.


@dataclass(frozen=True, slots=True)
class Sweep:
    """How far a run came; once it has looked at the last page, it `is_whole` and the next page is the first."""

    next_page: int
    removed: int = 0
    archived: int = 0
    is_whole: bool = False


def sweep_instances(
    connection: psycopg.Connection[Any], retention: Retention, first_page: int, seconds_max: float
) -> Sweep:
    """Let instances go whose time has come, from a page on, as far as one run goes.

    Pages that are in use are left to the next pass. The connection must be in no transaction. Raises: psycopg.Error.
    """
    pages = value_of(connection, _PAGES)
    rules = _parameters(retention)
    done, began = Sweep(first_page), monotonic()
    last_page = min(pages, first_page + PAGES_MAX)
    while done.next_page < last_page:
        if done.removed + done.archived >= ROWS_MAX or monotonic() - began >= seconds_max:
            return done
        end = min(done.next_page + PAGES_AT_ONCE, last_page)
        places = {"first": f"({done.next_page},0)", "last": f"({end},0)"}
        removed, archived = in_turn(connection, partial(_swept, {**rules, **places})) or (0, 0)
        done = Sweep(end, done.removed + removed, done.archived + archived)
    return replace(done, next_page=0, is_whole=True) if done.next_page >= pages else done


def _swept(parameters: dict[str, Any], connection: psycopg.Connection[Any]) -> tuple[int, int]:
    ((removed, archived),) = connection.execute(_SWEEP, parameters).fetchall()
    return removed, archived


def _parameters(retention: Retention) -> dict[str, Any]:
    rules = retention.machines.values()
    return {
        "sources": list(retention.machines),
        "days": [rule.days for rule in rules],
        "archives": [rule.deed is Deed.ARCHIVE for rule in rules],
        "days_others": retention.default.days,
        "archives_others": retention.default.deed is Deed.ARCHIVE,
    }
