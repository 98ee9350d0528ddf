"""`worker migrate`."""

import sys

from worker.adapters.postgres.migrate import current_revision, head_revision, require_current
from worker.adapters.postgres.migrate import migrate as run_migrations
from worker.cli.loading import settings_without
from worker.core.errors import SetupError
from worker.core.json import dumps
from worker.terminal.faults import FAILED, fail

_NO_SCHEMA = "no schema"


def migrate_schema(*, as_json: bool) -> None:
    """Migrate, and say from where to where. Raises: SetupError."""
    report = run_migrations(_database_url())
    if as_json:
        _print_json(report.before, report.after, is_current=True)
        return
    if not report.applied:
        sys.stdout.write(f"schema is current: {report.after}\n")
        return
    sys.stdout.write(f"schema: {report.before or _NO_SCHEMA} → {report.after}\n")


def check_schema(*, as_json: bool) -> None:
    """Say whether the schema is the worker's; end with 1 if it is not. Raises: SetupError."""
    url = _database_url()
    # A database that can't be asked is another fault than one that answers.
    found = current_revision(url)
    if as_json:
        _print_json(found, found, is_current=found == head_revision())
    try:
        require_current(url)
    except SetupError as error:
        fail(str(error), FAILED)
    if not as_json:
        sys.stdout.write(f"schema is current: {head_revision()}\n")


def _print_json(before: str | None, after: str | None, *, is_current: bool) -> None:
    document = {"before": before, "after": after, "needed": head_revision(), "is_current": is_current}
    sys.stdout.write(f"{dumps(document).decode()}\n")


def _database_url() -> str:
    return settings_without("kafka_bootstrap_servers").database_url.get_secret_value()
