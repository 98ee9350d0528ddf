"""`worker instances list` and `export`: which instances there are. They change nothing and need no Kafka."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.adapters.postgres.instance_rows import InstanceFilter, InstanceRow, InstanceRows
from worker.adapters.postgres.migrate import require_current
from worker.adapters.postgres.session import DatabaseConfig
from worker.cli.loading import settings_without
from worker.cli.moments import datetime_of, milliseconds_of, moment_text, read_moment, span_text
from worker.core.errors import InvalidSubjectError, SetupError
from worker.core.instances import Status
from worker.core.json import dumps
from worker.core.subjects import decode_subject
from worker.logs import configure_logs
from worker.settings import Settings
from worker.terminal.colours import Colour, Tinted, colours_on
from worker.terminal.lines import names_subject, short_subject
from worker.terminal.texts import counted, table

LIMIT: Final = 100
CALL_SECONDS: Final = 600.0
"""The journal has no index by subject, so a look at a large one takes its time."""

_HEADS: Final = ("ID", "INSTANCE", "VERSION", "STATUS", "STATES", "STEPS", "STARTED", "LAST STEP")
_COLOURS: Final = {Status.DONE: Colour.FAINT, Status.CANCELLED: Colour.DOUBTFUL}
_PREFIX: Final = "arvo.orc."
_DIGITS: Final = re.compile(r"[0-9a-f]{6,64}")
_CURSOR: Final = re.compile(r"(\d{1,18})-([0-9a-f]{64})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CHARACTERS_MIN: Final = 4


@dataclass(frozen=True, slots=True)
class Filters:
    """What the options say of the instances that are wanted, as they were typed."""

    machines: Sequence[str] = ()
    version: str | None = None
    statuses: Sequence[str] = ()
    states: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    stuck: str | None = None

    def wanted(self) -> InstanceFilter:
        """Read them. Raises: SetupError."""
        now = time.time_ns() // 1_000_000
        unknown = sorted(set(self.statuses) - set(Status))
        if unknown:
            raise SetupError(f"--status: {unknown[0]} is no status; there are: {', '.join(Status)}")
        return InstanceFilter(
            sources=[named for one in self.machines for named in (one, f"{_PREFIX}{one}")],
            version=self.version,
            statuses=self.statuses,
            states=self.states,
            since=_moment(self.since, "--since", now),
            until=_moment(self.until, "--until", now),
            stuck=_moment(self.stuck, "--stuck", now),
        )


@contextmanager
def instance_rows(settings: Settings) -> Iterator[InstanceRows]:
    """Connect to the deployment's instances. Raises: SetupError, if they are not there."""
    url = settings.database_url.get_secret_value()
    require_current(url)
    rows = InstanceRows(database_config(settings), "worker instances")
    try:
        yield rows
    finally:
        rows.close()


def database_config(settings: Settings) -> DatabaseConfig:
    """Say where the database is, for calls that may take long."""
    return DatabaseConfig(settings.database_url.get_secret_value(), call_timeout_seconds=CALL_SECONDS)


def list_instances(filters: Filters, limit: int, after: str | None, *, as_json: bool) -> None:
    """Print the newest instances, the newest first. Raises: SetupError, DatabaseUnavailable, DatabaseRefused."""
    configure_logs("error", "console")
    wanted, cursor = filters.wanted(), None if after is None else _read_cursor(after)
    with instance_rows(settings_without("kafka_bootstrap_servers")) as rows:
        found = rows.page(wanted, limit + 1, cursor)
    shown = found[:limit]
    if as_json:
        sys.stdout.write("".join(f"{dumps(document_of(row)).decode()}\n" for row in shown))
        return
    if shown:
        now = time.time_ns() // 1_000_000
        sys.stdout.write(f"{instance_table(shown, now, colours=colours_on(sys.stdout))}\n")
    sys.stdout.flush()
    more = f"; there are more: --after {_cursor(shown[-1])}" if len(found) > limit else ""
    sys.stderr.write(f"{counted(len(shown), 'instance')}{more}\n")


def export_instances(filters: Filters) -> None:
    """Print all instances with their snapshots, a line each. Raises: as `list_instances`."""
    configure_logs("error", "console")
    wanted = filters.wanted()
    with instance_rows(settings_without("kafka_bootstrap_servers")) as rows:
        for row, snapshot in rows.every(wanted):
            # The snapshot as PostgreSQL has it: no number passes through another form.
            head = dumps(document_of(row)).decode().removesuffix("}")
            sys.stdout.write(f'{head},"snapshot":{snapshot}}}\n')
    sys.stdout.flush()


def find_instance(rows: InstanceRows, named: str) -> InstanceRow:
    """Find the one of a subject, of the digits that an id begins with, or of an execution's id.

    Raises: SetupError, if there is none, or more than one.
    """
    found = rows.by_subject(named)
    if found is not None:
        return found
    matches = rows.by_digest(named) if _DIGITS.fullmatch(named) else []
    if not matches and not is_subject(named):
        matches = _of_execution(rows, named)
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise SetupError(f"there is no instance {named}: see `worker instances list`")
    several = ", ".join(f"{row.id} ({short_subject(row.subject)})" for row in matches[:5])
    raise SetupError(f"{named} names more than one instance: {several}")


def is_subject(text: str) -> bool:
    """Tell whether a text is the subject of an instance, there or not."""
    try:
        decode_subject(text)
    except InvalidSubjectError:
        return False
    return True


def instance_table(rows: Sequence[InstanceRow], now: int, *, colours: bool) -> str:
    """Lay instances out, a line each."""
    return table([_HEADS, *(_cells(row, now) for row in rows)], colours=colours)


def document_of(row: InstanceRow) -> dict[str, Any]:
    """Give what a list tells of an instance, as JSON."""
    return {
        "id": row.id,
        "subject": row.subject,
        "execution": execution_of(row.subject),
        "machine": row.source,
        "version": row.version,
        "status": row.status,
        "states": list(row.states),
        "revision": row.revision,
        "started_at": _iso(row.created_at),
        "last_step_at": _iso(row.updated_at),
        "ended_at": row.ended_at and _iso(row.ended_at),
        "parent_subject": row.parent_subject,
        "init_event_id": row.init_event_id,
        "cursor": _cursor(row),
    }


def execution_of(subject: str) -> str | None:
    """Give the id of a subject's execution."""
    try:
        return decode_subject(subject).execution_id
    except InvalidSubjectError:
        return None


def states_text(states: Sequence[str]) -> str:
    """Name the active states without the root, which is always active."""
    return ",".join(states[1:] or states) or "-"


def status_text(status: str) -> str:
    """Write a status, in its colour."""
    return Tinted(status, _COLOURS.get(Status(status)))


def ago_text(moment: datetime, now: int) -> str:
    """Say how long ago something was."""
    return f"{span_text(now - milliseconds_of(moment))} ago"


def _of_execution(rows: InstanceRows, named: str) -> list[InstanceRow]:
    if len(named) < _CHARACTERS_MIN:
        raise SetupError(f"{named} is too short to name an instance: give {_CHARACTERS_MIN} characters or more")
    found: list[InstanceRow] = []
    for subject in rows.subjects():
        row = rows.by_subject(subject) if names_subject(named, subject) else None
        if row is not None:
            found.append(row)
    return found


def _cells(row: InstanceRow, now: int) -> tuple[str, ...]:
    return (
        row.id,
        short_subject(row.subject),
        row.version,
        status_text(row.status),
        states_text(row.states),
        str(row.revision),
        moment_text(milliseconds_of(row.created_at)),
        ago_text(row.updated_at, now),
    )


def _moment(text: str | None, option: str, now: int) -> datetime | None:
    return None if text is None else datetime_of(read_moment(text, option, now))


def _cursor(row: InstanceRow) -> str:
    return f"{(row.created_at - _EPOCH) // _MICROSECOND}-{row.digest.hex()}"


def _read_cursor(text: str) -> tuple[datetime, bytes]:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise SetupError(f"--after: expected what a list ends with, or its JSON has as `cursor`; got {text}")
    return _EPOCH + int(found[1]) * _MICROSECOND, bytes.fromhex(found[2])


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
