"""`worker migrate`."""

import sys
from collections.abc import Sequence

from worker.adapters.postgres.migrate import (
    HEAD,
    ROLLOUT,
    current_revision,
    left_to_run,
    needed_revision,
    require_current,
)
from worker.adapters.postgres.migrate import migrate as run_migrations
from worker.cli.loading import settings_without
from worker.core.errors import SetupError
from worker.core.json import dumps
from worker.terminal.faults import FAILED, fail

_NO_SCHEMA = "no schema"


def migrate_schema(*, as_json: bool, after_rollout: bool) -> None:
    """Migrate, and say from where to where, and what is left. Raises: SetupError."""
    url = _database_url()
    report = run_migrations(url, to=HEAD if after_rollout else ROLLOUT)
    left = left_to_run(url)
    if as_json:
        _print_json(report.before, report.after, left, is_current=True)
        return
    if report.applied:
        sys.stdout.write(f"schema: {report.before or _NO_SCHEMA} → {report.after}\n")
    else:
        sys.stdout.write(f"schema is current: {report.after}\n")
    if left:
        sys.stdout.write(
            f"left: {', '.join(left)}, which takes away what workers of the version before need: once none of them is "
            "running, run `worker migrate --after-rollout`\n"
        )


def check_schema(*, as_json: bool) -> None:
    """Say whether the schema is one for this worker; end with 1 if it is not. Raises: SetupError."""
    url = _database_url()
    # A database that can't be asked is another fault than one that answers.
    found = current_revision(url)
    fault = _fault(url)
    if as_json:
        _print_json(found, found, left_to_run(url), is_current=fault is None)
    if fault is not None:
        fail(fault, FAILED)
    if not as_json:
        sys.stdout.write(f"schema is current: {found}\n")


def _fault(url: str) -> str | None:
    try:
        require_current(url)
    except SetupError as error:
        return str(error)
    return None


def _print_json(before: str | None, after: str | None, left: Sequence[str], *, is_current: bool) -> None:
    document = {
        "before": before,
        "after": after,
        "needed": needed_revision(),
        "left": list(left),
        "is_current": is_current,
    }
    sys.stdout.write(f"{dumps(document).decode()}\n")


def _database_url() -> str:
    return settings_without("kafka_bootstrap_servers").database_url.get_secret_value()
