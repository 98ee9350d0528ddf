"""`worker dead-letters discard`, and how dead letters are chosen, on Apache Kafka."""

import json
from collections.abc import Sequence
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.acceptance.commands import run_here
from tests.integration.played import ORDER, event_of, order_subject
from tests.integration.test_dead_letters import PARTITIONS, Bench, made
from tests.servers.kafka import KafkaCluster
from worker.core.codec import encode_record
from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Output, Record

OTHER = DeadLettered(DeadLetterReason.INVALID_EVENT, "InvalidEventError", "no such item")


@pytest.fixture
def bench(kafka_cluster: KafkaCluster) -> Bench:
    return made(kafka_cluster)


def command(bench: Bench, *arguments: str) -> CompletedProcess[str]:
    given = {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": bench.cluster.bootstrap_servers,
        "WORKER_TOPIC_PREFIX": bench.prefix,
        "WORKER_GROUP_ID": bench.prefix,
        "WORKER_DATABASE_URL": "postgresql://127.0.0.1:9/none",
    }
    return run_here("dead-letters", *arguments, given=given)


def listed(bench: Bench, *arguments: str) -> list[dict[str, Any]]:
    done = command(bench, "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def offsets(rows: Sequence[dict[str, Any]]) -> list[int]:
    return [row["offset"] for row in rows]


def of_an_order(bench: Bench, number: int) -> Output:
    """Make the dead letter of an event for an order, by its number among the input topic's records."""
    event = event_of(order_subject(1), "evt.payment.charge.declined", {}, "com.payment.charge", f"e-{number}")
    encoded = encode_record(event)
    record = Record(number % PARTITIONS, number, number, encoded.key, encoded.value, encoded.headers)
    return bench.router.dead_letter(record, OTHER, 1_790_000_000_000 + number)


def test_what_is_discarded_is_not_listed_and_never_redriven(bench: Bench) -> None:
    places = [bench.put([bench.dead_letter(number)], number)[0] for number in range(3)]
    assert command(bench, "discard").returncode == 2, "nothing says which"
    dry = command(bench, "discard", str(places[1]), "--dry-run")
    assert (dry.stdout.split()[0], dry.stderr) == (str(places[1]), "1 dead letter would be discarded\n")
    assert len(listed(bench)) == 3
    done = command(bench, "discard", str(places[1]), "--yes")
    assert (done.returncode, done.stdout) == (0, f"1 dead letter discarded: {bench.topics.input} 1\n"), done.stderr
    assert str(places[1]) not in {row["place"] for row in listed(bench)}
    (discarded,) = [row for row in listed(bench, "--all") if row["place"] == str(places[1])]
    assert (discarded["discarded"], discarded["redriven"]) == (True, False)
    assert "discarded" in command(bench, "list", "--all").stdout
    shown = command(bench, "show", str(places[1])).stdout.split("\n")
    assert [line.split()[0] for line in shown if line.startswith(("redriven", "discarded"))] == [
        "redriven",
        "discarded",
    ]
    again = command(bench, "redrive", str(places[1]), "--yes")
    assert (again.returncode, again.stdout) == (0, "0 dead letters redriven\n")
    assert again.stderr == "1 redriven or discarded before\n"
    assert command(bench, "redrive", "--yes", "--json").stdout.startswith('{"redriven":2,')
    assert bench.values() == [b"value 0", b"value 2"]


def test_what_was_redriven_is_not_redriven_again_by_its_place(bench: Bench) -> None:
    (place,) = bench.put([bench.dead_letter(0)])
    for count in (1, 0):
        done = command(bench, "redrive", str(place), "--yes", "--json")
        assert json.loads(done.stdout)["redriven"] == count
    assert json.loads(command(bench, "discard", str(place), "--yes", "--json").stdout)["discarded"] == 0
    assert bench.values() == [b"value 0"]


def test_dead_letters_are_chosen_by_machine_and_by_what_is_in_them(bench: Bench) -> None:
    bench.put([bench.dead_letter(0, b"plain"), of_an_order(bench, 1), of_an_order(bench, 2)])
    assert offsets(listed(bench, "--machine", "order")) == [1, 2]
    assert offsets(listed(bench, "--machine", ORDER, "--matching", "e-2")) == [2]
    assert offsets(listed(bench, "--machine", "com.payment.charge")) == [1, 2], "who emitted it counts too"
    assert offsets(listed(bench, "--machine", "trip")) == []
    assert offsets(listed(bench, "--matching", "^InvalidEventError: no such")) == [1, 2]
    assert offsets(listed(bench, "--matching", "pl.in")) == [0]
    assert offsets(listed(bench, "--matching", "declined$")) == [1, 2]
    wrong = command(bench, "list", "--matching", "(")
    assert (wrong.returncode, "no regular expression" in wrong.stderr) == (2, True)
