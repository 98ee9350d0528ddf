"""`worker doctor` on Apache Kafka and PostgreSQL."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.acceptance.commands import run_here
from tests.acceptance.deployment import Deployment, wait_until
from tests.servers.kafka import ADMIN_TIMEOUT_SECONDS, KafkaCluster
from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.diagnosis import KafkaDiagnosis
from worker.adapters.postgres.diagnosis import diagnose
from worker.adapters.postgres.migrate import migrate
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.codec import EncodedRecord


@pytest.fixture
def deployment(kafka_cluster: KafkaCluster, migrated_database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(kafka_cluster, migrated_database_url, tmp_path) as made:
        yield made


def examined(deployment: Deployment, **settings: str) -> tuple[int, dict[str, Any]]:
    """Give the exit status, and what was found by check: the worst of each."""
    done = run_here("doctor", "--json", given={**deployment.environment(), **settings})
    document = json.loads(done.stdout)
    levels = ["ok", "note", "warning", "error"]
    found: dict[str, Any] = {}
    for one in sorted(document["findings"], key=lambda one: levels.index(one["level"])):
        found[one["check"]] = one
    assert document["worst"] == max((one["level"] for one in found.values()), key=levels.index)
    return done.returncode, found


@pytest.fixture
def durable_database_url() -> Iterator[str]:
    """Give a migrated database of a server that keeps what it has committed, as the others' of the tests do not."""
    with EmbeddedPostgres() as postgres:
        migrate(postgres.url)
        yield postgres.url


def test_a_deployment_on_one_broker_has_notes_alone(deployment: Deployment, durable_database_url: str) -> None:
    deployment.database_url = durable_database_url
    deployment.produce([EncodedRecord(b"k", b"no event", ())])
    status, found = examined(deployment)
    assert status == 0, found
    assert found["schema"]["level"] == "ok"
    assert found["brokers' version"]["found"].startswith("they speak as Kafka 4.")
    assert found["brokers' settings"]["level"] == "ok"
    assert "one replica" in found[f"topic {deployment.topics.input}"]["found"]
    assert "no worker runs" in found[f"group {deployment.prefix}"]["found"]
    assert "not ahead" in found["clock of producers"]["found"]
    assert found["clock of the database"]["level"] == "ok"
    assert found["partitions"]["found"] == "4, none refused; 1 record still to be run"
    table = run_here("doctor", given=deployment.environment())
    assert table.stdout.splitlines()[0].split() == ["ok", "machines", "1", "machine"]
    assert "→ run three brokers" in table.stdout
    assert table.stderr.startswith("0 errors, 0 warnings, ")


def test_what_keeps_workers_from_starting_is_an_error(deployment: Deployment, database_url: str) -> None:
    status, found = examined(
        deployment, WORKER_DATABASE_URL=database_url, WORKER_TOPIC_PREFIX="elsewhere", WORKER_BATCH_RECORDS_MAX="10000"
    )
    assert status == 2
    assert "run `worker migrate`" in found["database"]["found"]
    assert found["topic elsewhere.input"]["level"] == "error"
    status, found = examined(deployment, WORKER_BATCH_RECORDS_MAX="10000")
    assert (status, found["lock table"]["level"]) == (2, "error")
    status, found = examined(deployment, WORKER_MACHINES="nothing")
    assert (status, found["machines"]["level"]) == (2, "error")
    status, found = examined(deployment, WORKER_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert (status, found["Kafka"]["level"], found["schema"]["level"]) == (2, "error", "ok")
    assert "fsync is off" in found["database"]["found"], "the tests' server is one that forgets"


def test_a_topic_that_is_compacted_is_told(deployment: Deployment) -> None:
    admin: AdminClient = deployment.cluster.admin()
    entry = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, deployment.topics.input, incremental_configs=[entry])
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(ADMIN_TIMEOUT_SECONDS)
    diagnosis, name = KafkaDiagnosis(KafkaConfig(deployment.cluster.bootstrap_servers)), deployment.topics.input
    wait_until(
        lambda: diagnosis.topics([name])[name].settings["cleanup.policy"] == "compact",
        ADMIN_TIMEOUT_SECONDS,
        "the setting is told",
    )
    status, found = examined(deployment)
    assert status == 2
    assert "compacted" in found[f"topic {deployment.topics.input}"]["found"]


def test_what_the_rows_tell_is_told(deployment: Deployment) -> None:
    with psycopg.connect(deployment.database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO binding (cluster_id, group_id, input_topic) VALUES ('c', 'g', 't')")
        connection.execute(
            "INSERT INTO positions (partition, topic_id, next_offset, published_offset, deaths)"
            " VALUES (0, 'another', 5, 5, 1)"
        )
        for version, state in (("1.0.0", "active"), ("0.9.0", "active"), ("0.8.0", "done")):
            connection.execute(
                "INSERT INTO instances (subject_digest, subject, source, version, status, states, snapshot,"
                " init_event_id, revision, now_ms) VALUES (sha256(convert_to(%(version)s, 'UTF8')), %(version)s,"
                " 'arvo.orc.order', %(version)s, %(status)s, '{}', '{}', 'i', 1, 0)",
                {"version": version, "status": state},
            )
    status, found = examined(deployment)
    assert status == 2
    assert "worker adopt" in found["binding"]["remedy"]
    assert "TOPIC_REPLACED" in found["partition 0"]["found"]
    assert found["machines"]["found"].startswith("instances of arvo.orc.order 0.9.0 run")
    assert diagnose(DatabaseConfig(deployment.database_url)).active_versions == [
        ("arvo.orc.order", "0.9.0"),
        ("arvo.orc.order", "1.0.0"),
    ]


def test_a_user_without_rights_is_told(deployment: Deployment) -> None:
    with psycopg.connect(deployment.database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE ROLE narrow LOGIN PASSWORD 'narrow'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO narrow"
        )
        try:
            facts = diagnose(DatabaseConfig(as_user(deployment.database_url, "narrow:narrow")))
        finally:
            connection.execute("DROP OWNED BY narrow; DROP ROLE narrow")
    lacking = dict(facts.lacking)
    assert lacking["INSERT on positions"] == 'GRANT INSERT ON positions TO "narrow"'
    assert lacking["the ownership of journal"] == 'ALTER TABLE journal OWNER TO "narrow"'
    assert not any(right.startswith("SELECT") for right in lacking)
    assert (facts.is_pooled, facts.has_name) == (False, True)


def test_producers_that_are_ahead_are_seen(deployment: Deployment) -> None:
    ahead = time.time_ns() // 1_000_000 + 600_000
    diagnosis = KafkaDiagnosis(KafkaConfig(deployment.cluster.bootstrap_servers))
    assert diagnosis.newest(deployment.topics.input, 4) is None
    put(deployment, ahead)
    assert diagnosis.newest(deployment.topics.input, 4) == ahead


def test_a_broker_that_does_not_tell_a_group_s_members_is_not_taken_at_its_word(embedded_broker: KafkaCluster) -> None:
    topic = embedded_broker.make_topic("watched", partitions=1)
    member = Consumer(
        {"bootstrap.servers": embedded_broker.bootstrap_servers, "group.id": topic, "session.timeout.ms": 6000}
    )
    try:
        member.subscribe([topic])

        def has_partitions() -> bool:
            member.poll(0.2)
            return bool(member.assignment())

        wait_until(has_partitions, 60.0, "the member has its partition")
        facts = KafkaDiagnosis(KafkaConfig(embedded_broker.bootstrap_servers)).group(topic)
    finally:
        member.close()
    assert facts.members is None


def put(deployment: Deployment, timestamp: int) -> None:
    producer = Producer({"bootstrap.servers": deployment.cluster.bootstrap_servers})
    producer.produce(deployment.topics.input, b"x", partition=1, timestamp=timestamp)
    producer.flush(30)


def as_user(url: str, user: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}@{rest.partition('@')[2]}"
