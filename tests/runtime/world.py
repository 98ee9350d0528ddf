"""A deployment in memory: servers, workers that come and go, and what must hold whatever happened."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from machines.order import machine as order_machine
from tests.simulation.servers import (
    FakeBackground,
    FakeClock,
    Faults,
    Killed,
    SimConsumer,
    SimDatabase,
    SimKafka,
    SimPostgres,
    SimPublisher,
)
from tests.workload import Order
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.records import Output, Record
from worker.core.registry import Registry
from worker.core.routing import Router, Topics
from worker.core.step import Host
from worker.ports import Claim, Upkept
from worker.runtime.batch import Limits
from worker.runtime.loop import LoopConfig, Parts, Worker

HOST = Host(Registry([order_machine], SismicEngine()))
TOPICS = Topics("orc")
ROUTER = Router(TOPICS, HOST.registry, "group", "0.0.0")
LIMITS = Limits(dict.fromkeys(("orc.input", "orc.dlq", "orc.default", "orc.external"), 1_000_000))
RECORD_TIME = 1_700_000_000_000


@dataclass
class Member:
    """One worker process and its connections."""

    worker: Worker
    database: SimDatabase
    consumer: SimConsumer
    publisher: SimPublisher
    background: FakeBackground
    claim: Claim
    faults: Faults


@dataclass
class World:
    """Servers and workers."""

    kafka: SimKafka
    config: LoopConfig = field(default_factory=lambda: LoopConfig(batch_records_max=7))
    housekeep: Callable[[], Upkept | None] = lambda: None
    limits: Limits = LIMITS
    tables: SimPostgres = field(default_factory=SimPostgres)
    clock: FakeClock = field(default_factory=FakeClock)
    members: list[Member] = field(default_factory=list)
    made: int = 0

    def start(self) -> Member:
        """Start a worker."""
        self.made += 1
        faults = Faults(self.clock.advance)
        claim = Claim(f"owner-{self.made}", f"transactional-{self.made}")
        consumer = SimConsumer(self.kafka, faults)
        database = SimDatabase(self.tables, claim.owner, faults)
        publisher = SimPublisher(self.kafka, claim.transactional_id, faults)
        background = FakeBackground(self.clock.advance)
        parts = Parts(
            host=HOST,
            router=ROUTER,
            limits=self.limits,
            look=lambda: self.limits.record_bytes_max,
            positions=database,
            database=database,
            publisher=publisher,
            consumer=consumer,
            background=background,
            clock=self.clock,
            claim=claim,
            housekeep=self.housekeep,
            config=self.config,
        )
        member = Member(Worker(parts), database, consumer, publisher, background, claim, faults)
        self.members.append(member)
        return member

    def start_alone(self) -> Member:
        """Start a worker that gets every partition."""
        member = self.start()
        for partition in self.kafka.records:
            self.kafka.give(partition, member.consumer)
        return member

    def turn(self, member: Member) -> None:
        """Have a worker turn once; it may be killed on the way."""
        try:
            member.worker.turn()
        except Killed:
            self.kill(member)

    def kill(self, member: Member) -> None:
        """End a process as it is: the group notices, its open Kafka transaction stays."""
        self.members.remove(member)
        self.kafka.expel(member.consumer)

    def drain(self, turns_max: int = 200) -> None:
        """Turn all workers until everything is applied and published."""
        for _ in range(turns_max):
            if self.is_done:
                return
            for member in list(self.members):
                self.turn(member)
        raise AssertionError(f"not done after {turns_max} turns: {self.tables.positions}, {self.kafka.committed}")

    @property
    def is_done(self) -> bool:
        return all(self.kafka.committed.get(one, 0) == self.kafka.end(one) for one in self.kafka.records)

    # What must hold

    def check(self) -> None:
        """Hold everything against a run in which nothing failed."""
        quiet = World(SimKafka(self.kafka.partitions))
        quiet.kafka.records = {number: list(records) for number, records in self.kafka.records.items()}
        quiet.start_alone()
        quiet.drain()
        assert ids_by_subject(self.kafka.visible) == ids_by_subject(quiet.kafka.visible)
        assert Counter(map(without_time, self.kafka.visible)) == Counter(map(without_time, quiet.kafka.visible))
        assert self.tables.journal.keys() == quiet.tables.journal.keys()
        assert {key: row.outcome for key, row in self.tables.journal.items()} == {
            key: row.outcome for key, row in quiet.tables.journal.items()
        }
        assert self.tables.instances == quiet.tables.instances
        for number, row in self.tables.positions.items():
            assert row.next_offset == self.kafka.end(number)
            assert row.published_offset <= row.next_offset


def ids_by_subject(outputs: Sequence[Output]) -> dict[bytes | None, list[bytes | None]]:
    """Give what a reader of all topics sees of each subject, in order."""
    seen: defaultdict[bytes | None, list[bytes | None]] = defaultdict(list)
    for output in outputs:
        if output.topic != TOPICS.dead_letters:
            seen[output.key].append(output.value)
    return dict(seen)


def without_time(output: Output) -> Output:
    """Leave out when a dead letter was made: it is the worker's clock."""
    headers = tuple((name, value) for name, value in output.headers if name != "dlq-first-failure-time")
    return Output(output.topic, output.key, output.value, headers)


def kafka_with_orders(orders: int, partitions: int = 1, *, steps: int = 4, garbage: int = 0) -> SimKafka:
    """Give brokers whose input topic has orders from start to end, and records that are no events between them."""
    kafka = SimKafka(partitions)
    for step in range(steps):
        for number in range(orders):
            encoded = Order(number).record(step)
            append(kafka, number % partitions, encoded.key, encoded.value, encoded.headers)
        for number in range(garbage):
            append(kafka, number % partitions, None, b"garbage %d" % number, ())
    return kafka


def append(
    kafka: SimKafka,
    partition: int,
    key: bytes | None,
    value: bytes | None,
    headers: tuple[tuple[str, bytes | None], ...],
) -> Record:
    """Produce one record."""
    record = Record(partition, kafka.end(partition), RECORD_TIME + kafka.end(partition), key, value, headers)
    kafka.records[partition].append(record)
    return record
