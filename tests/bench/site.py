"""The servers that the bench runs on, and a deployment of its own on them for each run."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cpu import cpu_seconds
from tests.bench.measures import Cpu
from tests.servers.kafka import KafkaServer, fetch_jars
from tests.servers.postgres import Databases, database_name
from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.postgres.migrate import migrate
from worker.bootstrap import Deployment, deploy
from worker.settings import load_settings

PARTITIONS = 10
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Site:
    """Running servers: an Apache Kafka and a durable PostgreSQL, both on loopback."""

    kafka: KafkaServer
    postgres: EmbeddedPostgres
    databases: Databases
    template: str
    batch_records_max: int

    @property
    def bootstrap_servers(self) -> str:
        return self.kafka.cluster.bootstrap_servers

    @property
    def client(self) -> KafkaConfig:
        return KafkaConfig(self.bootstrap_servers)

    def make_topic(self, name: str) -> str:
        self.kafka.cluster.create_topics([name], PARTITIONS)
        return name

    def environment(self, prefix: str) -> dict[str, str]:
        """Give the settings of a worker with topics under this prefix and an empty database."""
        return {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "WORKER_DATABASE_URL": self.databases.make(self.template),
            "WORKER_TOPIC_PREFIX": prefix,
            "WORKER_GROUP_ID": prefix,
            "WORKER_MACHINES": "machines.order",
            "WORKER_CREATE_TOPICS": "true",
            "WORKER_TOPIC_PARTITIONS": str(PARTITIONS),
            "WORKER_BATCH_RECORDS_MAX": str(self.batch_records_max),
        }

    def cpu(self, client: int) -> Cpu:
        """Say what was spent so far; the client is a process's id."""
        kafka, postgres = self.kafka._server, self.postgres._server
        assert postgres is not None
        return Cpu(cpu_seconds(client), cpu_seconds(postgres.pid), cpu_seconds(kafka.pid))


def deployment(environment: dict[str, str]) -> Deployment:
    """Load what a worker with this environment would."""
    return deploy(load_settings(environment, ROOT / "tests").settings, ROOT)


@contextmanager
def running_site(batch_records_max: int) -> Iterator[Site]:
    """Start the servers, and stop them and remove their data in the end."""
    fetch_jars()
    with tempfile.TemporaryDirectory(prefix="orchestrator-worker-bench-") as folder, EmbeddedPostgres() as postgres:
        kafka = KafkaServer(Path(folder))
        kafka.start()
        try:
            databases = Databases(postgres.url)
            template = databases.make()
            migrate(template)
            yield Site(kafka, postgres, databases, database_name(template), batch_records_max)
        finally:
            kafka.stop()
