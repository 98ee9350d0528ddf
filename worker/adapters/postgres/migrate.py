"""Bring a database to the schema that this worker needs, and tell whether it is there.

The migrations are a folder of Alembic revisions in one line. It lies in the package when installed from a wheel,
else at the root of the source tree.
"""

from collections.abc import Iterator
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

SERVER_VERSION_MIN: Final = 140_000
CONNECT_TIMEOUT_SECONDS: Final = 10
LOCK_TIMEOUT_SECONDS: Final = 60

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


def migrate(url: str, *, to: str = HEAD) -> MigrationReport:
    """Bring the database at `url` to a revision, `head` or `base`, in one transaction; going back drops data.

    Waits for another run on the same database, up to LOCK_TIMEOUT_SECONDS. Raises: SetupError.
    """
    config = _config()
    line = _line(config)
    with _begun(url) as connection:
        _lock(connection)
        before = MigrationContext.configure(connection).get_current_revision()
        steps, forward = _steps(line, before, to)
        config.attributes["connection"] = connection
        if steps:
            (command.upgrade if forward else command.downgrade)(config, to)
        after = MigrationContext.configure(connection).get_current_revision()
    return MigrationReport(before, after, steps)


def current_revision(url: str) -> str | None:
    """Read the revision that a database is at, None before the first migration. Raises: SetupError."""
    with _open(url) as connection:
        return _read_revision(connection)


def head_revision() -> str:
    """Give the revision that this worker needs."""
    return _line(_config())[-1]


def require_current(database: psycopg.Connection[Any] | str) -> None:
    """Check that a database (an open connection, or its URL) has the schema of this worker. Raises: SetupError."""
    found = current_revision(database) if isinstance(database, str) else _read_revision(database)
    line = _line(_config())
    needed = line[-1]
    if found == needed:
        return
    if found is None:
        raise SetupError(f"database has no schema yet, this worker needs {needed}: run `worker migrate`")
    if found in line:
        raise SetupError(f"database schema is at {found}, this worker needs {needed}: run `worker migrate`")
    raise SetupError(_ahead(found, needed))


def _config() -> Config:
    installed = Path(__file__).parents[2] / "migrations"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def _line(config: Config) -> list[str]:
    """Give all revisions, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def _steps(line: list[str], before: str | None, to: str) -> tuple[tuple[str, ...], bool]:
    """Give the revisions between the two, in order of running, and whether they lead forward."""
    targets = {BASE: 0, HEAD: len(line)} | {revision: place for place, revision in enumerate(line, 1)}
    if to not in targets:
        raise SetupError(f"no revision {to}: there are {BASE}, {', '.join(line)} and {HEAD}")
    if before is not None and before not in line:
        raise SetupError(_ahead(before, line[-1]))
    start, end = targets[before or BASE], targets[to]
    return (tuple(line[start:end]), True) if start <= end else (tuple(line[end:start][::-1]), False)


def _ahead(found: str, needed: str) -> str:
    return (
        f"database schema is at {found}, which this worker does not know; it needs {needed}: "
        "a newer worker migrated this database, so run that version or a later one"
    )


def _lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock({}, {})".format(*MIGRATION_LOCK))


def _read_revision(connection: psycopg.Connection[Any]) -> str | None:
    """Read the one row of Alembic's table; leaves no transaction open that wasn't."""
    with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        if cursor.execute("SELECT to_regclass('alembic_version')").fetchone() is None:
            _check_schema(cursor, connection.info.user)
            return None
        try:
            revision: str | None = cursor.execute("SELECT version_num FROM alembic_version").fetchone()
        except errors.InsufficientPrivilege:
            raise SetupError(
                f"PostgreSQL's user {connection.info.user} lacks SELECT on alembic_version. As the owner of the tables "
                "run the grants of docs/security.md"
            ) from None
        return revision


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
