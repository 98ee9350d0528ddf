"""Servers that crash, restart or cut connections while orders flow: nothing is lost or doubled."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.checks import assert_orders_done
from tests.acceptance.deployment import Deployment, wait_until
from tests.servers.kafka import KafkaBrokers, KafkaCluster
from tests.servers.proxy import TcpProxy
from tests.servers.restartable import RestartablePostgres
from tests.workload import STATES, Order, records
from worker.adapters.postgres.migrate import migrate
from worker.bootstrap import STOP_SECONDS
from worker.core.codec import decode_record

ORDERS = 400
EVENTS = ORDERS * len(STATES)
OUTAGE_SECONDS = 1.5
BACK_SECONDS = 2.0
CUTS = 10
SMALL_BATCHES = {"WORKER_BATCH_RECORDS_MAX": "20"}


@pytest.fixture
def postgres() -> Iterator[RestartablePostgres]:
    """Start a PostgreSQL for this test alone."""
    with RestartablePostgres() as server:
        migrate(server.url)
        yield server


@pytest.mark.alone
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
            returned_at, before = time.monotonic(), deployment.journal_size()
            deployment.wait_until_journalled(before + 1)
            elapsed = time.monotonic() - returned_at
            print(f"the first records were applied {elapsed:.1f} s after PostgreSQL was back")
            assert elapsed < BACK_SECONDS
        deployment.finish()
        assert 1 <= len(worker.told("unsettled")) <= 2, "an outage is told once"
        assert len(worker.told("taking_failed")) <= 4
        assert len(worker.told("recovered")) >= 2
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
def test_a_crash_of_a_broker_loses_and_doubles_nothing(
    kafka_jars: None, migrated_database_url: str, tmp_path: Path
) -> None:
    # Of three, as docs/exactly-once.md asks for: Apache Kafka as a cluster of one may forget markers when it is killed.
    brokers = KafkaBrokers(tmp_path)
    brokers.start()
    try:
        with Deployment(brokers.cluster, migrated_database_url, tmp_path, SMALL_BATCHES) as deployment:
            deployment.start_worker()
            deployment.produce(records(ORDERS))
            for number, server in enumerate(brokers.servers, start=1):
                deployment.wait_until_journalled(EVENTS * number // (len(brokers.servers) + 1))
                server.kill()
                time.sleep(OUTAGE_SECONDS)
                server.start()
                brokers.wait_until_in_sync()
            deployment.finish()
            assert_orders_done(deployment, range(ORDERS))
    finally:
        brokers.stop()


@pytest.mark.slow
def test_an_output_that_its_topic_takes_no_longer_goes_to_the_dead_letters(deployment: Deployment) -> None:
    deployment.start_worker()
    deployment.produce(records(1))
    wait_until(lambda: len(deployment.outputs()) == len(STATES), 30.0, "the first order is published")
    deployment.cluster.set_topic(deployment.topics.domain("external"), "max.message.bytes", "300")
    deployment.produce(Order(1).record(step) for step in range(len(STATES)))
    deployment.finish()
    (dead_letter,) = deployment.dead_letters()
    assert dict(dead_letter.headers() or ())["dlq-topic"] == deployment.topics.domain("external").encode()
    assert decode_record(dead_letter.value(), ()).type == "com.approval.request"
    assert len(deployment.outputs()) == 2 * len(STATES) - 1, "the others went out"


@pytest.mark.slow
def test_a_worker_ends_in_time_though_a_server_does_not_answer(
    kafka_cluster: KafkaCluster, migrated_database_url: str, tmp_path: Path
) -> None:
    port = urlsplit(migrated_database_url).port
    assert port is not None
    with TcpProxy(port) as proxy:
        proxied = {"WORKER_DATABASE_URL": migrated_database_url.replace(f":{port}/", f":{proxy.port}/")}
        with Deployment(kafka_cluster, migrated_database_url, tmp_path, proxied) as deployment:
            worker = deployment.start_worker()
            deployment.produce(Order(0).record(step) for step in range(len(STATES)))
            deployment.wait_until_applied()
            proxy.stall()
            deployment.produce(Order(1).record(step) for step in range(len(STATES)))
            time.sleep(1)  # So that the worker waits for the answer.
            asked_at = time.monotonic()
            os.kill(worker._server.pid, signal.SIGTERM)
            wait_until(lambda: not worker.running, STOP_SECONDS + 5, "the worker ended")
            assert time.monotonic() - asked_at > STOP_SECONDS - 1, "it was given its time"
            assert worker.told("stop_timed_out") != []
            proxy.restore()
            deployment.start_worker()
            deployment.finish()
            assert_orders_done(deployment, range(2))
