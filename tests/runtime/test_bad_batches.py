"""Batches that PostgreSQL refuses, records that kill, versions under roll-out, floods of dead letters."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.runtime.world import TOPICS, Member, World, append, kafka_with_orders
from tests.simulation.servers import Killed, SimKafka
from tests.workload import Order
from worker.core import step
from worker.core.outcomes import Outcome
from worker.core.progress import Telling
from worker.core.step import Host, StepRequest
from worker.core.subjects import root_subject
from worker.ports import BatchTooLarge, DatabaseUnavailable, JournalRow
from worker.runtime import batch
from worker.runtime.careful import ATTEMPTS_MAX
from worker.runtime.flood import FLOOD_RECORDS_MIN, PAUSE_FIRST_SECONDS, PROBE_RECORDS
from worker.runtime.intake import ALONE_FAILURES_MAX
from worker.runtime.loop import LoopConfig
from worker.runtime.partitions import State
from worker.runtime.taking import CAREFUL_DEATHS

ORDERS = 12


def refusing(*culprits: bytes | None) -> object:
    """Give a PostgreSQL that refuses rows with these values unless they are dead letters."""

    def refusal(row: JournalRow) -> str | None:
        return "refused" if row.record.value in culprits and row.outcome != "dead_lettered" else None

    return refusal


def reasons(world: World) -> dict[tuple[int, int], str | None]:
    return {place: row.reason for place, row in world.tables.journal.items() if row.outcome == "dead_lettered"}


class TestRefusedBatches:
    @pytest.mark.parametrize("culprits", [[0], [5], [47], [3, 4, 30]])
    def test_a_batch_is_cut_until_the_culprit_is_alone(self, culprits: Sequence[int]) -> None:
        world = World(kafka_with_orders(ORDERS), LoopConfig(batch_records_max=100))
        records = [world.kafka.records[0][number] for number in culprits]
        world.tables.refuses = refusing(*(record.value for record in records))  # type: ignore[assignment]
        world.start_alone()
        world.drain()
        refused = {(0, number): "STORAGE_REFUSED" for number in culprits}
        assert refused.items() <= reasons(world).items()
        assert set(reasons(world).values()) <= {"STORAGE_REFUSED", "NO_INSTANCE"}
        assert len(world.tables.journal) == 4 * ORDERS
        dead = [one for one in world.kafka.visible if one.topic == TOPICS.dead_letters]
        assert [one.value for one in dead if dict(one.headers)["dlq-reason"] == b"STORAGE_REFUSED"] == [
            record.value for record in records
        ]

    def test_others_of_a_refused_batch_are_applied_in_few_transactions(self) -> None:
        world = World(kafka_with_orders(25), LoopConfig(batch_records_max=100))
        world.tables.refuses = refusing(world.kafka.records[0][70].value)  # type: ignore[assignment]
        member = world.start_alone()
        world.drain()
        assert member.faults.calls.count("write") < 30

    def test_too_large_a_batch_is_halved_and_grows_again(self) -> None:
        world = World(kafka_with_orders(ORDERS), LoopConfig(batch_records_max=100))
        world.tables.locks_max = 5
        world.start_alone()
        world.drain()
        world.check()
        assert max(len(row) for row in [world.tables.journal]) == 4 * ORDERS

    def test_a_record_that_always_takes_too_much_alone_is_a_dead_letter_in_the_end(self) -> None:
        world = World(kafka_with_orders(1, steps=1))
        member = world.start_alone()
        member.faults.plan("lock", *[BatchTooLarge("too slow")] * ALONE_FAILURES_MAX)
        world.drain(1_000)
        assert world.clock.seconds > ALONE_FAILURES_MAX / 2, "it was given time"
        assert reasons(world) == {(0, 0): "STORAGE_REFUSED"}

    def test_outputs_count_to_the_bytes_of_a_batch(self) -> None:
        size = len(Order(0).record(0).value or b"")
        world = World(kafka_with_orders(ORDERS, steps=1), LoopConfig(batch_records_max=100, batch_bytes_max=6 * size))
        member = world.start_alone()
        world.drain()
        world.check()
        assert member.faults.calls.count("commit") >= ORDERS // 4


class TestRecordsThatKill:
    @pytest.fixture(autouse=True)
    def poison(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run_step = step.run_step
        subject = Order(7).subject

        def deadly(host: Host, request: StepRequest, tell: Telling | None) -> Outcome:
            if request.event.subject == subject:
                raise Killed
            return run_step(host, request, tell)

        monkeypatch.setattr(batch, "run_step", deadly)

    def test_a_record_that_kills_becomes_a_dead_letter_and_the_others_go_on(self) -> None:
        world = World(kafka_with_orders(ORDERS, partitions=2), LoopConfig(batch_records_max=50))
        deaths = drain_with_deaths(world)
        assert reasons(world) == {(1, number): "CRASHED" for number in (3, 9, 15, 21)}
        done = [one.status for one in world.tables.instances.values()]
        assert done == ["done"] * (ORDERS - 1)
        assert deaths == CAREFUL_DEATHS + 4 * ATTEMPTS_MAX, "later records of the window run alone at once"

    def test_the_innocent_of_the_same_batch_are_not_blamed(self) -> None:
        world = World(kafka_with_orders(ORDERS, partitions=3, steps=1), LoopConfig(batch_records_max=50))
        drain_with_deaths(world)
        assert list(reasons(world).values()) == ["CRASHED"]

    def test_a_server_that_fails_is_no_death(self) -> None:
        world = World(kafka_with_orders(6, steps=1))
        for _ in range(CAREFUL_DEATHS):
            died = world.start_alone()
            died.faults.plan("lock", Killed())
            while died in world.members:
                world.turn(died)
        member = world.start_alone()
        member.faults.plan("lock", *[DatabaseUnavailable("gone")] * 10)
        world.drain()
        assert reasons(world) == {}
        assert member.faults.calls.count("note_attempt") == 6


def drain_with_deaths(world: World) -> int:
    """Start a worker whenever the last one died, until everything is done; say how many died."""
    deaths = -1
    for _ in range(2_000):
        if world.is_done:
            return deaths
        if not world.members:
            deaths += 1
            world.start_alone()
        world.turn(world.members[0])
    raise AssertionError("not done")


class TestVersionsUnderRollOut:
    CONFIG = LoopConfig(version_wait_seconds=60.0, poll_wait_seconds=1.0)

    def world(self) -> World:
        world = World(SimKafka(2), self.CONFIG)
        known = Order(0).record(0)
        append(world.kafka, 0, known.key, known.value, known.headers)
        self.append_init(world, "2.0.0")
        later = Order(2).record(0)
        append(world.kafka, 0, later.key, later.value, later.headers)
        append(world.kafka, 1, later.key, later.value, later.headers)
        return world

    def append_init(self, world: World, version: str) -> None:
        record = Order(1).record(0)
        subject = root_subject(name="arvo.orc.order", version=version, initiator="com.example.shop", execution_id="1")
        value = (record.value or b"").replace(Order(1).subject.encode(), subject.encode())
        append(world.kafka, 0, subject.encode(), value, ())

    def start(self, world: World) -> Member:
        member = world.start_alone()
        world.tables.register(member.claim.owner, [("arvo.orc.order", "1.0.0")])
        return member

    def test_a_version_that_nobody_brings_is_a_dead_letter(self) -> None:
        world = self.world()
        self.start(world)
        world.drain()
        assert reasons(world) == {(0, 1): "NO_MACHINE"}

    def test_the_partition_waits_for_a_version_that_another_worker_brought_and_the_others_go_on(self) -> None:
        world = self.world()
        member = self.start(world)
        world.tables.register("another", [("arvo.orc.order", "2.0.0")])
        for _ in range(10):
            world.turn(member)
        assert member.worker._partitions[0].state is State.WAITING
        assert sorted(world.tables.journal) == [(0, 0), (1, 0)]
        assert world.kafka.committed == {0: 1, 1: 1}

    def test_the_wait_is_bounded(self) -> None:
        world = self.world()
        self.start(world)
        world.tables.register("another", [("arvo.orc.order", "2.0.0")])
        world.drain()
        assert world.clock.seconds >= 60.0
        assert reasons(world) == {(0, 1): "NO_MACHINE"}
        assert sorted(world.tables.journal) == [(0, 0), (0, 1), (0, 2), (1, 0)]

    def test_a_waiting_partition_is_given_back_for_the_one_that_has_the_version(self) -> None:
        world = self.world()
        member = self.start(world)
        world.tables.register("another", [("arvo.orc.order", "2.0.0")])
        for _ in range(10):
            world.turn(member)
        world.kafka.give(0, None)
        world.turn(member)
        assert world.tables.positions[0].owner is None

    def test_a_failure_while_it_is_applied_does_not_end_the_wait(self) -> None:
        world = self.world()
        member = self.start(world)
        world.tables.register("another", [("arvo.orc.order", "2.0.0")])
        member.faults.plan("publish", None, DatabaseUnavailable("gone"))
        for _ in range(10):
            world.turn(member)
        assert member.worker._partitions[0].state is State.WAITING


class TestFloods:
    def flood(self, records: int) -> World:
        world = World(SimKafka(1), LoopConfig(batch_records_max=50, poll_wait_seconds=1.0))
        for number in range(records):
            append(world.kafka, 0, None, b"garbage %d" % number, ())
        return world

    def test_the_worker_pauses_and_tries_a_few(self) -> None:
        world = self.flood(5_000)
        member = world.start_alone()
        with capture_logs() as logs:
            while world.clock.seconds < 60.0:
                world.turn(member)
        told = [one for one in logs if one["event"] == "dead_letter_flood"]
        assert told[0]["pause_seconds"] == PAUSE_FIRST_SECONDS
        assert len(world.tables.journal) <= FLOOD_RECORDS_MIN + 50 + 5 * PROBE_RECORDS
        assert member.worker._partitions[0].state is State.WAITING
        assert world.tables.positions[0].owner == member.claim.owner

    def test_it_goes_on_when_records_pass_again(self) -> None:
        world = self.flood(FLOOD_RECORDS_MIN)
        for number in range(40):
            record = Order(number).record(0)
            append(world.kafka, 0, record.key, record.value, record.headers)
        world.start_alone()
        world.drain(400)
        assert world.clock.seconds > PAUSE_FIRST_SECONDS
        assert len(world.tables.instances) == 40

    def test_a_few_among_many_are_no_flood(self) -> None:
        world = World(kafka_with_orders(100, garbage=90), LoopConfig(batch_records_max=50))
        world.start_alone()
        with capture_logs() as logs:
            world.drain(400)
        assert [one for one in logs if one["event"] == "dead_letter_flood"] == []

    def test_a_partition_that_is_taken_in_a_flood_waits_too(self) -> None:
        world = self.flood(FLOOD_RECORDS_MIN + 1)
        world.kafka.records[1], world.kafka.first_offsets[1] = [], 0
        member = world.start()
        world.kafka.give(0, member.consumer)
        while not member.worker._pauses.flood.is_on:
            world.turn(member)
        world.kafka.give(1, member.consumer)
        world.turn(member)
        world.turn(member)
        assert member.worker._partitions[1].state is State.WAITING


def test_a_database_that_is_behind_is_brought_forward_by_running_again() -> None:
    world = World(kafka_with_orders(6), LoopConfig(batch_records_max=6))
    member = world.start_alone()
    world.turn(member)
    world.turn(member)
    backup = world.tables.backup()
    world.drain()
    world.kill(member)
    seen = list(world.kafka.visible)
    world.tables.restore(backup)
    append(world.kafka, 0, None, b"garbage", ())
    second = world.start_alone()
    world.drain()
    assert second.worker._taker.run_again == {0: 1}
    assert len(world.tables.journal) == 25
    assert {one.status for one in world.tables.instances.values()} == {"done"}
    again = world.kafka.visible[len(seen) :]
    assert [one.value for one in again[:-1]] == [one.value for one in seen[-len(again) + 1 :]], "with equal ids"


def test_an_idle_worker_notices_that_its_database_was_restored() -> None:
    world = World(kafka_with_orders(6), LoopConfig(batch_records_max=6))
    member = world.start_alone()
    world.turn(member)
    world.turn(member)
    backup = world.tables.backup()
    world.drain()
    world.tables.restore(backup)
    for _ in range(100):
        world.turn(member)
    assert member.worker._taker.run_again == {0: 1}
    assert {one.status for one in world.tables.instances.values()} == {"done"}


def test_it_puts_the_offset_back_first_so_that_another_death_loses_nothing() -> None:
    world = World(kafka_with_orders(6), LoopConfig(batch_records_max=6))
    first = world.start_alone()
    world.turn(first)
    backup = world.tables.backup()
    world.drain()
    world.kill(first)
    world.tables.restore(backup)
    second = world.start_alone()
    second.faults.plan("publish", None, Killed())
    while second in world.members:
        world.turn(second)
    left = world.tables.positions[0]
    assert world.kafka.committed[0] < left.next_offset
    world.start_alone()
    world.drain()
    published = {one.value for one in world.kafka.visible}
    assert {one.value for row in world.tables.journal.values() for one in row.outputs} == published


def test_a_step_is_limited_and_the_limit_is_lifted() -> None:
    world = World(kafka_with_orders(2), LoopConfig(step_seconds_max=7.0))
    limits: list[float] = []
    world.clock.limit = limits.append  # type: ignore[method-assign, assignment]
    world.start_alone()
    world.drain()
    assert set(limits) == {7.0 * (1 + batch.LIMIT_SLACK), 0}
    assert limits[-1] == 0


def test_an_output_that_the_brokers_refuse_for_good_becomes_a_dead_letter_and_the_others_go_out() -> None:
    world = World(kafka_with_orders(3, steps=2), LoopConfig(batch_records_max=10))
    world.kafka.refused_topics["orc.external"] = "INVALID_RECORD"
    world.start_alone()
    world.drain()
    topics = [one.topic for one in world.kafka.visible]
    assert sorted(topics) == ["orc.default"] * 3 + [TOPICS.dead_letters] * 3
    dead = [dict(one.headers) for one in world.kafka.visible if one.topic == TOPICS.dead_letters]
    assert {one["dlq-topic"] for one in dead} == {b"orc.external"}
    assert {one["dlq-error-message"] for one in dead} == {b"INVALID_RECORD"}
