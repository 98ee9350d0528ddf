"""`worker partitions` and `worker adopt` on Apache Kafka and PostgreSQL: what they show, change, refuse."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.acceptance.commands import ROOT, TIMEOUT_SECONDS, environment, run_worker
from tests.acceptance.deployment import KAFKA_TIMEOUT_SECONDS, Deployment, wait_until
from tests.servers.kafka import ADMIN_TIMEOUT_SECONDS, KafkaCluster
from tests.servers.postgres import Databases
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.codec import EncodedRecord

OWNER = "worker-0123456789abcdef"
PARTITIONS = 2
RECORDS = 10


@pytest.fixture
def deployment(kafka_cluster: KafkaCluster, migrated_database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Set up topics with RECORDS records in each partition of the input topic, and a database that knows nothing."""
    with Deployment(kafka_cluster, migrated_database_url, tmp_path, partitions=PARTITIONS) as made:
        fill(made)
        yield made


def fill(deployment: Deployment) -> None:
    for partition in range(PARTITIONS):
        deployment.produce([EncodedRecord(b"k", b"no event", ())] * RECORDS, partition)


def topic_id(deployment: Deployment) -> str:
    return TopicAdmin(KafkaConfig(deployment.cluster.bootstrap_servers)).topic_id(deployment.topics.input)


def cluster_id(deployment: Deployment) -> str:
    return TopicAdmin(KafkaConfig(deployment.cluster.bootstrap_servers)).cluster_id()


def commit(deployment: Deployment, partition: int, offset: int) -> None:
    """Commit an offset for the group, from outside of it."""
    client = Consumer({"bootstrap.servers": deployment.cluster.bootstrap_servers, "group.id": deployment.prefix})
    client.commit(offsets=[TopicPartition(deployment.topics.input, partition, offset)], asynchronous=False)
    client.close()


def expire(deployment: Deployment, partition: int, offset: int) -> None:
    """Delete the records below an offset."""
    admin = deployment.cluster.admin()
    place = TopicPartition(deployment.topics.input, partition, offset)
    for deleted in admin.delete_records([place], request_timeout=ADMIN_TIMEOUT_SECONDS).values():
        deleted.result(ADMIN_TIMEOUT_SECONDS)


def make_anew(deployment: Deployment) -> None:
    """Delete the input topic and make another of its name, with its records."""
    names, before = [deployment.topics.input], topic_id(deployment)
    deployment.cluster.delete_topics(names)
    wait_until(lambda: bool(admin_of(deployment).missing(names)), ADMIN_TIMEOUT_SECONDS, "the topic is gone")
    deployment.cluster.create_topics(names, PARTITIONS)
    wait_until(lambda: topic_id(deployment) != before, ADMIN_TIMEOUT_SECONDS, "the topic is there")
    fill(deployment)


def admin_of(deployment: Deployment) -> TopicAdmin:
    return TopicAdmin(KafkaConfig(deployment.cluster.bootstrap_servers))


def put(deployment: Deployment, partition: int, applied: int, published: int, **more: object) -> None:
    """Write a position row."""
    row: dict[str, object] = {
        "partition": partition,
        "topic_id": topic_id(deployment),
        "next_offset": applied,
        "published_offset": published,
    } | more
    columns, places = ", ".join(row), ", ".join(f"%({column})s" for column in row)
    with psycopg.connect(deployment.database_url, autocommit=True) as connection:
        connection.execute(f"INSERT INTO positions ({columns}) VALUES ({places})".encode(), row)  # noqa: S608


def bind(deployment: Deployment, group_id: str | None = None) -> None:
    with psycopg.connect(deployment.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO binding (cluster_id, group_id, input_topic) VALUES (%s, %s, %s)",
            (cluster_id(deployment), group_id or deployment.prefix, deployment.topics.input),
        )


def rows(deployment: Deployment) -> list[tuple[Any, ...]]:
    return deployment.rows(
        "SELECT partition, next_offset, published_offset, owner, transactional_id, deaths, attempts, incarnation"
        " FROM positions ORDER BY partition"
    )


def worker(deployment: Deployment, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    done = run_worker(*arguments, given={**deployment.environment(), **settings})
    assert "Traceback" not in done.stderr, done.stderr
    return done


def listed(deployment: Deployment) -> list[dict[str, Any]]:
    done = worker(deployment, "partitions", "list", "--json")
    assert done.returncode == 0, done.stderr
    partitions: list[dict[str, Any]] = json.loads(done.stdout)["partitions"]
    return partitions


def begun(deployment: Deployment, *arguments: str) -> str:
    """Begin, and give what was said."""
    done = worker(deployment, "partitions", "begin", *arguments, "--yes")
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_refused(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    for text in texts:
        assert text in done.stderr


# The list


def test_what_a_worker_would_do_stands_in_the_list(deployment: Deployment) -> None:
    assert [one["would"] for one in listed(deployment)] == ["begin", "begin"]
    commit(deployment, 0, 3)
    put(deployment, 1, 5, 2)
    assert [one["would"] for one in listed(deployment)] == ["DATABASE_EMPTY", "publish"]
    commit(deployment, 1, 5)
    assert listed(deployment)[1]["would"] == "go-on"
    commit(deployment, 1, 7)
    assert listed(deployment)[1]["would"] == "run-again"
    expire(deployment, 1, 6)
    assert listed(deployment)[1]["would"] == "RECORDS_EXPIRED"
    make_anew(deployment)
    assert listed(deployment)[1]["would"] == "TOPIC_REPLACED"


def test_all_that_is_known_of_a_partition_is_listed(deployment: Deployment) -> None:
    put(deployment, 0, 5, 2, owner=OWNER, transactional_id="t", deaths=2, attempts=1)
    put(deployment, 7, 5, 5)
    commit(deployment, 0, 4)
    expire(deployment, 0, 1)
    first, _, gone = listed(deployment)
    assert first == {
        "partition": 0,
        "topic_id": topic_id(deployment),
        "next_offset": 5,
        "published_offset": 2,
        "committed": 4,
        "first": 1,
        "end": RECORDS,
        "owner": OWNER,
        "owner_is_alive": False,
        "deaths": 2,
        "attempts": 1,
        "would": "publish",
    }
    assert (gone["partition"], gone["first"], gone["would"]) == (7, None, "nothing"), "the topic has no such partition"
    table = worker(deployment, "partitions", "list")
    assert table.returncode == 0
    assert table.stdout.splitlines()[1].split() == [
        *("0", "same", "5", "2", "4", "1", "10", OWNER, "gone", "2", "1", "publish")
    ]
    assert table.stderr == f"0 members in the consumer group {deployment.prefix}\n"


def test_an_owner_that_is_connected_is_alive(deployment: Deployment) -> None:
    with psycopg.connect(deployment.database_url, application_name=OWNER):
        put(deployment, 0, 5, 5, owner=OWNER)
        assert listed(deployment)[0]["owner_is_alive"]


@pytest.mark.slow
def test_a_transaction_that_was_left_open_is_waited_for_by_what_changes_alone(deployment: Deployment) -> None:
    commit(deployment, 0, 3)
    servers = {"bootstrap.servers": deployment.cluster.bootstrap_servers}
    producer = Producer({**servers, "transactional.id": deployment.prefix})
    consumer = Consumer({**servers, "group.id": deployment.prefix})
    place = TopicPartition(deployment.topics.input, 0, 5)
    producer.init_transactions(KAFKA_TIMEOUT_SECONDS)
    producer.begin_transaction()
    producer.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), KAFKA_TIMEOUT_SECONDS)
    assert listed(deployment)[0]["committed"] == 3
    done = worker(deployment, "partitions", "begin", "--all", "--at", "first", "--yes")
    assert done.returncode == 1
    assert "a transaction that a worker left open holds them up" in done.stderr
    producer.commit_transaction(KAFKA_TIMEOUT_SECONDS)
    begun(deployment, "--partition", "0", "--at", "committed")
    assert [row[:3] for row in rows(deployment)] == [(0, 5, 5)]
    consumer.close()


def test_a_database_of_another_group_is_told(deployment: Deployment) -> None:
    bind(deployment, "another-group")
    done = worker(deployment, "partitions", "list")
    assert done.returncode == 0
    assert "another-group" in done.stderr
    assert "worker adopt --help" in done.stderr


def test_a_missing_topic_is_told(deployment: Deployment) -> None:
    done = worker(deployment, "partitions", "list", WORKER_TOPIC_PREFIX="elsewhere")
    assert_refused(done, "there is no topic elsewhere.input")


# To begin


def test_an_empty_database_begins_at_what_the_group_committed(deployment: Deployment) -> None:
    commit(deployment, 0, 3)
    said = begun(deployment, "--partition", "0", "--at", "committed")
    assert "partition 0 begins at 3" in said
    assert "none of the instances" in said
    assert rows(deployment) == [(0, 3, 3, None, None, 0, 0, 0)]
    assert listed(deployment)[0]["would"] == "go-on"


def test_an_empty_database_begins_at_the_first_record_and_says_what_follows(deployment: Deployment) -> None:
    commit(deployment, 0, 3)
    expire(deployment, 0, 1)
    said = begun(deployment, "--partition", "0", "--at", "first")
    assert "the group has committed 3: the worker puts that back to 1" in said
    assert rows(deployment) == [(0, 1, 1, None, None, 0, 0, 0)]
    assert listed(deployment)[0]["would"] == "run-again"


def test_expired_records_are_passed_over_and_what_was_applied_is_still_published(deployment: Deployment) -> None:
    put(deployment, 0, 3, 1, owner=OWNER, transactional_id="dead", deaths=4, attempts=2)
    expire(deployment, 0, 6)
    said = begun(deployment, "--partition", "0", "--at", "first")
    assert "records [3, 6) are not run" in said
    assert "outputs of records [1, 3) that are not published yet are published by the worker" in said
    # The last owner stays named, so that the next one ends what it may have left open in Kafka.
    assert rows(deployment) == [(0, 6, 1, OWNER, "dead", 0, 0, 0)]
    assert listed(deployment)[0]["would"] == "publish"


def test_a_topic_made_anew_begins_another_incarnation(deployment: Deployment) -> None:
    for partition in range(PARTITIONS):
        put(deployment, partition, 8, 8)
    make_anew(deployment)
    said = begun(deployment, "--all", "--at", "first")
    assert "the topic was made anew: offset 8 of the one before is given up" in said
    assert rows(deployment) == [(partition, 0, 0, None, None, 0, 0, 1) for partition in range(PARTITIONS)]
    assert listed(deployment)[0]["topic_id"] == topic_id(deployment)


def test_records_are_run_again_from_an_offset(deployment: Deployment) -> None:
    put(deployment, 0, 8, 6)
    commit(deployment, 0, 7)
    said = begun(deployment, "--partition", "0", "--at", "4")
    assert "records [4, 8) are run again" in said
    assert "outputs of records [7, 8) that are not published yet are given up" in said
    assert rows(deployment) == [(0, 4, 4, None, None, 0, 0, 1)]


def test_a_partition_whose_row_is_gone_begins_behind_what_the_journal_has_of_it(deployment: Deployment) -> None:
    with psycopg.connect(deployment.database_url) as connection:
        connection.execute(
            "INSERT INTO journal (partition, record_offset, record_timestamp, consumed, outcome, incarnation)"
            " VALUES (0, 0, 0, true, 'advanced', 2)"
        )
    begun(deployment, "--partition", "0", "--at", "0")
    assert rows(deployment) == [(0, 0, 0, None, None, 0, 0, 3)]


def test_what_stands_there_already_stays(deployment: Deployment) -> None:
    put(deployment, 0, 8, 6, deaths=1)
    assert begun(deployment, "--partition", "0", "--at", "8") == "all of these stand there already\n"
    assert rows(deployment) == [(0, 8, 6, None, None, 1, 0, 0)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--partition", "0", "--at", "11"], "partition 0 can't begin at 11: the topic has [0, 10)"),
        (["--partition", "2", "--at", "first"], "has no partition 2: it has 2, from 0"),
        (
            ["--partition", "0", "--at", "committed"],
            "the group has no committed offset for partition 0: say `--at first`",
        ),
        (["--partition", "0", "--at", "-1"], "--at takes first, committed or an offset, not '-1'"),
        (["--at", "first"], "say which partitions"),
        (["--all", "--partition", "0", "--at", "first"], "say which partitions"),
    ],
)
def test_what_can_t_be_is_refused(deployment: Deployment, arguments: list[str], text: str) -> None:
    assert_refused(worker(deployment, "partitions", "begin", *arguments, "--yes"), text)
    assert rows(deployment) == []


def test_a_member_of_the_group_is_in_the_way(deployment: Deployment) -> None:
    member = Consumer(
        {
            "bootstrap.servers": deployment.cluster.bootstrap_servers,
            "group.id": deployment.prefix,
            "client.id": "somebody",
        }
    )
    member.subscribe([deployment.topics.input])
    wait_until(lambda: member.poll(0.1) is None and bool(member.assignment()), 30, "the member is in the group")
    try:
        for command in (("partitions", "begin", "--all", "--at", "first"), ("adopt",)):
            refused = worker(deployment, *command, "--yes")
            assert_refused(refused, "somebody at 127.0.0.1 in the consumer group", "Stop all of them")
    finally:
        member.close()
    assert rows(deployment) == []
    begun(deployment, "--all", "--at", "first")


def test_a_session_of_a_worker_is_in_the_way(deployment: Deployment) -> None:
    put(deployment, 0, 8, 8, owner="owner-of-another-name")
    for name in (OWNER, "owner-of-another-name"):
        with psycopg.connect(deployment.database_url, application_name=name):
            for command in (("partitions", "begin", "--all", "--at", "first"), ("adopt",)):
                assert_refused(worker(deployment, *command, "--yes"), f"{name} at 127.0.0.1 in the database")


def test_a_database_of_another_group_is_not_touched(deployment: Deployment) -> None:
    bind(deployment, "another-group")
    done = worker(deployment, "partitions", "begin", "--all", "--at", "first", "--yes")
    assert_refused(done, "another-group", "run `worker adopt` first")


def test_nobody_to_ask_changes_nothing(deployment: Deployment) -> None:
    assert_refused(worker(deployment, "partitions", "begin", "--all", "--at", "first"), "say --yes")
    assert_refused(worker(deployment, "adopt"), "say --yes")
    assert rows(deployment) == []


@pytest.mark.parametrize(("answer", "status", "count"), [("y\n", 0, PARTITIONS), ("n\n", 1, 0), ("\n", 1, 0)])
def test_the_answer_counts(deployment: Deployment, answer: str, status: int, count: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worker", "partitions", "begin", "--all", "--at", "first"]
    asking = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(deployment.environment()),
        text=True,
    )
    os.write(ours, answer.encode())
    said, asked = asking.communicate(timeout=TIMEOUT_SECONDS)
    os.close(ours)
    os.close(theirs)
    assert (asking.returncode, len(rows(deployment))) == (status, count), said + asked
    assert "Begin 2 partitions there? [y/N]" in asked


def test_a_row_that_moves_while_somebody_answers_is_left_alone(deployment: Deployment) -> None:
    put(deployment, 0, 8, 8)
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-u", "-m", "worker", "partitions", "begin", "--all", "--at", "first"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(deployment.environment()),
        text=True,
    )
    assert asking.stdout is not None
    while not asking.stdout.readline().startswith("partition 1:"):
        assert asking.poll() is None
    with psycopg.connect(deployment.database_url, autocommit=True) as connection:
        connection.execute("UPDATE positions SET next_offset = 9, owner = 'a worker that just started'")
    os.write(ours, b"y\n")
    _, asked = asking.communicate(timeout=TIMEOUT_SECONDS)
    os.close(ours)
    os.close(theirs)
    assert asking.returncode == 1
    assert "a worker took one of these partitions in the meantime" in asked
    assert rows(deployment) == [(0, 9, 8, "a worker that just started", None, 0, 0, 0)]


# To adopt


def test_a_renamed_group_adopts_its_database(deployment: Deployment) -> None:
    bind(deployment, "the-name-before")
    done = worker(deployment, "adopt", "--yes")
    assert done.returncode == 0, done.stderr
    assert "the-name-before" in done.stdout
    ours = (cluster_id(deployment), deployment.prefix, deployment.topics.input)
    assert deployment.rows("SELECT cluster_id, group_id, input_topic FROM binding") == [ours]
    assert worker(deployment, "adopt", "--yes").stdout == "the database serves these already\n"


def test_a_database_that_serves_nobody_is_adopted_too(deployment: Deployment) -> None:
    done = worker(deployment, "adopt", "--yes")
    assert done.returncode == 0, done.stderr
    assert deployment.rows("SELECT group_id FROM binding") == [(deployment.prefix,)]


def test_a_member_of_the_group_before_is_in_the_way(deployment: Deployment) -> None:
    bind(deployment, f"{deployment.prefix}-before")
    member = Consumer(
        {
            "bootstrap.servers": deployment.cluster.bootstrap_servers,
            "group.id": f"{deployment.prefix}-before",
            "client.id": "left",
        }
    )
    member.subscribe([deployment.topics.input])
    wait_until(lambda: member.poll(0.1) is None and bool(member.assignment()), 30, "the member is in the group")
    try:
        assert_refused(worker(deployment, "adopt", "--yes"), "left at 127.0.0.1 in the consumer group")
    finally:
        member.close()


def test_commands_without_a_schema_name_the_remedy(deployment: Deployment, database_url: str) -> None:
    for command in (("partitions", "list"), ("adopt", "--yes")):
        assert_refused(worker(deployment, *command, WORKER_DATABASE_URL=database_url), "run `worker migrate`")


# Beside a worker


def finish(deployment: Deployment) -> None:
    try:
        deployment.finish()
    except BaseException:
        for process in deployment.workers:
            print(f"--- the log of {process.name}\n{process.log_text()[-20_000:]}")
        raise


def refused_by_a_worker(deployment: Deployment) -> list[str]:
    """Start a worker, end it when it has refused every partition, and give its reasons and the commands it names."""
    process = deployment.start_worker()
    wait_until(lambda: len(process.told("partition_refused")) == PARTITIONS, 60, "the worker refused the partitions")
    assert process.terminate() == 0
    told = sorted(process.told("partition_refused"), key=lambda line: int(line["partition"]))
    for line in told:
        assert f"worker partitions begin --partition {line['partition']} --at " in line["text"]
    return [line["reason"] for line in told]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_worker_goes_on_behind_records_that_expired(deployment: Deployment) -> None:
    for partition in range(PARTITIONS):
        put(deployment, partition, 2, 2)
        expire(deployment, partition, 4)
    assert refused_by_a_worker(deployment) == ["RECORDS_EXPIRED"] * PARTITIONS
    begun(deployment, "--all", "--at", "first")
    deployment.start_worker()
    finish(deployment)
    assert deployment.journal_size() == PARTITIONS * (RECORDS - 4)
    assert len(deployment.dead_letters()) == PARTITIONS * (RECORDS - 4)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_worker_goes_on_with_a_topic_made_anew(deployment: Deployment) -> None:
    deployment.start_worker()
    deployment.wait_until_applied()
    refused = worker(deployment, "partitions", "begin", "--all", "--at", "first", "--yes")
    assert_refused(refused, "in the consumer group", "in the database (process")
    assert all(one["owner_is_alive"] for one in listed(deployment))
    finish(deployment)
    make_anew(deployment)
    assert refused_by_a_worker(deployment) == ["TOPIC_REPLACED"] * PARTITIONS
    begun(deployment, "--all", "--at", "first")
    deployment.start_worker()
    finish(deployment)
    assert [row[-1] for row in rows(deployment)] == [1] * PARTITIONS
    assert deployment.journal_size() == 2 * PARTITIONS * RECORDS
    assert len(deployment.dead_letters()) == 2 * PARTITIONS * RECORDS


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("at", "runs"), [("first", RECORDS), ("committed", 0)])
def test_a_worker_goes_on_with_an_empty_database(
    deployment: Deployment, databases: Databases, migrated_template: str, at: str, runs: int
) -> None:
    deployment.start_worker()
    finish(deployment)
    deployment.database_url = databases.make(migrated_template)
    assert refused_by_a_worker(deployment) == ["DATABASE_EMPTY"] * PARTITIONS
    begun(deployment, "--all", "--at", at)
    deployment.start_worker()
    finish(deployment)
    assert deployment.journal_size() == PARTITIONS * runs
    assert len(deployment.dead_letters()) == PARTITIONS * (RECORDS + runs)
