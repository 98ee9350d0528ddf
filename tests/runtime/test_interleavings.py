"""Random interleavings of everything that can fail: whatever happens, each record's effect is there exactly once.

One seed is one run; a failure is repeated by its seed.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random

import pytest

from tests.runtime.world import Member, World, kafka_with_orders
from tests.simulation.servers import Killed, SimKafka
from worker.core.records import Record
from worker.ports import DatabaseUnavailable, KafkaUnavailable, MembershipRefused, PositionMoved, PublicationUnknown
from worker.runtime.loop import LoopConfig

SEEDS = range(60)
PARTITIONS = 3
ORDERS = 12
MEMBERS_MAX = 3
CHAOTIC_TURNS = 150

FAILURES: dict[str, tuple[Callable[[], BaseException], ...]] = {
    "poll": (lambda: KafkaUnavailable("gone"), Killed),
    "positions": (lambda: DatabaseUnavailable("gone"), Killed),
    "insert_positions": (lambda: DatabaseUnavailable("gone"), lambda: PositionMoved("moved"), Killed),
    "claim": (lambda: DatabaseUnavailable("gone"), lambda: PositionMoved("moved"), Killed),
    "release": (lambda: DatabaseUnavailable("gone"), Killed),
    "unpublished": (lambda: DatabaseUnavailable("gone"), Killed),
    "note_attempt": (lambda: DatabaseUnavailable("gone"), lambda: PositionMoved("moved"), Killed),
    "lock": (lambda: DatabaseUnavailable("gone"), lambda: PositionMoved("moved"), Killed),
    "read": (lambda: DatabaseUnavailable("gone"), Killed),
    "write": (lambda: DatabaseUnavailable("gone"), Killed),
    "commit": (lambda: DatabaseUnavailable("gone"), Killed),
    "topic_id": (lambda: KafkaUnavailable("gone"), Killed),
    "go_on": (lambda: KafkaUnavailable("gone"), Killed),
    "standings": (lambda: KafkaUnavailable("gone"), Killed),
    "replace": (lambda: KafkaUnavailable("gone"), Killed),
    "fence": (lambda: KafkaUnavailable("gone"), Killed),
    "membership": (lambda: KafkaUnavailable("gone"), Killed),
    "send": (lambda: PublicationUnknown("unknown"), Killed),
    "send_offsets": (lambda: PublicationUnknown("unknown"), lambda: MembershipRefused("moved on"), Killed),
    "abort": (lambda: PublicationUnknown("unknown"), Killed),
    "publish": (lambda: PublicationUnknown("unknown"), Killed),
}


class Chaos:
    """Make one world's life hard."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.kafka = kafka_with_orders(0, PARTITIONS)
        self._coming = self._arrivals(kafka_with_orders(ORDERS, PARTITIONS, garbage=2))
        config = LoopConfig(
            batch_records_max=self.random.choice([1, 3, 7, 500]),
            batch_bytes_max=self.random.choice([1, 4_000, 10**9]),
            poll_wait_seconds=self.random.choice([0.2, 5.0]),
        )
        self.world = World(self.kafka, config)

    def run(self) -> None:
        for _ in range(CHAOTIC_TURNS):
            self._disturb()
            for member in list(self.world.members):
                self.world.turn(member)
        self._calm()
        self.world.drain()

    def _arrivals(self, of: SimKafka) -> Iterator[Record]:
        waiting = {number: list(records) for number, records in of.records.items()}
        while remaining := [number for number, records in waiting.items() if records]:
            yield waiting[self.random.choice(remaining)].pop(0)

    def _disturb(self) -> None:
        self._produce(islice(self._coming, self.random.choice([0, 0, 1, 3])))
        members = self.world.members
        if not members or (len(members) < MEMBERS_MAX and self.random.random() < 0.1):
            self.world.start()
        for one in (self._fail, self._move, self._expel, self._finish_late):
            if self.random.random() < 0.2:
                one(self.random.choice(members))
        for partition in self.kafka.records:
            if partition not in self.kafka.targets:
                self.kafka.give(partition, self.random.choice(members).consumer)

    def _produce(self, records: Iterable[Record]) -> None:
        for record in records:
            self.kafka.records[record.partition].append(record)

    def _fail(self, member: Member) -> None:
        call = self.random.choice(list(FAILURES))
        happened = self.random.random() < 0.5
        member.faults.plan(call, self.random.choice(FAILURES[call])(), happened=happened)

    def _move(self, member: Member) -> None:
        self.kafka.give(self.random.randrange(PARTITIONS), member.consumer)

    def _expel(self, member: Member) -> None:
        if self.random.random() < 0.3:
            self.kafka.expel(member.consumer)

    def _finish_late(self, _: Member) -> None:
        """Have a commit arrive that its producer has given up."""
        for transactional_id, transaction in list(self.kafka.open.items()):
            if transaction.is_ending:
                self.kafka.commit(transactional_id)

    def _calm(self) -> None:
        """Let everything work from now on."""
        self._produce(self._coming)
        for member in self.world.members:
            member.faults.clear()
        last = self.world.start()
        for partition in self.kafka.records:
            self.kafka.give(partition, last.consumer)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_record_s_effect_is_there_exactly_once(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.run()
    chaos.world.check()


def test_the_interleavings_reach_what_they_are_for() -> None:
    # A chaos in which nothing goes wrong shows nothing.
    calls: list[str] = []
    started = 0
    for seed in range(10):
        chaos = Chaos(seed)
        members = chaos.world.members
        chaos.run()
        started += chaos.world.made
        calls += [call for member in members for call in member.faults.calls]
    assert {"fence", "unpublished", "claim", "release", "replace"} <= set(calls)
    assert started > 40
