"""Servers that crash, restart or cut connections while orders flow: nothing is lost or doubled."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.checks import assert_orders_done
from tests.acceptance.deployment import Deployment
from tests.servers.kafka import KafkaCluster, KafkaServer
from tests.servers.restartable import RestartablePostgres
from tests.workload import STATES, records
from worker.adapters.postgres.migrate import migrate

ORDERS = 400
EVENTS = ORDERS * len(STATES)
OUTAGE_SECONDS = 1.5
CUTS = 10
SMALL_BATCHES = {"WORKER_BATCH_RECORDS_MAX": "20"}


@pytest.fixture
def postgres() -> Iterator[RestartablePostgres]:
    """Start a PostgreSQL for this test alone."""
    with RestartablePostgres() as server:
        migrate(server.url)
        yield server


@pytest.mark.slow
def test_a_crash_of_postgresql_loses_and_doubles_nothing(
    kafka_cluster: KafkaCluster, postgres: RestartablePostgres, tmp_path: Path
) -> None:
    with Deployment(kafka_cluster, postgres.url, tmp_path, SMALL_BATCHES) as deployment:
        worker = deployment.start_worker()
        deployment.produce(records(ORDERS))
        for outage in (1, 2):
            deployment.wait_until_journalled(EVENTS * outage // 4)
            postgres.crash()
            time.sleep(OUTAGE_SECONDS)
            postgres.start()
        deployment.finish()
        assert worker.told("unsettled") != []
        assert_orders_done(deployment, range(ORDERS))


@pytest.mark.slow
def test_cut_connections_to_postgresql_lose_and_double_nothing(deployment: Deployment) -> None:
    deployment.settings = SMALL_BATCHES
    worker = deployment.start_worker()
    deployment.produce(records(ORDERS))
    for cut in range(CUTS):
        deployment.wait_until_journalled(EVENTS * (cut + 1) // (CUTS + 3))
        deployment.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    deployment.finish()
    assert len(worker.told("unsettled")) + len(worker.told("taking_failed")) >= CUTS // 3
    assert_orders_done(deployment, range(ORDERS))


@pytest.mark.slow
def test_a_crash_of_the_broker_loses_and_doubles_nothing(
    kafka_server: KafkaServer, migrated_database_url: str, tmp_path: Path
) -> None:
    with Deployment(kafka_server.cluster, migrated_database_url, tmp_path, SMALL_BATCHES) as deployment:
        deployment.start_worker()
        deployment.produce(records(ORDERS))
        deployment.wait_until_journalled(EVENTS // 4)
        kafka_server.kill()
        time.sleep(OUTAGE_SECONDS)
        kafka_server.start()
        deployment.finish()
        assert_orders_done(deployment, range(ORDERS))
