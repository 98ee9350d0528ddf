"""Which servers a run can have, and what it says about those that it can't.

With CI=true every test is run, so a missing server is a failure. Elsewhere the tests that need it are left out, and
the run's last lines say how many, which promises they show, and how to get the server.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.interop.node import NODE_VERSION_MIN, node_can_run
from tests.servers.helm import GO_REMEDY, helm_can_run
from tests.servers.kafka import kafka_can_run, kafka_version
from tests.servers.pooler import pooler_can_run
from tests.servers.postgres import DEBIAN_BINARIES

KAFKA_VARIABLE = "WORKER_TEST_KAFKA_BOOTSTRAP_SERVERS"
DATABASE_VARIABLE = "WORKER_TEST_DATABASE_URL"
JAVA_REMEDY = "install Java 17 or newer and Maven (Debian: apt-get install default-jre-headless maven)"
POSTGRES_REMEDY = "install PostgreSQL 15 (Debian 12: apt-get install postgresql-15)"
NODE_REMEDY = f"install Node {NODE_VERSION_MIN} or newer with npm (Debian: apt-get install nodejs npm)"


@dataclass(frozen=True, slots=True)
class MissingServer:
    """A server that this machine lacks."""

    fixture: str
    promises: str
    remedy: str
    variant: str | None = None

    def needed_by(self, item: pytest.Item) -> bool:
        if self.fixture not in getattr(item, "fixturenames", ()):
            return False
        callspec = getattr(item, "callspec", None)
        return self.variant is None or (callspec is not None and callspec.params.get(self.fixture) == self.variant)


def on_ci() -> bool:
    return os.environ.get("CI") == "true"


def missing_servers() -> Iterator[MissingServer]:
    if not kafka_can_run():
        yield MissingServer(
            "kafka_jars",
            "what holds while Apache Kafka itself is killed, cut off or restarted; that the bench runs",
            JAVA_REMEDY,
        )
        if KAFKA_VARIABLE not in os.environ:
            yield MissingServer(
                "kafka_cluster",
                "exactly once, transactions, rebalances and kills on Apache Kafka",
                f"{JAVA_REMEDY}; or start one (docker run --network host "
                f"-e KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS=1000 -e KAFKA_AUTO_CREATE_TOPICS_ENABLE=false "
                f"apache/kafka:{kafka_version()}) and set {KAFKA_VARIABLE}=127.0.0.1:9092",
            )
    if not node_can_run():
        yield MissingServer("node_modules", "that services and clients in TypeScript are understood", NODE_REMEDY)
    if not pooler_can_run():
        yield MissingServer(
            "pooled_database_url",
            "that a worker does behind a pooler",
            "install PgBouncer (Debian: apt-get install pgbouncer)",
        )
    if not shutil.which("promtool"):
        yield MissingServer(
            "promtool",
            "that each alert fires, and that Prometheus takes every query of the dashboard",
            "install Prometheus (Debian: apt-get install prometheus)",
        )
    if not helm_can_run():
        yield MissingServer(
            "helm", "that the chart renders what Kubernetes takes, and what it renders works", GO_REMEDY
        )
    if not (DEBIAN_BINARIES / "postgres").exists():
        yield MissingServer(
            "postgres_with_tls",
            "that a worker gets by with TLS, a login and the documented rights, and each refusal's message",
            POSTGRES_REMEDY,
        )
        yield MissingServer(
            "each_postgres_url",
            "that PostgreSQL 15 does as well as 18",
            f"install it (Debian 12: apt-get install postgresql-15), or set {DATABASE_VARIABLE} to a server of yours",
            variant="debian-15",
        )


def deselect(items: list[pytest.Item], missing: Iterable[MissingServer]) -> dict[MissingServer, list[pytest.Item]]:
    """Take the tests that can't run out of the list; return them by what they lack."""
    left_out: dict[MissingServer, list[pytest.Item]] = {}
    for server in missing:
        lacking = [item for item in items if server.needed_by(item)]
        if lacking:
            left_out[server] = lacking
            items[:] = [item for item in items if item not in lacking]
    return left_out


def report(left_out: Mapping[MissingServer, int]) -> Iterator[str]:
    """Write the lines that close a run which left tests out."""
    for server, count in left_out.items():
        yield f"{count} tests were left out. Not shown: {server.promises}."
        yield f"  To run them: {server.remedy}."
