"""What every test can ask for, and what a run says about the servers that it lacked."""

import os
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import hypothesis
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
    pooled_database_url,
    postgres_url,
    postgres_with_tls,
)
from tests.servers.ports import keep_ports_apart

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
    "pooled_database_url",
    "postgres_url",
    "postgres_with_tls",
]

# No test is about time: an example may take as long as a busy machine makes it.
hypothesis.settings.register_profile("untimed", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("untimed")

LEFT_OUT = pytest.StashKey[Mapping[MissingServer, int]]()
PROCESS_VARIABLE = "PYTEST_XDIST_WORKER"
LEFT_OUT_OUTPUT = "left_out"


def pytest_configure(config: pytest.Config) -> None:
    process = os.environ.get(PROCESS_VARIABLE, "").removeprefix("gw")
    keep_ports_apart(int(process or 0))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _slow_files_first(items)
    if on_ci():
        return
    left_out = deselect(items, missing_servers())
    counts = {server: len(lacking) for server, lacking in left_out.items()}
    config.stash[LEFT_OUT] = counts
    if (output := getattr(config, "workeroutput", None)) is not None:  # What one of several processes hands over.
        output[LEFT_OUT_OUTPUT] = [[*astuple(server), count] for server, count in counts.items()]
    for lacking in left_out.values():
        config.hook.pytest_deselected(items=lacking)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Keep what a process left out; each of them collects all tests."""
    told: dict[str, Any] = getattr(node, "workeroutput", {})
    if LEFT_OUT_OUTPUT in told:
        node.config.stash[LEFT_OUT] = {MissingServer(*server): count for *server, count in told[LEFT_OUT_OUTPUT]}


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in report(config.stash.get(LEFT_OUT, {})):
        terminalreporter.write_line(line, yellow=True)


def _slow_files_first(items: list[pytest.Item]) -> None:
    """Have quick tests fill up the processes' last minutes: with slow ones last, one goes on when the others are done.

    Apart from that the order stays as it is.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
