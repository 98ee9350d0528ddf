"""Bring a database to the schema that this worker needs, and tell whether it is there.

The migrations are a folder of Alembic revisions in one line. It lies in the package when installed from a wheel,
else at the root of the source tree. Each says in `phase` whether it runs before the workers of its version are rolled
out (it only adds) or after (it takes away what the version before needed). The database keeps the heads of the lines of
all workers that run on it, so that a worker knows whether a schema that is newer than itself still is one for it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import scalar_row
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from worker.adapters.postgres.connecting import unreachable_text
from worker.core.errors import SetupError

BASE: Final = "base"
HEAD: Final = "head"
ROLLOUT: Final = "rollout"
"""As far as may be gone while workers of the version before are running; a new database has none, and gets all."""

BEFORE: Final = "before"
AFTER: Final = "after"

SERVER_VERSION_MIN: Final = 140_000
CONNECT_TIMEOUT_SECONDS: Final = 10
LOCK_TIMEOUT_SECONDS: Final = 60
TABLE_LOCK_SECONDS: Final = 2
"""How long a statement waits for a table that is in use. Whoever asks for the table next waits behind it."""

TRIES_MAX: Final = 10
PAUSE_SECONDS: Final = 1.0

# The two-integer keys are a space of their own, apart from the one-integer keys that lock subjects.
MIGRATION_LOCK: Final = (0x776F726B, 1)

# A schema that can't be used is passed over in search of a name.
_HIDDEN: Final = """
SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relname = 'alembic_version' AND NOT has_schema_privilege(pg_namespace.oid, 'USAGE')
    AND nspname = ANY(string_to_array(replace(current_setting('search_path'), ' ', ''), ','))
"""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What one run did; revisions are None where there is no schema. `applied` stands in the order of running.

    A downgrade applies the revisions that it takes back.
    """

    before: str | None
    after: str | None
    applied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """All revisions, oldest first, and which of them run only after a roll-out."""

    revisions: Sequence[str]
    after: frozenset[str] = frozenset()

    @property
    def needed(self) -> str:
        """Give the revision that a worker needs: the last that runs before its roll-out."""
        return next(one for one in reversed(self.revisions) if one not in self.after)

    def left(self, found: str | None) -> Sequence[str]:
        """Give what is left to run on a database at this revision."""
        return self.revisions if found is None else self.revisions[self.revisions.index(found) + 1 :]

    def supported(self, found: str) -> Sequence[str]:
        """Give the heads of the workers that run on a schema at this revision: only what adds has come since theirs."""
        heads = [found]
        for place in range(self.revisions.index(found), 0, -1):
            if self.revisions[place] in self.after:
                break
            heads.append(self.revisions[place - 1])
        return heads


class _TableBusy(Exception):
    """A table that a migration changes was in use for too long."""


def migrate(url: str, *, to: str = HEAD) -> MigrationReport:
    """Bring the database at `url` to a revision, `head`, `rollout` or `base`, in one transaction.

    Going back drops data. Waits for another run on the same database, up to LOCK_TIMEOUT_SECONDS, and tries again where
    a table is in use. Raises: SetupError.
    """
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            return _try_to_migrate(url, to)
        except _TableBusy:
            if tries_left:
                time.sleep(PAUSE_SECONDS)
    raise SetupError(
        f"migration failed, nothing was changed: a table was in use for {TABLE_LOCK_SECONDS} s at each of {TRIES_MAX} "
        "tries. End the transaction that holds it (pg_stat_activity shows the oldest by xact_start), or run it later"
    )


def _try_to_migrate(url: str, to: str) -> MigrationReport:
    config = _config()
    line = _line(config)
    with _begun(url) as connection:
        _lock(connection)
        before = MigrationContext.configure(connection).get_current_revision()
        steps, forward = _steps(line, before, to)
        config.attributes["connection"] = connection
        if steps:
            with _bounded(connection):
                end = steps[-1] if forward else to
                (command.upgrade if forward else command.downgrade)(config, end)
                after = MigrationContext.configure(connection).get_current_revision()
                _note_supported(connection, line, after)
        else:
            after = before
    return MigrationReport(before, after, steps)


def current_revision(url: str) -> str | None:
    """Read the revision that a database is at, None before the first migration. Raises: SetupError."""
    with _open(url) as connection:
        return _read_revision(connection)


def head_revision() -> str:
    """Give the newest revision that this worker knows."""
    return _line(_config()).revisions[-1]


def needed_revision() -> str:
    """Give the revision that this worker needs."""
    return _line(_config()).needed


def left_to_run(url: str) -> Sequence[str]:
    """Give the revisions that a database lacks, those that run after a roll-out too. Raises: SetupError."""
    found, line = current_revision(url), _line(_config())
    return line.left(found) if found is None or found in line.revisions else ()


def require_current(database: psycopg.Connection[Any] | str) -> None:
    """Check that a database (an open connection, or its URL) has the schema of this worker. Raises: SetupError."""
    found = current_revision(database) if isinstance(database, str) else _read_revision(database)
    line = _line(_config())
    if found is None:
        raise SetupError(f"database has no schema yet, this worker needs {line.needed}: run `worker migrate`")
    if found in line.revisions:
        if line.needed in line.left(found):
            raise SetupError(f"database schema is at {found}, this worker needs {line.needed}: run `worker migrate`")
    elif not _is_supported(database, line.revisions[-1]):
        raise SetupError(_ahead(found, line.needed))


def _config() -> Config:
    installed = Path(__file__).parents[2] / "migrations"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def _line(config: Config) -> Line:
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    return Line(
        [script.revision for script in scripts],
        frozenset(script.revision for script in scripts if script.module.phase == AFTER),
    )


def _steps(line: Line, before: str | None, to: str) -> tuple[tuple[str, ...], bool]:
    """Give the revisions between the two, in order of running, and whether they lead forward."""
    revisions = line.revisions
    targets = {BASE: 0, HEAD: len(revisions)} | {revision: place for place, revision in enumerate(revisions, 1)}
    if before is not None and before not in revisions:
        raise SetupError(_ahead(before, line.needed))
    start = targets[before or BASE]
    targets[ROLLOUT] = max(targets[line.needed], start) if before else len(revisions)
    if to not in targets:
        raise SetupError(f"no revision {to}: there are {BASE}, {', '.join(revisions)}, {ROLLOUT} and {HEAD}")
    end = targets[to]
    return (tuple(revisions[start:end]), True) if start <= end else (tuple(revisions[end:start][::-1]), False)


def _note_supported(connection: Connection, line: Line, after: str | None) -> None:
    """Note which workers run on this schema, where it has the table for it."""
    if after is None or not connection.exec_driver_sql("SELECT to_regclass('schema_support')").scalar():
        return
    connection.exec_driver_sql("DELETE FROM schema_support")
    heads = [(head,) for head in line.supported(after)]
    connection.exec_driver_sql("INSERT INTO schema_support (head) VALUES (%s)", heads)


def _is_supported(database: psycopg.Connection[Any] | str, head: str) -> bool:
    """Ask a database that is newer than this worker whether it still is one for it. Raises: SetupError."""
    if isinstance(database, str):
        with _open(database) as connection:
            return _is_supported(connection, head)
    with database.transaction(), database.cursor(row_factory=scalar_row) as cursor:
        if cursor.execute("SELECT to_regclass('schema_support')").fetchone() is None:
            return False
        with _read_allowed(database, "schema_support"):
            return cursor.execute("SELECT 1 FROM schema_support WHERE head = %s", (head,)).fetchone() is not None


def _ahead(found: str, needed: str) -> str:
    return (
        f"database schema is at {found}, which this worker does not know; it needs {needed}: "
        "a newer worker migrated this database and it is none for this one any more, so run that version or a later one"
    )


def _lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock({}, {})".format(*MIGRATION_LOCK))


@contextmanager
def _bounded(connection: Connection) -> Iterator[None]:
    """Give up soon where a table is in use. Raises: _TableBusy."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{TABLE_LOCK_SECONDS}s'")
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, errors.LockNotAvailable):
            raise _TableBusy from None
        raise


def _read_revision(connection: psycopg.Connection[Any]) -> str | None:
    """Read the one row of Alembic's table; leaves no transaction open that wasn't."""
    with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        if cursor.execute("SELECT to_regclass('alembic_version')").fetchone() is None:
            _check_schema(cursor, connection.info.user)
            return None
        with _read_allowed(connection, "alembic_version"):
            revision: str | None = cursor.execute("SELECT version_num FROM alembic_version").fetchone()
        return revision


@contextmanager
def _read_allowed(connection: psycopg.Connection[Any], table: str) -> Iterator[None]:
    """Name the right that is missing, if a table may not be read. Raises: SetupError."""
    try:
        yield
    except errors.InsufficientPrivilege:
        raise SetupError(
            f"PostgreSQL's user {connection.info.user} lacks SELECT on {table}. As the owner of the tables run the "
            "grants of docs/security.md"
        ) from None


def _check_schema(cursor: psycopg.Cursor[Any], user: str) -> None:
    """Tell a schema that this user may not use from one that is empty. Raises: SetupError."""
    hidden = cursor.execute(_HIDDEN).fetchone()
    if hidden is not None:
        raise SetupError(
            f"PostgreSQL's user {user} lacks USAGE on the schema {hidden}. As its owner run: "
            f'GRANT USAGE ON SCHEMA {hidden} TO "{user}"; docs/security.md has all that is needed'
        )


@contextmanager
def _begun(url: str) -> Iterator[Connection]:
    """Give one transaction on an own connection. Raises: SetupError, with what PostgreSQL said."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: _open(url), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise SetupError(f"migration failed, nothing was changed: {_reason(error.orig)}") from None
    finally:
        engine.dispose()


def _open(url: str) -> psycopg.Connection[Any]:
    """Connect by libpq alone, so that every option of the URL counts. Raises: SetupError."""
    defaults: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "fallback_application_name": "worker migrate",
    }
    conninfo = make_conninfo(**defaults | _parsed(url))
    try:
        connection = psycopg.connect(conninfo)
    except psycopg.Error as error:
        raise SetupError(unreachable_text(_said(error))) from None
    try:
        _check_server(connection)
    except SetupError:
        connection.close()
        raise
    return connection


def _parsed(url: str) -> dict[str, Any]:
    """Parse a database URL. Of one that is malformed no part is shown: any part may be of its password."""
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        parameters = {}
    ports = str(parameters.get("port", "")).split(",")
    places = f"{parameters.get('host', '')}{parameters.get('dbname', '')}"
    if not parameters or "@" in places or not all(port.isdecimal() or not port for port in ports):
        raise SetupError(
            "the database URL is malformed: expected postgresql://user:password@host:port/database, "
            "with the special characters of user and password percent-encoded"
        )
    return parameters


def _check_server(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version
    if version < SERVER_VERSION_MIN:
        raise SetupError(f"PostgreSQL is at version {version // 10_000}, this worker needs 14 or later: upgrade it")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise SetupError(
            f"the database has encoding {encoding}, this worker needs UTF8: create it with encoding 'UTF8'"
        )


def _reason(error: BaseException | None) -> str:
    """Say in one line what PostgreSQL or libpq said."""
    return _said(error).partition("\n")[0]


def _said(error: BaseException | None) -> str:
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return said or str(error).strip()
