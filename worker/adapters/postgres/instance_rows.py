"""Instances as operators look them up: pages of a list, single ones, their kin, what the journal tells of them.

Nothing is changed here: every transaction is read-only. Journal rows are read by the view `journal_events`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg.rows import TupleRow

from worker.adapters.postgres import columns, statements
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.digests import event_key, subject_digest
from worker.core.events import Event
from worker.core.instances import Instance
from worker.ports import Seen

PAGE_ROWS: Final = 500
DEPTH_MAX: Final = 16
KIN_MAX: Final = 500
"""How many descendants of an instance are looked up, at most."""

_DIGEST_DIGITS: Final = 64
_SUBJECTS_PER_PAGE: Final = 10_000
_READ_ONLY: Final = "SET TRANSACTION READ ONLY"

_COLUMNS: Final = """
subject_digest, subject, parent_subject, source, version, status, states, init_event_id, revision, now_ms,
created_at, updated_at, ended_at
"""

_WANTED: Final = """
    (%(sources)s::text[] IS NULL OR source = ANY(%(sources)s::text[]))
    AND (%(version)s::text IS NULL OR version = %(version)s)
    AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s::text[]))
    AND (%(states)s::text[] IS NULL OR states && %(states)s::text[])
    AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
    AND (%(stuck)s::timestamptz IS NULL OR (status = 'active' AND updated_at < %(stuck)s))
"""

_LIST: Final[LiteralString] = f"""
SELECT {_COLUMNS} FROM instances
WHERE {_WANTED}
    AND (%(after)s::bytea IS NULL OR (created_at, subject_digest) < (%(after_at)s, %(after)s))
ORDER BY created_at DESC, subject_digest DESC LIMIT %(limit)s
"""  # noqa: S608 - Put together of constants.

_WHOLE: Final[LiteralString] = f"""
SELECT {_COLUMNS}, snapshot::text FROM instances
WHERE {_WANTED} AND (%(after)s::bytea IS NULL OR subject_digest > %(after)s)
ORDER BY subject_digest LIMIT %(limit)s
"""  # noqa: S608

_BETWEEN: Final[LiteralString] = f"""
SELECT {_COLUMNS} FROM instances WHERE subject_digest BETWEEN %(first)s AND %(last)s ORDER BY subject_digest LIMIT 6
"""  # noqa: S608

_CHILDREN: Final[LiteralString] = f"""
SELECT {_COLUMNS} FROM instances WHERE parent_digest = ANY(%(parents)s::bytea[])
ORDER BY created_at, subject_digest LIMIT %(limit)s
"""  # noqa: S608

# Parents before their children: they began earlier.
_ACTIVE_KIN: Final[LiteralString] = f"""
WITH RECURSIVE kin (subject_digest) AS (
    SELECT unnest(%(roots)s::bytea[])
    UNION
    SELECT child.subject_digest FROM instances AS child JOIN kin ON child.parent_digest = kin.subject_digest
)
SELECT {_COLUMNS} FROM instances JOIN kin USING (subject_digest) WHERE status = 'active'
ORDER BY created_at, subject_digest LIMIT {KIN_MAX}
"""  # noqa: S608

_SUBJECTS: Final = """
SELECT subject_digest, subject FROM instances WHERE %(after)s::bytea IS NULL OR subject_digest > %(after)s
ORDER BY subject_digest LIMIT %(limit)s
"""

# None of the journal's days before the instance's first can have a row of it. The planner thinks little of the others'
# indexes by subject, though they leave a hundredth to be read.
_BY_INDEX: Final = "SET LOCAL enable_seqscan = off"
_HISTORY: Final = """
SELECT partition, record_offset, record_time, recorded_at, event_source, event_id, event_type, outcome, reason,
    error_name, error_message, states_before, states_after, revision
FROM journal_events
WHERE subject_digest = %(digest)s AND day >= %(day)s
ORDER BY recorded_at DESC, partition DESC, record_offset DESC LIMIT %(limit)s
"""

_DEFINITION: Final = """
SELECT definition_hash FROM definitions WHERE source = %(source)s AND version = %(version)s
ORDER BY last_registered_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Say which instances are wanted; what is None lets all through.

    `states` wants one of them active; `since` and `until` bound the start; `stuck` wants active ones without a step
    since then.
    """

    sources: Sequence[str] | None = None
    version: str | None = None
    statuses: Sequence[str] | None = None
    states: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    stuck: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """Give the parameters of the statements."""
        lists = {"sources": self.sources, "statuses": self.statuses, "states": self.states}
        return {name: list(value) if value else None for name, value in lists.items()} | {
            "version": self.version,
            "since": self.since,
            "until": self.until,
            "stuck": self.stuck,
        }


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """What a list tells of an instance. `now` is its last step's time, in milliseconds since the epoch."""

    digest: bytes
    subject: str
    parent_subject: str | None
    source: str
    version: str
    status: str
    states: tuple[str, ...]
    init_event_id: str
    revision: int
    now: int
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None

    @property
    def id(self) -> str:
        """Give the beginning of the digest: enough to name it by."""
        return self.digest.hex()[:12]


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """What the journal tells of one record that came for an instance, but for its bytes."""

    partition: int
    offset: int
    record_time: datetime | None
    recorded_at: datetime
    source: str | None
    event_id: str | None
    type: str | None
    outcome: str
    reason: str | None
    error_name: str | None
    error_message: str | None
    states_before: Sequence[str] | None
    states_after: Sequence[str] | None
    revision: int | None


class InstanceRows:
    """Read instances. All calls raise DatabaseUnavailable and DatabaseRefused."""

    def __init__(self, config: DatabaseConfig, application_name: str) -> None:
        self._session: Final = Session(config, application_name)

    def page(
        self, wanted: InstanceFilter, limit: int, after: tuple[datetime, bytes] | None = None
    ) -> list[InstanceRow]:
        """Give the newest so many that are older than `after`: the start and digest of the last one seen."""
        at, digest = after or (None, None)
        rows = self._rows(_LIST, {**wanted.parameters(), "after": digest, "after_at": at, "limit": limit})
        return [_row(row) for row in rows]

    def every(self, wanted: InstanceFilter) -> Iterator[tuple[InstanceRow, str]]:
        """Give all, in the order of their digests, each with its snapshot's JSON; so many at a time."""
        after: bytes | None = None
        while True:
            rows = self._rows(_WHOLE, {**wanted.parameters(), "after": after, "limit": PAGE_ROWS})
            for *row, snapshot in rows:
                yield _row(tuple(row)), snapshot
            if len(rows) < PAGE_ROWS:
                return
            after = bytes(rows[-1][0])

    def by_digest(self, digits: str) -> list[InstanceRow]:
        """Give up to six whose digest begins with these hexadecimal digits."""
        bounds = (bytes.fromhex(digits.ljust(_DIGEST_DIGITS, fill)) for fill in "0f")
        return [_row(row) for row in self._rows(_BETWEEN, dict(zip(("first", "last"), bounds, strict=True)))]

    def by_subject(self, subject: str) -> InstanceRow | None:
        """Give the one of this subject."""
        return next(iter(self.by_digest(subject_digest(subject).hex())), None)

    def subjects(self) -> Iterator[str]:
        """Give the subjects of all instances, in no order that means anything."""
        after: bytes | None = None
        while True:
            rows = self._rows(_SUBJECTS, {"after": after, "limit": _SUBJECTS_PER_PAGE})
            yield from (subject for _, subject in rows)
            if len(rows) < _SUBJECTS_PER_PAGE:
                return
            after = bytes(rows[-1][0])

    def instance(self, digest: bytes) -> Instance | None:
        """Give the whole instance, as a step would find it."""
        with self._session.transaction() as connection:
            connection.execute(_READ_ONLY)
            rows = connection.execute(statements.INSTANCES, ([digest],)).fetchall()
        return columns.instance(rows[0])[1] if rows else None

    def ancestors(self, row: InstanceRow) -> list[InstanceRow]:
        """Give those above, the nearest first, as far as they are there."""
        above: list[InstanceRow] = []
        parent = row.parent_subject
        while parent is not None and len(above) < DEPTH_MAX:
            found = self.by_subject(parent)
            if found is None:
                break
            above.append(found)
            parent = found.parent_subject
        return above

    def descendants(self, row: InstanceRow) -> Mapping[str, Sequence[InstanceRow]]:
        """Give those below by the subject of their parent, in order of their starts: so deep, and so many, at most."""
        below: dict[str, list[InstanceRow]] = {}
        level, left = [row.digest], KIN_MAX
        for _ in range(DEPTH_MAX):
            found = [_row(one) for one in self._rows(_CHILDREN, {"parents": level, "limit": left})]
            for one in found:
                assert one.parent_subject is not None
                below.setdefault(one.parent_subject, []).append(one)
            level, left = [one.digest for one in found], left - len(found)
            if not level or left <= 0:
                break
        return below

    def active_kin(self, roots: Sequence[bytes]) -> list[InstanceRow]:
        """Give the active ones among these and all below them, in order of their starts; so many at most."""
        return [_row(row) for row in self._rows(_ACTIVE_KIN, {"roots": list(roots)})]

    def history(self, row: InstanceRow, limit: int) -> list[HistoryRow]:
        """Give what the journal has of the newest so many records for an instance, the oldest first."""
        day: date = row.created_at.date() - timedelta(days=1)
        with self._session.transaction() as connection:
            connection.execute(_READ_ONLY)
            connection.execute(_BY_INDEX)
            rows = connection.execute(_HISTORY, {"digest": row.digest, "day": day, "limit": limit}).fetchall()
        return [HistoryRow(*one) for one in reversed(rows)]

    def seen(self, event: Event, days: int) -> bytes | None:
        """Give the digest of what an event of this subject, source and id had in it, if one was consumed."""
        asked = event_key(event)
        with self._session.transaction() as connection:
            connection.execute(_READ_ONLY)
            rows = connection.execute(statements.SEEN_EVENTS, ([asked], days)).fetchall()
        name = (subject_digest(event.subject), event.source, event.id)
        found = (Seen(*row) for row in rows)
        return next((one.content_digest for one in found if (one.subject_digest, one.source, one.id) == name), None)

    def definition_hash(self, source: str, version: str) -> bytes | None:
        """Give the hash of the machine that a worker brought last."""
        rows = self._rows(_DEFINITION, {"source": source, "version": version})
        return bytes(rows[0][0]) if rows else None

    def close(self) -> None:
        """Close the connection; never fails."""
        self._session.close()

    def _rows(self, statement: LiteralString, parameters: Mapping[str, Any]) -> list[TupleRow]:
        with self._session.transaction() as connection:
            connection.execute(_READ_ONLY)
            return connection.execute(statement, parameters).fetchall()


def _row(row: tuple[Any, ...]) -> InstanceRow:
    digest, subject, parent, source, version, status, states, *rest = row
    return InstanceRow(bytes(digest), subject, parent, source, version, status, tuple(states), *rest)
