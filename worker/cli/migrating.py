"""`worker migrate`."""

import sys

from worker.adapters.postgres.migrate import current_revision, head_revision, require_current
from worker.adapters.postgres.migrate import migrate as run_migrations
from worker.cli.loading import settings_without
from worker.core.errors import SetupError
from worker.terminal.faults import FAILED, fail

_NO_SCHEMA = "no schema"


def migrate_schema() -> None:
    """Migrate, and say from where to where. Raises: SetupError."""
    report = run_migrations(_database_url())
    if not report.applied:
        sys.stdout.write(f"schema is current: {report.after}\n")
        return
    sys.stdout.write(f"schema: {report.before or _NO_SCHEMA} → {report.after}\n")


def check_schema() -> None:
    """Say whether the schema is the worker's; end with 1 if it is not. Raises: SetupError."""
    url = _database_url()
    # A database that can't be asked is another fault than one that answers.
    current_revision(url)
    try:
        require_current(url)
    except SetupError as error:
        fail(str(error), FAILED)
    sys.stdout.write(f"schema is current: {head_revision()}\n")


def _database_url() -> str:
    return settings_without("kafka_bootstrap_servers").database_url.get_secret_value()
