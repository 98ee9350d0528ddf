"""A real worker as probes and scrapers see it: while it works, while a server is away, and when it is to end."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.deployment import Deployment, WorkerProcess, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.proxy import TcpProxy
from tests.telemetry.scraping import get, probe, scrape
from tests.workload import STATES, Order, records
from worker.adapters.telemetry.metrics import METRICS, PROBE_FAILURES, RETRIES
from worker.core.codec import EncodedRecord

ORDERS = 20
EVENTS = ORDERS * len(STATES)
READY_SECONDS = 20.0
COUNTED_SECONDS = 60.0
MACHINE = {"machine": "arvo.orc.order", "version": "1.0.0"}


def port_of(worker: WorkerProcess) -> int:
    (line,) = worker.told("running")
    return int(line["http_port"])


def wait_until_ready(port: int) -> None:
    wait_until(lambda: get(port, "/readyz")[0] == 200, READY_SECONDS, "the worker is ready")


def failing(port: int) -> list[str]:
    return list(probe(port, "/readyz")[1]["failing"])


def test_a_worker_tells_what_it_did(deployment: Deployment) -> None:
    worker = deployment.start_worker()
    port = port_of(worker)
    assert probe(port, "/livez")[0] == 200
    deployment.produce([*records(ORDERS), EncodedRecord(b"nobody", b"no event", ())])
    deployment.wait_until_applied()
    wait_until_ready(port)
    wait_until(lambda: scrape(port).value("orchestrator_partition_lag") == 0, READY_SECONDS, "there is no lag")
    wait_until(
        lambda: scrape(port).value("orchestrator_partitions", state="settled") == deployment.partitions,
        READY_SECONDS,
        "all is published",
    )
    found = scrape(port)
    outcomes = {"advanced": EVENTS, "dead_lettered": 1}
    assert {
        name: count for name, count in found.by("orchestrator_events_total", "outcome").items() if count
    } == outcomes
    assert dict(deployment.rows("SELECT outcome, count(*) FROM journal GROUP BY outcome")) == outcomes
    assert found.value("orchestrator_dead_letters_total") == 1
    assert found.value("orchestrator_dead_letters_total", reason="INVALID_EVENT") == 1
    assert found.value("orchestrator_state_entries_total", state="(ended)", **MACHINE) == ORDERS
    assert found.value("orchestrator_event_age_seconds_count")
    assert (found.value("process_memory_usage_bytes") or 0) > 10_000_000
    assert found.value("db_client_connection_count", db_client_connection_state="idle") == 1
    assert set(found.by("orchestrator_ready", "part").values()) == {1.0}
    wait_until(lambda: bool(scrape(port).series("orchestrator_instances")), COUNTED_SECONDS, "instances are counted")
    found = scrape(port)
    assert {one.prometheus_name for one in METRICS} - found.families <= {
        RETRIES.prometheus_name,
        PROBE_FAILURES.prometheus_name,
        # Nobody waits any more.
        "orchestrator_state_instances",
        "orchestrator_state_wait_seconds",
    }
    deployment.finish()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_instances_are_counted_from_sql(deployment: Deployment) -> None:
    deployment.start_worker()
    deployment.produce(Order(number).record(step) for step in (0, 1) for number in range(3))
    deployment.produce(Order(3).record(step) for step in range(len(STATES)))
    deployment.finish()
    port = port_of(deployment.start_worker())
    wait_until(lambda: bool(scrape(port).series("orchestrator_instances")), COUNTED_SECONDS, "instances are counted")
    found = scrape(port)
    assert found.by("orchestrator_instances", "status") == {"active": 3, "done": 1}
    assert found.by("orchestrator_state_instances", "state")["approving"] == 3
    assert (found.value("orchestrator_state_wait_seconds", state="approving", **MACHINE) or 0) > 0
    assert found.value("orchestrator_instances_sampled") == 1


@contextmanager
def proxied(deployment: Deployment) -> Iterator[TcpProxy]:
    """Have the deployment's workers reach PostgreSQL through a proxy."""
    port = urlsplit(deployment.database_url).port
    assert port is not None
    with TcpProxy(port) as proxy:
        url = deployment.database_url.replace(f":{port}/", f":{proxy.port}/")
        deployment.settings = {**deployment.settings, "WORKER_DATABASE_URL": url}
        yield proxy


@pytest.mark.slow
def test_a_worker_without_its_database_lives_and_is_not_ready(deployment: Deployment) -> None:
    with proxied(deployment) as proxy:
        worker = deployment.start_worker()
        port = port_of(worker)
        wait_until_ready(port)
        proxy.cut()
        deployment.produce(records(1))
        wait_until(lambda: "database" in failing(port), READY_SECONDS, "the database is told to be away")
        status, document = probe(port, "/readyz")
        assert status == 503
        assert document["parts"]["database"]["detail"].startswith("DatabaseUnavailable for ")
        assert probe(port, "/livez")[0] == 200
        proxy.restore()
        wait_until_ready(port)
        assert scrape(port).value("orchestrator_retries_total", error_type="DatabaseUnavailable")
        deployment.finish()


@pytest.mark.slow
def test_a_worker_without_brokers_lives_and_is_not_ready(
    kafka_server: KafkaServer, kafka_proxy: TcpProxy, migrated_database_url: str, tmp_path: Path
) -> None:
    through = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": kafka_server.proxied_cluster.bootstrap_servers}
    with Deployment(kafka_server.cluster, migrated_database_url, tmp_path, through) as deployment:
        port = port_of(deployment.start_worker())
        wait_until_ready(port)
        kafka_proxy.cut()
        wait_until(lambda: "kafka" in failing(port), 2 * READY_SECONDS, "the brokers are told to be away")
        assert probe(port, "/livez")[0] == 200
        kafka_proxy.restore()
        wait_until_ready(port)


@pytest.mark.slow
def test_on_sigterm_a_worker_is_not_ready_at_once_and_finishes_its_batch(deployment: Deployment) -> None:
    with proxied(deployment) as proxy:
        worker = deployment.start_worker()
        port = port_of(worker)
        wait_until_ready(port)
        proxy.stall()
        deployment.produce(records(ORDERS))
        commits = "db_client_operation_duration_seconds_count"
        wait_until(
            lambda: (scrape(port).value("messaging_client_consumed_messages_total") or 0) > 0,
            READY_SECONDS,
            "the worker has a batch in hand",
        )
        before = scrape(port).value(commits, db_operation_name="commit")
        os.kill(worker._server.pid, signal.SIGTERM)
        wait_until(lambda: failing(port) == ["running"], 1, "the worker is not ready")
        assert probe(port, "/livez")[0] == 200, "it is left to finish"
        assert worker.running
        assert scrape(port).value(commits, db_operation_name="commit") == before
        proxy.restore()
        assert worker._await_end() == 0
        assert deployment.journal_size() > 0, "the batch in hand was finished"
        assert all(position.owner is None for position in deployment.positions()), "all is given back"


def test_a_worker_that_has_no_partition_says_so(deployment: Deployment) -> None:
    ports = [port_of(deployment.start_worker()) for _ in range(deployment.partitions + 1)]
    wait_until(
        lambda: sum(get(port, "/readyz")[0] == 200 for port in ports) == deployment.partitions,
        2 * READY_SECONDS,
        "every worker but one is ready",
    )
    (idle,) = [port for port in ports if get(port, "/readyz")[0] == 503]
    assert probe(idle, "/readyz")[1]["parts"]["partitions"] == {"ok": False, "detail": "none assigned"}
    assert probe(idle, "/livez")[0] == 200


def test_a_port_that_is_taken_is_told_at_the_start(deployment: Deployment) -> None:
    port = port_of(deployment.start_worker())
    deployment.settings = {"WORKER_HTTP_PORT": str(port)}
    name = "worker-2"
    second = WorkerProcess(name, deployment.folder / name, deployment.environment())
    deployment.workers.append(second)
    with pytest.raises(Exception, match="ended"):
        second.start()
    assert f"WORKER_HTTP_PORT={port}: can't listen on 127.0.0.1" in second.log_text()
    assert "Traceback" not in second.log_text()
