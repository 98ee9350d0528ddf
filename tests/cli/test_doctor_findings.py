"""What the doctor makes of what it is told: fine, and each way in which it is not."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.diagnosis import ClusterFacts, GroupFacts, TopicFacts
from worker.adapters.postgres.diagnosis import DatabaseFacts
from worker.cli.doctor_findings import (
    Finding,
    Level,
    of_cluster,
    of_database,
    of_group,
    of_hidden_rights,
    of_newest,
    of_topics,
    of_versions,
)
from worker.settings import Settings

NOW = 1_790_000_000_000
SETTINGS = Settings(kafka_bootstrap_servers="x", database_url=SecretStr("postgresql://x"), batch_records_max=500)
KAFKA_4 = {0: 12, 1: 17, 26: 5, 28: 5, 60: 2, 65: 0, 68: 1, 71: 0}
CONFIG = KafkaConfig("x")
BROKERS = {
    "group.max.session.timeout.ms": "1800000",
    "group.min.session.timeout.ms": "6000",
    "offsets.topic.replication.factor": "3",
    "transaction.max.timeout.ms": "900000",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.replication.factor": "3",
}
CLUSTER = ClusterFacts("c", 3, None, BROKERS)
SAFE = {"cleanup.policy": "delete", "min.insync.replicas": "2", "max.message.bytes": "1000"}
INPUT = TopicFacts("in", 4, 3, 0, 0, SAFE, None)
DEAD = replace(INPUT, name="dlq", settings=SAFE | {"max.message.bytes": "20000"})
DATABASE = DatabaseFacts(
    version="18.1",
    lock_table_size=10_000,
    is_pooled=False,
    has_name=True,
    settings={"fsync": "on", "synchronous_standby_names": "one"},
    lacking=[],
    longest_seconds=1.0,
    clock_ahead_ms=-3.0,
    clock_doubt_ms=2.0,
    active_versions=[],
)


def worst(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda one: one.level)


def is_told(finding: Finding, level: Level, text: str) -> bool:
    return finding.level is level and text in finding.text and (level < Level.WARNING or bool(finding.remedy))


def test_nothing_is_wrong_with_what_is_right() -> None:
    findings = [
        *of_versions(KAFKA_4, SETTINGS),
        *of_cluster(CLUSTER, CONFIG),
        *of_topics(["in", "dlq"], {"in": INPUT, "dlq": DEAD}, SETTINGS, 3),
        *of_group("g", GroupFacts(3, is_stable=True, operations=None), 4),
        *of_hidden_rights(CLUSTER, SETTINGS),
        *of_newest("in", NOW - 5_000, NOW),
        *of_database(DATABASE, SETTINGS),
    ]
    assert {finding.level for finding in findings} == {Level.OK}


@pytest.mark.parametrize(
    ("versions", "settings", "level", "text"),
    [
        ({}, {}, Level.NOTE, "did not say"),
        ({28: 2}, {}, Level.ERROR, "KIP-447"),
        ({28: 2}, {"delivery": "at_least_once"}, Level.OK, "older than Kafka 2.5"),
        (KAFKA_4 | {68: 0}, {"group_protocol": "consumer"}, Level.ERROR, "KIP-848"),
        (KAFKA_4, {"group_protocol": "consumer"}, Level.OK, "Kafka 4.0 or later"),
    ],
)
def test_what_brokers_speak(versions: dict[int, int], settings: dict[str, Any], level: Level, text: str) -> None:
    assert is_told(worst(of_versions(versions, SETTINGS.model_copy(update=settings))), level, text)


@pytest.mark.parametrize(
    ("brokers", "settings", "properties", "level", "text"),
    [
        (3, {}, {"transaction.timeout.ms": "1000000"}, Level.ERROR, "transactions may take 900000 ms"),
        (3, {}, {"session.timeout.ms": "5000"}, Level.ERROR, "from 6000 to 1800000 ms"),
        (3, {"transaction.state.log.min.isr": "1"}, {}, Level.WARNING, "transaction.state.log.min.isr is 1"),
        (1, {"transaction.state.log.min.isr": "1"}, {}, Level.OK, "fit"),
    ],
)
def test_brokers_settings(
    brokers: int, settings: dict[str, str], properties: dict[str, str], level: Level, text: str
) -> None:
    cluster = replace(CLUSTER, brokers=brokers, settings=BROKERS | settings)
    assert is_told(worst(of_cluster(cluster, replace(CONFIG, properties=properties))), level, text)


def test_settings_that_brokers_do_not_tell() -> None:
    assert is_told(worst(of_cluster(replace(CLUSTER, settings={}), CONFIG)), Level.NOTE, "don't tell")


@pytest.mark.parametrize(
    ("changed", "brokers", "level", "text"),
    [
        ({"settings": SAFE | {"cleanup.policy": "compact,delete"}}, 3, Level.ERROR, "compacted"),
        ({"leaderless": 1}, 3, Level.ERROR, "no leader"),
        ({"replicas": 2}, 3, Level.WARNING, "fewer replicas"),
        ({"replicas": 1}, 1, Level.NOTE, "one replica"),
        ({"settings": SAFE | {"min.insync.replicas": "1"}}, 3, Level.WARNING, "min.insync.replicas is 1"),
        ({"settings": SAFE | {"unclean.leader.election.enable": "true"}}, 3, Level.WARNING, "unclean"),
        ({"lagging": 1}, 3, Level.WARNING, "not in sync"),
        ({"operations": frozenset(("WRITE",))}, 3, Level.ERROR, "may not read"),
        ({"operations": frozenset(("READ",))}, 3, Level.OK, "4 partitions, 3 replicas"),
    ],
)
def test_topics(changed: dict[str, Any], brokers: int, level: Level, text: str) -> None:
    facts = {"in": replace(INPUT, **changed), "dlq": DEAD}
    assert is_told(worst(of_topics(["in", "dlq"], facts, SETTINGS, brokers)), level, text)


def test_topics_that_are_missing_or_too_small() -> None:
    missing = worst(of_topics(["in", "dlq"], {"in": INPUT}, SETTINGS, 3))
    assert is_told(missing, Level.ERROR, "not there")
    creating = SETTINGS.model_copy(update={"create_topics": True})
    assert is_told(worst(of_topics(["in", "dlq"], {"in": INPUT}, creating, 3)), Level.NOTE, "makes it")
    small = {"in": INPUT, "dlq": replace(DEAD, settings=SAFE)}
    assert is_told(worst(of_topics(["in", "dlq"], small, SETTINGS, 3)), Level.NOTE, "stay in the journal")
    unwritable = {"in": INPUT, "dlq": replace(DEAD, operations=frozenset(("READ",)))}
    assert is_told(worst(of_topics(["in", "dlq"], unwritable, SETTINGS, 3)), Level.ERROR, "may not write")


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        (GroupFacts(0, is_stable=True, operations=None), Level.NOTE, "no worker runs"),
        (GroupFacts(None, is_stable=True, operations=None), Level.NOTE, "don't tell who"),
        (GroupFacts(1, is_stable=True, operations=None), Level.OK, "1 member shares 4 partitions"),
        (GroupFacts(6, is_stable=True, operations=None), Level.WARNING, "2 have nothing to do"),
        (GroupFacts(4, is_stable=False, operations=None), Level.NOTE, "shared out just now"),
        (GroupFacts(4, is_stable=True, operations=frozenset(("DESCRIBE",))), Level.ERROR, "may not read"),
    ],
)
def test_the_group(facts: GroupFacts, level: Level, text: str) -> None:
    assert is_told(worst(of_group("g", facts, 4)), level, text)


def test_rights_that_can_not_be_seen_are_named_where_there_are_rights() -> None:
    some = replace(CLUSTER, operations=frozenset(("DESCRIBE",)))
    assert is_told(worst(of_hidden_rights(some, SETTINGS)), Level.NOTE, "transactional id")
    assert list(of_hidden_rights(replace(CLUSTER, operations=frozenset(("ALTER",))), SETTINGS)) == []


def test_the_clock_of_producers() -> None:
    assert is_told(worst(of_newest("in", NOW + 90_000, NOW)), Level.WARNING, "1m 30s ahead")
    assert is_told(worst(of_newest("in", None, NOW)), Level.NOTE, "no record")


@pytest.mark.parametrize(
    ("changed", "level", "text"),
    [
        ({"settings": {"fsync": "off"}}, Level.ERROR, "fsync is off"),
        ({"settings": {"in_hot_standby": "on"}}, Level.ERROR, "standby"),
        ({"settings": {"default_transaction_read_only": "on"}}, Level.ERROR, "read-only"),
        ({"settings": {"full_page_writes": "off"}}, Level.WARNING, "full_page_writes"),
        ({"settings": {"autovacuum": "off"}}, Level.WARNING, "autovacuum"),
        ({"settings": {"synchronous_standby_names": ""}}, Level.NOTE, "no standby"),
        ({"longest_seconds": 4_000.0}, Level.WARNING, "more than an hour"),
        ({"is_pooled": True}, Level.NOTE, "something stands between"),
        ({"is_pooled": True, "has_name": False}, Level.ERROR, "does not arrive"),
        ({"lock_table_size": 999}, Level.ERROR, "batches of 500 want 1000"),
        ({"lacking": [("UPDATE on positions", "GRANT …")]}, Level.ERROR, "lacks UPDATE on positions"),
        ({"clock_ahead_ms": 1_500.0}, Level.WARNING, "1500 ms ahead"),
        ({"clock_ahead_ms": -1_500.0}, Level.WARNING, "1500 ms behind"),
        ({"clock_ahead_ms": 1_500.0, "clock_doubt_ms": 600.0}, Level.OK, "18.1"),
    ],
)
def test_the_database(changed: dict[str, Any], level: Level, text: str) -> None:
    assert is_told(worst(of_database(replace(DATABASE, **changed), SETTINGS)), level, text)
