"""The servers that the bench runs on, and a place of its own on them for each run."""

import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

from tests.bench.children import ROOT
from tests.bench.cpu import cpu_seconds
from tests.bench.measures import Cpu
from tests.servers.kafka import KafkaServer, fetch_jars, kafka_version
from tests.servers.postgres import Databases, database_name
from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.postgres.migrate import migrate
from worker.bootstrap import Deployment, deploy
from worker.settings import load_settings

PARTITIONS = 10

REBALANCE_DELAY_MILLIS = 2_000
"""How long the broker waits for further members of a new group, so that two processes share the work at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """Topics and a database for one run, whoever runs there."""

    bootstrap_servers: str
    environment: Mapping[str, str]
    plan: Deployment
    folder: Path

    @property
    def name(self) -> str:
        return self.environment["WORKER_TOPIC_PREFIX"]

    @property
    def input(self) -> str:
        return self.plan.topics.input

    @property
    def outputs(self) -> list[str]:
        others = (self.input, self.plan.topics.dead_letters)
        return [name for name in self.plan.topic_names() if name not in others]

    @property
    def database_url(self) -> str:
        return self.environment["WORKER_DATABASE_URL"]


@dataclass(frozen=True, slots=True)
class Site:
    """Running servers: an Apache Kafka and a durable PostgreSQL, both on loopback."""

    kafka: KafkaServer
    postgres: EmbeddedPostgres
    template: str
    folder: Path
    batch_records_max: int
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def bootstrap_servers(self) -> str:
        return self.kafka.cluster.bootstrap_servers

    @contextmanager
    def place(self, settings: Mapping[str, str] | None = None) -> Iterator[Place]:
        """Make topics and an empty database, and remove them in the end."""
        databases = Databases(self.postgres.url)
        prefix = f"bench-{next(self._numbers)}"
        environment = self._environment(prefix, databases.make(self.template)) | dict(settings or {})
        plan = deployment(environment)
        self.kafka.cluster.create_topics(plan.topic_names(), PARTITIONS)
        try:
            yield Place(self.bootstrap_servers, environment, plan, self.folder)
        finally:
            # Kafka Streams has made topics of its own, with names that begin alike.
            there = self.kafka.cluster.admin().list_topics(timeout=10).topics
            self.kafka.cluster.delete_topics([name for name in there if name.startswith((f"{prefix}.", f"{prefix}-"))])
            databases.drop_all()

    def cpu(self, *clients: int) -> Cpu:
        """Say what was spent so far; the clients are processes' ids."""
        kafka, postgres = self.kafka._server, self.postgres._server
        assert postgres is not None
        return Cpu(cpu_seconds(*clients), cpu_seconds(postgres.pid), cpu_seconds(kafka.pid))

    def machine(self) -> dict[str, str]:
        """Say what the figures were measured on; the load is the bench's and that of others."""
        with psycopg.connect(self.postgres.url) as connection:
            server = connection.info.server_version // 10_000
        return {
            "cores": str(os.cpu_count()),
            "architecture": platform.machine(),
            "Python": platform.python_version(),
            "PostgreSQL": str(server),
            "Apache Kafka": kafka_version(),
            "records in a batch, at most": str(self.batch_records_max),
            "load average": f"{os.getloadavg()[0]:.1f}",
        }

    def _environment(self, prefix: str, database_url: str) -> dict[str, str]:
        return {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "WORKER_DATABASE_URL": database_url,
            "WORKER_TOPIC_PREFIX": prefix,
            "WORKER_GROUP_ID": prefix,
            "WORKER_MACHINES": "machines.order",
            "WORKER_CREATE_TOPICS": "true",
            "WORKER_TOPIC_PARTITIONS": str(PARTITIONS),
            "WORKER_BATCH_RECORDS_MAX": str(self.batch_records_max),
        }


def deployment(environment: Mapping[str, str]) -> Deployment:
    """Load what a worker with this environment would."""
    return deploy(load_settings(environment, ROOT / "tests").settings, ROOT)


@contextmanager
def running_site(batch_records_max: int) -> Iterator[Site]:
    """Start the servers, and stop them and remove their data in the end."""
    fetch_jars()
    with tempfile.TemporaryDirectory(prefix="orchestrator-worker-bench-") as folder, EmbeddedPostgres() as postgres:
        delay = {"group.initial.rebalance.delay.ms": str(REBALANCE_DELAY_MILLIS)}
        kafka = KafkaServer(Path(folder) / "kafka", properties=delay)
        kafka.folder.mkdir()
        kafka.start()
        try:
            template = Databases(postgres.url).make()
            migrate(template)
            yield Site(kafka, postgres, database_name(template), Path(folder), batch_records_max)
        finally:
            kafka.stop()
