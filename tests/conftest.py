"""What every test can ask for, and what a run says about the servers that it lacked."""

import pytest

from tests.servers.availability import MissingServer, deselect, missing_servers, on_ci, report
from tests.servers.database import (
    each_migrated_database_url,
    each_migrated_template,
    migrated_database_url,
    migrated_template,
)
from tests.servers.fixtures import (
    database_url,
    databases,
    debian_postgres_url,
    each_database_url,
    each_databases,
    each_postgres_url,
    embedded_broker,
    kafka_cluster,
    kafka_jars,
    kafka_proxy,
    kafka_server,
    postgres_url,
)

__all__ = [
    "database_url",
    "databases",
    "debian_postgres_url",
    "each_database_url",
    "each_databases",
    "each_migrated_database_url",
    "each_migrated_template",
    "each_postgres_url",
    "embedded_broker",
    "kafka_cluster",
    "kafka_jars",
    "kafka_proxy",
    "kafka_server",
    "migrated_database_url",
    "migrated_template",
    "postgres_url",
]

LEFT_OUT = pytest.StashKey[dict[MissingServer, list[pytest.Item]]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if on_ci():
        return
    left_out = deselect(items, missing_servers())
    config.stash[LEFT_OUT] = left_out
    for lacking in left_out.values():
        config.hook.pytest_deselected(items=lacking)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in report(config.stash.get(LEFT_OUT, {})):
        terminalreporter.write_line(line, yellow=True)
