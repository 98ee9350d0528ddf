"""Redrive on Apache Kafka: each dead letter once, whoever begins, dies or is in the way."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread

import pytest
from confluent_kafka import Message, Producer

from tests.core.lab import hosting, lab_machine
from tests.servers.kafka import KafkaCluster, KafkaServer
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.redriving import (
    TRANSACTION_LETTERS_MAX,
    Done,
    Redrive,
    RedriveFenced,
    RedrivePlan,
    RedriveUnknown,
)
from worker.core.dead_letters import DeadLetter, Marker, Place, Selection, read_record
from worker.core.errors import SetupError
from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Output, Record
from worker.core.redrives import REDRIVEN_FROM
from worker.core.routing import Router, Topics
from worker.ports import KafkaUnavailable

PARTITIONS = 4
NOW = 1_790_000_000_000
PATIENCE_SECONDS = 30.0
REGISTRY = hosting(lab_machine()).registry
OUTCOME = DeadLettered(DeadLetterReason.NO_INSTANCE, "NoInstance", "why")
REFUSED = DeadLettered(DeadLetterReason.OUTPUT_REFUSED, "OutputRefused", "why")


@dataclass
class Bench:
    """A deployment's topics, and redrives of them."""

    cluster: KafkaCluster
    prefix: str = field(default_factory=lambda: f"redrive-{uuid.uuid4().hex[:12]}")

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix)

    @property
    def config(self) -> KafkaConfig:
        return KafkaConfig(self.cluster.bootstrap_servers)

    @property
    def router(self) -> Router:
        return Router(self.topics, REGISTRY, self.prefix, "1.2.3")

    def dead_letter(self, number: int, value: bytes | None = None) -> Output:
        """Make the dead letter of the input record with this number."""
        record = Record(
            number % PARTITIONS, number, NOW + number, b"%d" % number, value or b"value %d" % number, (("h", b"\xff"),)
        )
        return self.router.dead_letter(record, OUTCOME, NOW + number)

    def put(self, outputs: Sequence[Output], partition: int | None = None) -> list[Place]:
        """Put dead letters where they belong by their number, or into one partition; give their places."""
        places: list[Place] = []

        def keep(error: object, message: Message) -> None:
            assert error is None, error
            places.append(Place(message.partition() or 0, message.offset() or 0))

        producer = Producer({"bootstrap.servers": self.cluster.bootstrap_servers, "linger.ms": 5})
        for number, output in enumerate(outputs):
            where = number % PARTITIONS if partition is None else partition
            produce(producer, output, where, keep)
        producer.flush(PATIENCE_SECONDS)
        return places

    def plan(self, selection: Selection | None = None, letters_max: int | None = None) -> RedrivePlan:
        return RedrivePlan(self.config, self.topics.dead_letters, self.prefix, selection or Selection(), letters_max)

    def redrive(
        self,
        selection: Selection | None = None,
        *,
        letters_max: int | None = None,
        journal: Callable[[DeadLetter], Output | None] = lambda _: None,
        watch: Callable[[Done], None] = lambda _: None,
    ) -> Done:
        return Redrive(self.plan(selection, letters_max), journal, watch).run()

    def transaction(self, transactional_id: str) -> Producer:
        """Begin a transaction of somebody's."""
        settings = {"bootstrap.servers": self.cluster.bootstrap_servers, "transactional.id": transactional_id}
        producer = Producer(settings | {"transaction.timeout.ms": 60_000})
        producer.init_transactions(PATIENCE_SECONDS)
        producer.begin_transaction()
        return producer

    def input(self) -> list[Message]:
        """Read what readers of committed records see of the input topic."""
        return self.read(self.topics.input)

    def read(self, topic: str) -> list[Message]:
        # Offsets are stable a moment before their transaction's markers are everywhere.
        self.cluster.wait_until_settled([topic])
        return self.cluster.read_all(topic)

    def values(self) -> list[bytes]:
        return sorted(record.value() or b"" for record in self.input())

    def markers(self) -> list[Marker]:
        told = [read_record(record_of(one)) for one in self.read(self.topics.dead_letters)]
        return [one for one in told if isinstance(one, Marker)]

    def assert_each_once(self, count: int, *also: int) -> None:
        """Show that those below `count` were redriven, and those that are named, and each of them once."""
        numbers = [*range(count), *also]
        assert self.values() == sorted(b"value %d" % number for number in numbers)
        assert list(Counter(one.place for one in self.markers()).values()) == [1] * len(numbers)


def record_of(message: Message) -> Record:
    headers = tuple(message.headers() or ())
    return Record(message.partition() or 0, message.offset() or 0, 0, message.key(), message.value(), headers)  # type: ignore[arg-type]


def produce(
    producer: Producer, output: Output, partition: int, keep: Callable[[object, Message], None] | None = None
) -> None:
    producer.produce(
        output.topic,
        key=output.key,
        value=output.value,
        headers=list(output.headers),
        partition=partition,
        on_delivery=keep,
    )


def made(cluster: KafkaCluster) -> Bench:
    bench = Bench(cluster)
    cluster.create_topics([bench.topics.input, bench.topics.dead_letters, bench.topics.domain("default")], PARTITIONS)
    return bench


@pytest.fixture
def bench(kafka_cluster: KafkaCluster) -> Bench:
    return made(kafka_cluster)


def test_a_record_goes_back_as_it_was_and_its_marker_to_its_dead_letter(bench: Bench) -> None:
    places = bench.put([bench.dead_letter(number) for number in range(PARTITIONS)])
    done = bench.redrive()
    assert (done.total, done.redriven, done.topics, done.left) == (4, 4, {bench.topics.input: 4}, 0)
    for place, record in zip(sorted(places), bench.input(), strict=True):
        assert record.partition() == place.partition
        assert (record.key(), record.value()) == (b"%d" % place.partition, b"value %d" % place.partition)
        told = f"{bench.topics.dead_letters}[{place.partition}]@{place.offset}".encode()
        assert record.headers() == [("h", b"\xff"), (REDRIVEN_FROM, told)]
    assert sorted(one.place for one in bench.markers()) == sorted(places)


def test_what_was_redriven_is_not_redriven_again(bench: Bench) -> None:
    places = bench.put([bench.dead_letter(number) for number in range(8)])
    assert bench.redrive(letters_max=3).redriven == 3
    named = Selection(places=frozenset(places[:4]))
    again = bench.redrive(named)
    assert again.redriven + again.marked == 4
    assert bench.redrive().redriven + again.redriven == 5
    assert bench.redrive().redriven == 0
    bench.assert_each_once(8)


def test_many_go_in_bounded_transactions(bench: Bench) -> None:
    count = 2 * TRANSACTION_LETTERS_MAX + 10
    bench.put([bench.dead_letter(number) for number in range(count)])
    told: list[int] = []
    bench.redrive(watch=lambda done: told.append(done.redriven))
    assert told == [0, TRANSACTION_LETTERS_MAX, 2 * TRANSACTION_LETTERS_MAX, count]
    bench.assert_each_once(count)


def test_bytes_bound_transactions_too(bench: Bench) -> None:
    bench.put([bench.dead_letter(number, bytes([number]) * 900_000) for number in range(1, 11)])
    told: list[int] = []
    assert bench.redrive(watch=lambda done: told.append(done.redriven)).redriven == 10
    assert told == [0, 4, 8, 10]


def test_a_limit_holds_when_a_record_is_refused_on_the_way(bench: Bench) -> None:
    letters = [bench.dead_letter(number) for number in range(TRANSACTION_LETTERS_MAX + 20)]
    letters[TRANSACTION_LETTERS_MAX + 5] = bench.dead_letter(TRANSACTION_LETTERS_MAX + 5, b"y" * 5_000)
    bench.put(letters, partition=0)
    bench.cluster.set_topic(bench.topics.input, "max.message.bytes", "4000")
    done = bench.redrive(letters_max=TRANSACTION_LETTERS_MAX + 10)
    assert (done.total, done.redriven, done.left) == (TRANSACTION_LETTERS_MAX + 10, TRANSACTION_LETTERS_MAX + 9, 1)
    bench.assert_each_once(
        TRANSACTION_LETTERS_MAX + 5, *range(TRANSACTION_LETTERS_MAX + 6, TRANSACTION_LETTERS_MAX + 10)
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_broker_that_dies_on_the_way_leaves_nothing_half_done(kafka_server: KafkaServer) -> None:
    bench = made(kafka_server.cluster)
    count = TRANSACTION_LETTERS_MAX + 50
    bench.put([bench.dead_letter(number) for number in range(count)])

    def kill_the_broker(done: Done) -> None:
        if done.redriven:
            bench.cluster.wait_until_settled([bench.topics.input, bench.topics.dead_letters])
            kafka_server.kill()

    with pytest.raises(RedriveUnknown, match="Run the same command again"):
        bench.redrive(watch=kill_the_broker)
    kafka_server.start()
    again = bench.redrive()
    assert (again.redriven, again.marked) == (50, TRANSACTION_LETTERS_MAX)
    bench.assert_each_once(count)


def test_who_begins_fences_who_is_under_way_and_nothing_goes_twice(bench: Bench) -> None:
    count = 2 * TRANSACTION_LETTERS_MAX
    bench.put([bench.dead_letter(number) for number in range(count)])
    others: list[Done] = []

    def let_another_begin(done: Done) -> None:
        if done.redriven == TRANSACTION_LETTERS_MAX:
            others.append(bench.redrive())

    with pytest.raises(RedriveFenced, match="nothing is redriven twice"):
        bench.redrive(watch=let_another_begin)
    (other,) = others
    assert (other.redriven, other.marked) == (TRANSACTION_LETTERS_MAX, TRANSACTION_LETTERS_MAX)
    bench.assert_each_once(count)


def test_what_a_dead_redrive_left_open_is_undone_at_once(bench: Bench) -> None:
    (place,) = bench.put([bench.dead_letter(0)], partition=0)
    dead = bench.transaction(bench.plan().transactional_id)
    produce(dead, Output(bench.topics.input, b"0", b"value 0", ()), 0)
    marker = Output(bench.topics.dead_letters, None, None, (("redriven-offset", b"%d" % place.offset),))
    produce(dead, marker, place.partition)
    dead.flush(PATIENCE_SECONDS)
    begun = time.monotonic()
    assert bench.redrive().redriven == 1
    assert time.monotonic() - begun < PATIENCE_SECONDS, "long before the transaction's time-out"
    bench.assert_each_once(1)


def test_a_marker_behind_a_worker_s_open_transaction_is_seen(bench: Bench) -> None:
    bench.put([bench.dead_letter(0)], partition=0)
    workers: list[Producer] = []

    def let_a_worker_begin(done: Done) -> None:
        if not done.redriven:
            worker = bench.transaction(f"{bench.prefix}-worker")
            produce(worker, bench.dead_letter(1), 0)
            worker.flush(PATIENCE_SECONDS)
            workers.append(worker)

    assert bench.redrive(watch=let_a_worker_begin).redriven == 1
    later: list[Done] = []
    second = Thread(target=lambda: later.append(bench.redrive()))
    second.start()
    second.join(2)
    assert second.is_alive(), "readers of committed records see no marker yet: who goes on now redrives twice"
    workers[0].commit_transaction(PATIENCE_SECONDS)
    second.join(PATIENCE_SECONDS)
    assert [(done.redriven, done.marked) for done in later] == [(1, 1)]
    bench.assert_each_once(2)


def test_an_output_goes_to_the_topic_that_refused_it(bench: Bench) -> None:
    target = bench.topics.domain("default")
    output = Output(target, b"key", b"value", (("content-type", b"application/json"),))
    bench.put([bench.router.refused_output(output, REFUSED, (2, 5), NOW)])
    assert bench.redrive(Selection(sources=frozenset([f"{bench.topics.input}-2"]))).topics == {target: 1}
    (record,) = bench.read(target)
    assert (record.key(), record.value(), len(record.headers() or ())) == (b"key", b"value", 2)


def test_what_can_not_go_is_skipped_and_the_others_go(bench: Bench) -> None:
    gone = Output("no-such-topic", b"key", b"value", ())
    large = Record(0, 7, NOW, b"key", b"x" * 2_000, ())
    missing = bench.router.dead_letter_without_bytes(large, OUTCOME, NOW)
    places = bench.put(
        [
            bench.dead_letter(0),
            bench.router.refused_output(gone, REFUSED, (0, 0), NOW),
            bench.dead_letter(1),
            missing,
            bench.dead_letter(2, b"y" * 5_000),
        ],
        partition=0,
    )
    bench.cluster.set_topic(bench.topics.input, "max.message.bytes", "4000")
    done = bench.redrive()
    assert (done.redriven, done.left) == (2, 3)
    reasons = {first: why for why, (_, first) in done.skipped.items()}
    assert reasons.keys() == {places[1], places[3], places[4]}
    assert "no-such-topic does not exist" in reasons[places[1]]
    assert "journal" in reasons[places[3]]
    assert "too large" in reasons[places[4]]
    assert bench.values() == [b"value 0", b"value 1"]
    bench.cluster.set_topic(bench.topics.input, "max.message.bytes", "100000")
    found = bench.redrive(journal=lambda letter: Output(letter.original.topic, b"key", large.value, ()))
    assert (found.redriven, found.left) == (2, 1)


def test_another_group_s_dead_letters_are_left_to_it(bench: Bench) -> None:
    bench.put([bench.dead_letter(0)])
    stranger = RedrivePlan(bench.config, bench.topics.dead_letters, "another", Selection())
    done = Redrive(stranger, lambda _: None, lambda _: None).run()
    assert (done.redriven, done.foreign) == (0, {bench.prefix: 1})
    assert bench.redrive().redriven == 1


def test_a_place_without_a_dead_letter_is_told_before_anything_goes(bench: Bench) -> None:
    (place,) = bench.put([bench.dead_letter(0)], partition=0)
    for nowhere in (Place(0, 99), Place(17, 0), Place(1, 0)):
        with pytest.raises(SetupError, match=f"no dead letter at {nowhere}"):
            bench.redrive(Selection(places=frozenset([place, nowhere])))
    assert bench.input() == []


def test_a_topic_that_is_not_there_is_told(kafka_cluster: KafkaCluster) -> None:
    with pytest.raises(KafkaUnavailable, match="there is no topic"):
        Bench(kafka_cluster).redrive()
