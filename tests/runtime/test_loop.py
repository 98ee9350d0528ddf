"""The real loop on servers in memory: each failure that the ports know, at each place where it can come."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.runtime.world import LIMITS, TOPICS, Member, World, append, kafka_with_orders
from tests.simulation.servers import Killed, SimKafka
from tests.workload import Order
from worker.core import step
from worker.core.outcomes import Outcome
from worker.core.progress import Telling
from worker.core.records import Record
from worker.core.step import Host, StepRequest
from worker.ports import (
    DatabaseRefused,
    DatabaseUnavailable,
    KafkaFatal,
    KafkaUnavailable,
    MembershipRefused,
    PositionMoved,
    PublicationUnknown,
    RevisionMismatch,
)
from worker.runtime import arrivals, batch
from worker.runtime.batch import Limits
from worker.runtime.intake import Batch
from worker.runtime.loop import LoopConfig
from worker.runtime.partitions import Partition, State
from worker.runtime.producing import REFUSALS_MAX
from worker.runtime.taking import DOUBTS_MAX

UNKNOWN = PublicationUnknown("unknown")
MOVED_ON = MembershipRefused("the group has moved on")
DATABASE_GONE = DatabaseUnavailable("gone")
KAFKA_GONE = KafkaUnavailable("gone")


def partition_of(member: Member, number: int = 0) -> Partition:
    return member.worker._partitions[number]


def taken(world: World) -> Member:
    """Start a worker alone and have it take everything, without reading yet."""
    member = world.start_alone()
    world.turn(member)
    assert {one.state for one in member.worker._partitions} == {State.SETTLED}
    return member


def turns(world: World, member: Member, count: int) -> None:
    for _ in range(count):
        world.turn(member)


class TestBatches:
    def test_orders_and_broken_records_go_through(self) -> None:
        world = World(kafka_with_orders(5, partitions=2, garbage=1))
        world.start_alone()
        world.drain()
        world.check()
        assert {one.status for one in world.tables.instances.values()} == {"done"}
        assert sum(output.topic == TOPICS.dead_letters for output in world.kafka.visible) == 4
        outcomes = [row.outcome for row in world.tables.journal.values()]
        assert (outcomes.count("advanced"), outcomes.count("dead_lettered")) == (20, 4)

    def test_a_first_record_is_applied_in_the_turn_that_polls_it(self) -> None:
        world = World(kafka_with_orders(1, steps=1))
        member = taken(world)
        world.turn(member)
        assert world.is_done
        assert partition_of(member).state is State.PUBLISHING
        world.turn(member)
        assert partition_of(member).published_offset == 1

    def test_the_position_says_what_was_published_before(self) -> None:
        world = World(kafka_with_orders(3, steps=2), LoopConfig(batch_records_max=3))
        member = taken(world)
        turns(world, member, 2)
        row = world.tables.positions[0]
        assert (row.next_offset, row.published_offset, row.owner) == (6, 3, member.claim.owner)

    def test_a_duplicate_within_a_batch_is_told(self) -> None:
        world = World(kafka_with_orders(1, steps=2))
        reply = world.kafka.records[0][1]
        append(world.kafka, 0, reply.key, reply.value, reply.headers)
        world.start_alone()
        world.drain()
        assert [row.outcome for row in world.tables.journal.values()] == ["advanced", "advanced", "duplicate"]
        assert len(world.kafka.visible) == 2

    def test_a_duplicate_of_an_earlier_batch_is_told(self) -> None:
        world = World(kafka_with_orders(1, steps=2), LoopConfig(batch_records_max=2))
        init, reply = world.kafka.records[0]
        for record in (reply, init):
            append(world.kafka, 0, record.key, record.value, record.headers)
        append(
            world.kafka, 0, reply.key, reply.value.replace(b"north", b"south") if reply.value else None, reply.headers
        )
        world.start_alone()
        world.drain()
        rows = list(world.tables.journal.values())
        assert [row.outcome for row in rows[2:]] == ["duplicate", "duplicate", "dead_lettered"]
        assert rows[-1].reason == "ID_CONFLICT"
        assert len(world.kafka.visible) == 3

    def test_records_that_were_applied_are_not_applied_again_whatever_the_client_gives(self) -> None:
        world = World(kafka_with_orders(2))
        member = world.start_alone()
        world.drain()
        member.consumer._at[0] = 0
        append(world.kafka, 0, None, b"garbage", ())
        world.drain()
        world.check()

    def test_gaps_between_offsets_are_no_matter(self) -> None:
        world = World(kafka_with_orders(4))
        world.kafka.records[0] = [replace(one, offset=one.offset * 3) for one in world.kafka.records[0]]
        world.start_alone()
        world.drain()
        world.check()

    @pytest.mark.parametrize("size", [1, 10_000, 10**9])
    def test_the_bound_in_bytes_is_kept_and_nothing_is_lost_run_twice_or_reordered(
        self, size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches = recorded_batches(monkeypatch)
        world = World(kafka_with_orders(10, partitions=3), LoopConfig(batch_records_max=11, batch_bytes_max=size))
        world.start_alone()
        world.drain()
        assert sum(map(len, batches)) == 40
        for one in batches:
            assert len(one) == 1 or sum(len(record.value or b"") for record in one) <= size
            assert len(one) <= 11
            assert one == sorted(one, key=lambda record: (record.partition, record.offset))
        if size == 10**9:
            assert max(map(len, batches)) == 11
        world.check()

    def test_records_held_back_are_dropped_when_their_partition_goes(self) -> None:
        world = World(kafka_with_orders(6, partitions=2), LoopConfig(batch_records_max=20, batch_bytes_max=1))
        first = taken(world)
        turns(world, first, 2)
        assert {record.partition for record in first.worker._intake._held} == {0, 1}
        second = world.start()
        world.kafka.give(1, second.consumer)
        turns(world, first, 1)
        assert {record.partition for record in first.worker._intake._held} == {0}
        world.drain()
        world.check()

    def test_records_held_back_are_read_again_after_a_failure(self) -> None:
        world = World(kafka_with_orders(6), LoopConfig(batch_records_max=20, batch_bytes_max=1))
        member = taken(world)
        member.faults.plan("commit", None, DATABASE_GONE, DATABASE_GONE)
        world.drain()
        world.check()


def recorded_batches(monkeypatch: pytest.MonkeyPatch) -> list[list[Record]]:
    """Note the records of each batch that is run."""
    batches: list[list[Record]] = []
    run = batch.Run.run

    def noted(self: batch.Run, decoded: Sequence[arrivals.Decoded]) -> None:
        run(self, decoded)
        batches.append(self.applied)

    monkeypatch.setattr(batch.Run, "run", noted)
    return batches


class TestPublication:
    @pytest.mark.parametrize("happened", [True, False])
    @pytest.mark.parametrize("failures", [1, 3])
    def test_unknown_is_found_out(self, happened: bool, failures: int) -> None:
        world = World(kafka_with_orders(3))
        member = taken(world)
        member.faults.plan("publish", *[UNKNOWN] * failures, happened=happened)
        turns(world, member, 2)
        assert partition_of(member).state is State.TAKING
        assert not member.consumer.reading
        assert bool(world.kafka.visible) is happened
        world.drain()
        world.check()
        assert not member.faults.pending or happened

    def test_a_commit_that_comes_late_is_ended_before_the_offset_is_read(self) -> None:
        world = World(kafka_with_orders(3))
        member = taken(world)
        member.faults.plan("publish", UNKNOWN)
        world.turn(member)
        world.kafka.commit(member.claim.transactional_id)
        world.drain()
        world.check()

    def test_unknown_holds_every_partition_until_the_producer_is_replaced(self) -> None:
        world = World(kafka_with_orders(2, partitions=2), LoopConfig(batch_records_max=1))
        member = taken(world)
        member.faults.plan("publish", UNKNOWN)
        member.faults.plan("replace", KAFKA_GONE)
        turns(world, member, 2)
        assert {one.state for one in member.worker._partitions} == {State.TAKING}
        world.drain()
        world.check()

    def test_what_a_dead_worker_left_is_published_from_the_journal(self) -> None:
        world = World(kafka_with_orders(3))
        first = taken(world)
        first.faults.plan("publish", Killed())
        world.turn(first)
        assert (len(world.tables.journal), world.kafka.visible) == (7, [])
        assert world.kafka.is_pending(0)
        second = world.start_alone()
        turns(world, second, 2)
        assert len(world.kafka.visible) == 7
        assert second.faults.calls.count("fence") == 1
        world.drain()
        world.check()

    def test_a_live_worker_that_was_fenced_goes_on_with_the_others(self) -> None:
        world = World(kafka_with_orders(4, partitions=2))
        member = taken(world)
        world.kafka.init_transactions(member.claim.transactional_id)
        world.drain()
        world.check()

    def test_what_its_topic_does_not_take_any_more_goes_to_the_dead_letters(self) -> None:
        world = World(kafka_with_orders(2, steps=2), LoopConfig(batch_records_max=2))
        member = taken(world)
        turns(world, member, 1)
        world.limits = Limits({**LIMITS.record_bytes_max, "orc.external": 300})
        member.faults.plan("publish", UNKNOWN)
        world.drain()
        dead_letters = [one for one in world.kafka.visible if one.topic == TOPICS.dead_letters]
        assert [dict(one.headers)["dlq-topic"] for one in dead_letters] == [b"orc.external"] * 2
        assert [one.topic for one in world.kafka.visible[:2]] == ["orc.default"] * 2
        assert member.publisher.batch_bytes_max == 300
        journalled = [one for row in world.tables.journal.values() for one in row.outputs]
        assert [one.value for one in journalled] == [one.value for one in world.kafka.visible], "which stays as it was"

    def test_a_topic_is_given_up_when_two_looks_in_a_row_missed_it(self) -> None:
        world = World(kafka_with_orders(2, steps=2), LoopConfig(batch_records_max=2))
        member = taken(world)
        turns(world, member, 1)
        world.limits = Limits({name: size for name, size in LIMITS.record_bytes_max.items() if name != "orc.external"})
        member.faults.plan("publish", UNKNOWN, UNKNOWN)
        while member.faults.pending:
            turns(world, member, 1)
        assert "orc.external" in member.worker._limits.record_bytes_max, "missed once"
        world.drain()
        assert "orc.external" not in member.worker._limits.record_bytes_max
        assert [one.topic for one in world.kafka.visible[2:]] == [TOPICS.dead_letters] * 2

    def test_a_committed_offset_that_is_told_late_is_waited_for(self) -> None:
        world = World(kafka_with_orders(2, partitions=1), config=LoopConfig(batch_records_max=2))
        first = world.start_alone()
        world.drain()
        committed = dict(world.kafka.committed)
        world.kill(first)
        world.kafka.committed.clear()
        second = world.start_alone()
        world.turn(second)
        world.turn(second)
        world.kafka.committed.update(committed)
        world.clock.advance(60.0)
        turns(world, second, 5)
        assert {one.state for one in second.worker._partitions} == {State.SETTLED}
        world.check()

    def test_committed_offsets_that_are_gone_for_good_cost_many_partitions_no_more_tries_than_one(self) -> None:
        world = World(kafka_with_orders(16, partitions=4), LoopConfig(batch_records_max=8))
        first = taken(world)
        turns(world, first, 4)
        first.faults.plan("publish", Killed())
        world.turn(first)
        world.kafka.committed.clear()
        assert [one.published_offset > 0 for one in world.tables.positions.values()] == [True] * 4
        second = world.start_alone()
        while not second.worker._partitions or {one.state for one in second.worker._partitions} == {State.TAKING}:
            world.turn(second)
        assert second.faults.calls.count("standings") == DOUBTS_MAX + 1
        assert {one.state for one in second.worker._partitions} == {State.SETTLED}


class TestPublicationOnTheLoop:
    """Publications that need the consumer end where they are begun."""

    CONFIG = LoopConfig(batch_records_max=2, publishes_beside=False)

    def test_nothing_of_it_waits_for_another_thread(self) -> None:
        world = World(kafka_with_orders(2, steps=1), self.CONFIG)
        member = taken(world)
        member.background.stuck = True
        world.turn(member)
        assert len(world.kafka.visible) == 2
        world.kafka.give(0, None)
        world.turn(member)
        row = world.tables.positions[0]
        assert (row.owner, row.published_offset) == (None, row.next_offset)

    @pytest.mark.parametrize("happened", [True, False])
    def test_what_is_unknown_is_found_out(self, happened: bool) -> None:
        world = World(kafka_with_orders(3), self.CONFIG)
        member = taken(world)
        member.faults.plan("publish", UNKNOWN, happened=happened)
        turns(world, member, 2)
        assert partition_of(member).state is State.TAKING
        world.drain()
        world.check()


class TestDatabase:
    @pytest.mark.parametrize("call", ["positions", "insert_positions", "lock", "commit"])
    @pytest.mark.parametrize("happened", [True, False])
    def test_unavailable(self, call: str, happened: bool) -> None:
        world = World(kafka_with_orders(3))
        member = world.start_alone()
        member.faults.plan(call, DATABASE_GONE, happened=happened and call != "lock")
        world.drain()
        world.check()
        assert not member.faults.pending

    @pytest.mark.parametrize("call", ["claim", "unpublished"])
    @pytest.mark.parametrize("happened", [True, False])
    def test_unavailable_while_a_dead_worker_s_partition_is_taken(self, call: str, happened: bool) -> None:
        world = World(kafka_with_orders(3))
        first = taken(world)
        first.faults.plan("publish", Killed())
        world.turn(first)
        second = world.start_alone()
        second.faults.plan(call, DATABASE_GONE, DATABASE_GONE, happened=happened)
        world.drain()
        world.check()
        assert not second.faults.pending

    def test_a_commit_that_was_applied_is_published_and_not_run_again(self) -> None:
        world = World(kafka_with_orders(3))
        member = taken(world)
        member.faults.plan("commit", DATABASE_GONE, happened=True)
        world.turn(member)
        assert (world.tables.positions[0].next_offset, world.kafka.visible) == (7, [])
        assert partition_of(member).state is State.TAKING
        world.clock.advance(1.0)
        world.turn(member)
        assert len(world.kafka.visible) == 7
        world.drain()
        world.check()

    def test_a_commit_that_was_not_applied_is_run_again(self) -> None:
        world = World(kafka_with_orders(3))
        member = taken(world)
        member.faults.plan("commit", DATABASE_GONE)
        world.turn(member)
        assert (world.tables.positions[0].next_offset, world.tables.journal) == (0, {})
        world.drain()
        world.check()

    def test_a_position_that_moved_is_taken_again_once_the_callbacks_were_served(self) -> None:
        world = World(kafka_with_orders(4, partitions=2))
        first = taken(world)
        turns(world, first, 1)
        world.kafka.expel(first.consumer)
        second = world.start_alone()
        turns(world, second, 2)
        before = dict(world.tables.positions)
        # The zombie had records in hand: it must not touch what is another's.
        first.worker._work(Batch(world.kafka.records[0][4:5]))
        assert world.tables.positions == before
        assert partition_of(first).state is State.TAKING
        turns(world, first, 3)
        assert len(first.worker._partitions) == 0
        assert world.tables.positions[0].owner == second.claim.owner
        world.drain()
        world.check()

    def test_a_moved_position_holds_its_own_partition_only(self) -> None:
        world = World(kafka_with_orders(2, partitions=2, steps=1))
        member = taken(world)
        member.faults.plan("lock", PositionMoved("moved"))
        for partition in (0, 1):
            world.kafka.records[partition][1:] = []
        world.kafka.records[1] = []
        world.turn(member)
        assert [partition_of(member, number).state for number in (0, 1)] == [State.TAKING, State.SETTLED]

    def test_a_revision_mismatch_stops_the_worker_and_applies_nothing(self) -> None:
        world = World(kafka_with_orders(3))
        member = taken(world)
        member.faults.plan("commit", RevisionMismatch("alarm"))
        with pytest.raises(RevisionMismatch):
            member.worker.run()
        assert world.tables.journal == {}
        assert member.database.closed


class TestRebalances:
    def arrange_settled(self, world: World, member: Member) -> None:
        turns(world, member, 1)
        member.worker._settle()

    def arrange_publishing(self, world: World, member: Member) -> None:
        member.background.stuck = True
        turns(world, member, 1)

    def arrange_taking(self, world: World, member: Member) -> None:
        member.faults.plan("publish", UNKNOWN)
        turns(world, member, 2)

    def arrange_refused(self, world: World, member: Member) -> None:
        world.kafka.expire(0, 99)
        turns(world, member, 3)

    def arrange_waiting(self, world: World, member: Member) -> None:
        member.worker._pauses._hold([partition_of(member)], 1e9)

    @pytest.mark.parametrize(
        ("state", "arrange", "released_at"),
        [
            (State.SETTLED, arrange_settled, 7),
            (State.PUBLISHING, arrange_publishing, None),
            (State.TAKING, arrange_taking, None),
            (State.REFUSED, arrange_refused, 0),
            (State.WAITING, arrange_waiting, 0),
        ],
    )
    @pytest.mark.parametrize("way", ["revoked", "lost"])
    def test_only_what_is_settled_and_revoked_is_released(
        self,
        state: State,
        arrange: Callable[["TestRebalances", World, Member], None],
        released_at: int | None,
        way: str,
    ) -> None:
        world = World(kafka_with_orders(3))
        member = taken(world)
        arrange(self, world, member)
        assert partition_of(member).state is state
        if way == "revoked":
            world.kafka.give(0, None)
        else:
            world.kafka.expel(member.consumer)
        member.worker._poll(1)
        assert len(member.worker._partitions) == 0
        row = world.tables.positions[0]
        if way == "lost" or released_at is None:
            assert row.owner == member.claim.owner
            assert row.published_offset == 0
        else:
            assert row.owner is None
            assert row.published_offset == released_at

    def test_a_revoke_waits_for_the_publication_under_way(self) -> None:
        world = World(kafka_with_orders(3))
        member = taken(world)
        member.background.held = True
        turns(world, member, 1)
        assert partition_of(member).state is State.PUBLISHING
        member.worker.revoked([0])
        row = world.tables.positions[0]
        assert (row.owner, row.next_offset, row.published_offset) == (None, 7, 7)

    @pytest.mark.parametrize("way", ["revoked", "lost"])
    def test_a_partition_that_comes_back_goes_on(self, way: str) -> None:
        world = World(kafka_with_orders(4, partitions=2))
        member = taken(world)
        turns(world, member, 1)
        if way == "revoked":
            world.kafka.give(0, None)
        else:
            world.kafka.expel(member.consumer)
        turns(world, member, 2)
        for partition in (0, 1):
            world.kafka.give(partition, member.consumer)
        world.drain()
        world.check()

    def test_a_clean_release_needs_no_fencing(self) -> None:
        world = World(kafka_with_orders(4))
        first = taken(world)
        turns(world, first, 1)
        second = world.start()
        world.kafka.give(0, second.consumer)
        world.drain()
        world.check()
        assert "fence" not in second.faults.calls

    def test_a_release_that_fails_leaves_it_to_the_next_owner(self) -> None:
        world = World(kafka_with_orders(4))
        first = taken(world)
        turns(world, first, 1)
        first.faults.plan("release", DATABASE_GONE)
        second = world.start()
        world.kafka.give(0, second.consumer)
        world.drain()
        world.check()
        assert "fence" in second.faults.calls

    def test_a_new_partition_is_taken_without_waiting_for_the_back_off_of_others(self) -> None:
        world = World(kafka_with_orders(2, partitions=2))
        member = world.start()
        world.kafka.give(0, member.consumer)
        member.faults.plan("positions", *[DATABASE_GONE] * 6)
        turns(world, member, 100)
        assert not member.faults.pending
        member.faults.plan("lock", DATABASE_GONE)
        append(world.kafka, 0, None, b"x", ())
        turns(world, member, 1)
        world.kafka.give(1, member.consumer)
        turns(world, member, 1)
        assert partition_of(member, 1).state is State.SETTLED


class TestMovingOn:
    """The group goes on to another generation while a publication is under way."""

    def test_what_was_refused_is_sent_again_by_the_same_producer(self) -> None:
        world = World(kafka_with_orders(6, partitions=2))
        first = taken(world)
        first.background.held = True
        world.turn(first)
        world.start()
        first.background.held = False
        world.turn(first)
        assert first.faults.calls.count("abort") == 1
        assert {one.state for one in first.worker._partitions} <= {State.SETTLED, State.PUBLISHING}
        world.drain()
        assert first.faults.calls.count("replace") == 1
        assert "unpublished" not in first.faults.calls
        world.check()

    def test_it_is_sent_before_a_partition_is_given_back(self) -> None:
        world = World(kafka_with_orders(6, partitions=2))
        first = taken(world)
        first.background.held = True
        world.turn(first)
        second = world.start()
        world.kafka.give(1, second.consumer)
        world.turn(first)
        row = world.tables.positions[1]
        assert (row.owner, row.published_offset) == (None, row.next_offset)
        first.background.held = False
        world.drain()
        assert first.faults.calls.count("abort") == 1
        assert "fence" not in second.faults.calls
        world.check()

    def test_what_is_another_s_by_then_is_left_to_it(self) -> None:
        world = World(kafka_with_orders(6, partitions=2), LoopConfig(batch_records_max=500))
        first = taken(world)
        first.background.stuck = True
        world.turn(first)
        second = world.start()
        world.kafka.give(1, second.consumer)
        # Given back although the publication does not end.
        world.turn(first)
        assert world.tables.positions[1].owner == first.claim.owner
        first.background.stuck = False
        first.worker._settle()
        assert world.kafka.committed.keys() == {0}
        assert first.faults.calls.count("replace") == 1
        world.drain()
        world.check()

    def test_what_is_being_taken_again_is_published_from_the_journal(self) -> None:
        world = World(kafka_with_orders(6, partitions=2), LoopConfig(batch_records_max=500))
        first = taken(world)
        first.background.held = True
        world.turn(first)
        first.faults.plan("send_offsets", MOVED_ON)
        first.worker._unsettle([partition_of(first, 1)], DATABASE_GONE)
        first.background.held = False
        first.worker._settle()
        assert world.kafka.committed.keys() == {0}
        world.clock.advance(1)
        world.drain()
        assert (first.faults.calls.count("replace"), first.faults.calls.count("unpublished")) == (1, 1)
        world.check()

    def test_so_is_what_a_dead_worker_left(self) -> None:
        world = World(kafka_with_orders(3))
        first = taken(world)
        first.faults.plan("send_offsets", Killed())
        world.turn(first)
        second = world.start_alone()
        second.faults.plan("send_offsets", MOVED_ON)
        world.drain()
        assert (second.faults.calls.count("abort"), second.faults.calls.count("replace")) == (1, 1)
        world.check()

    @pytest.mark.parametrize("happened", [True, False])
    def test_an_abort_of_unknown_fate_costs_the_producer(self, happened: bool) -> None:
        world = World(kafka_with_orders(3))
        first = taken(world)
        first.faults.plan("send_offsets", MOVED_ON)
        first.faults.plan("abort", UNKNOWN, happened=happened)
        world.turn(first)
        world.turn(first)
        assert world.kafka.visible == []
        world.clock.advance(1)
        world.drain()
        assert first.faults.calls.count("replace") == 2
        world.check()

    def test_a_membership_that_is_refused_again_and_again_costs_the_producer(self) -> None:
        world = World(kafka_with_orders(3))
        first = taken(world)
        first.faults.plan("send_offsets", *[MOVED_ON] * REFUSALS_MAX)
        turns(world, first, 2)
        assert {one.state for one in first.worker._partitions} == {State.TAKING}
        world.clock.advance(1)
        world.drain()
        assert (first.faults.calls.count("abort"), first.faults.calls.count("replace")) == (REFUSALS_MAX, 2)
        world.check()


class TestRefusals:
    def test_expired_records_refuse_their_partition_and_not_the_others(self) -> None:
        world = World(kafka_with_orders(6, partitions=2))
        member = taken(world)
        turns(world, member, 1)
        world.kafka.expire(0, 99)
        for _ in range(40):
            world.turn(member)
        assert partition_of(member, 0).state is State.REFUSED
        assert member.consumer.reading == {1}
        assert world.kafka.committed[1] == world.kafka.end(1)
        assert world.tables.positions[0].next_offset < 99

    def test_a_refused_partition_is_not_asked_about_again(self) -> None:
        world = World(SimKafka(2))
        world.kafka.committed[0] = 5
        member = world.start_alone()
        turns(world, member, 1)
        assert partition_of(member, 0).state is State.REFUSED
        asked = len(member.faults.calls)
        turns(world, member, 5)
        assert set(member.faults.calls[asked:]) == {"poll", "topic_id"}

    def test_a_replaced_topic_is_refused(self) -> None:
        world = World(kafka_with_orders(2))
        first = taken(world)
        world.kill(first)
        world.kafka.topic_id = "topic-2"
        second = world.start_alone()
        turns(world, second, 2)
        assert partition_of(second).state is State.REFUSED
        assert world.tables.journal == {}

    def test_a_topic_that_is_replaced_under_a_running_worker_is_refused(self) -> None:
        # The client does not tell: it reads on in the new topic, behind the offsets that it had read of the old one.
        world = World(kafka_with_orders(2, partitions=2), LoopConfig(topic_seconds=1.0))
        member = world.start_alone()
        world.drain()
        world.kafka.topic_id = "topic-2"
        turns(world, member, 40)
        assert {one.state for one in member.worker._partitions} == {State.REFUSED}
        assert member.consumer.reading == set()


class TestBackOff:
    CONFIG = LoopConfig(retry_first_seconds=1.0, retry_most_seconds=10.0, poll_wait_seconds=0.25)

    def attempts(self, world: World, member: Member, call: str, count: int) -> list[float]:
        """Turn until a call was made so often; give the seconds between the calls."""
        times: list[float] = []
        while len(times) < count:
            before = member.faults.calls.count(call)
            at = world.clock.seconds
            world.turn(member)
            times += [at] * (member.faults.calls.count(call) - before)
        return [later - earlier for earlier, later in pairwise(times)]

    def test_grows_and_is_bounded_while_polling_goes_on(self) -> None:
        world = World(kafka_with_orders(2), self.CONFIG)
        member = world.start_alone()
        member.faults.plan("positions", *[DATABASE_GONE] * 30)
        waits = self.attempts(world, member, "positions", 8)
        assert waits == [1, 2, 4, 8, 10, 10, 10]
        assert member.faults.calls.count("poll") >= sum(waits) / self.CONFIG.poll_wait_seconds

    def test_grows_too_when_taking_works_and_batches_do_not(self) -> None:
        world = World(kafka_with_orders(2), self.CONFIG)
        member = taken(world)
        member.faults.plan("lock", *[DATABASE_GONE] * 30)
        waits = self.attempts(world, member, "lock", 7)
        assert waits == sorted(waits)
        assert waits[-1] >= 10

    def test_begins_anew_after_a_batch_went_through(self) -> None:
        world = World(kafka_with_orders(2), self.CONFIG)
        member = taken(world)
        member.faults.plan("lock", *[DATABASE_GONE] * 6)
        world.drain()
        append(world.kafka, 0, None, b"x", ())
        member.faults.plan("lock", DATABASE_GONE)
        assert self.attempts(world, member, "lock", 2) < [2.0]

    def test_kafka_that_is_gone_is_polled_again(self) -> None:
        world = World(kafka_with_orders(2))
        member = world.start_alone()
        member.faults.plan("poll", KAFKA_GONE, None, KAFKA_GONE, None, KAFKA_GONE)
        world.drain()
        world.check()

    @pytest.mark.parametrize("call", ["replace", "standings", "go_on"])
    @pytest.mark.parametrize("happened", [True, False])
    def test_kafka_that_is_gone_while_taking(self, call: str, happened: bool) -> None:
        world = World(kafka_with_orders(4, partitions=2))
        member = world.start_alone()
        member.faults.plan(call, KAFKA_GONE, KAFKA_GONE, happened=happened)
        world.drain()
        world.check()
        assert not member.faults.pending


class TestStarting:
    def test_stop_ends_after_the_turn_and_gives_everything_back(self) -> None:
        world = World(kafka_with_orders(2))
        member = taken(world)
        member.worker.stop()
        member.worker.run()
        assert world.tables.positions[0].owner is None
        assert member.database.closed
        assert world.kafka.owners == {}

    @pytest.mark.parametrize("call", ["poll", "lock", "commit", "publish"])
    def test_what_can_not_be_gone_on_with_releases_nothing(self, call: str) -> None:
        world = World(kafka_with_orders(2))
        member = taken(world)
        member.faults.plan(call, KafkaFatal("fatal"), happened=call in {"commit", "publish"})
        with pytest.raises(KafkaFatal):
            member.worker.run()
        assert world.tables.positions[0].owner == member.claim.owner
        world.members.remove(member)
        world.start_alone()
        world.drain()
        world.check()

    def test_housekeeping_comes_at_the_start_and_once_in_a_while(self) -> None:
        calls: list[float] = []
        config = LoopConfig(housekeeping_seconds=60.0, poll_wait_seconds=10.0)
        world = World(SimKafka(1), config)
        world.housekeep = lambda: calls.append(world.clock.seconds)
        turns(world, world.start_alone(), 20)
        assert calls == [0.0, 60.0, 120.0, 180.0]

    @pytest.mark.parametrize("error", [DATABASE_GONE, DatabaseRefused("a right is missing"), RuntimeError("of ours")])
    def test_housekeeping_that_fails_is_harmless(self, error: Exception) -> None:
        def fail() -> None:
            raise error

        world = World(kafka_with_orders(2), LoopConfig(housekeeping_seconds=0.0), fail)
        world.start_alone()
        world.drain()
        world.check()

    def test_housekeeping_that_takes_long_stops_nothing_and_is_not_begun_twice(self) -> None:
        calls: list[float] = []
        world = World(kafka_with_orders(2), LoopConfig(housekeeping_seconds=10.0, poll_wait_seconds=10.0))
        world.housekeep = lambda: calls.append(world.clock.seconds)
        member = taken(world)
        world.drain()
        assert calls[0] == 0.0
        member.background.held = True
        before, began = len(calls), world.clock.seconds
        turns(world, member, 20)
        assert world.clock.seconds - began > 100.0
        assert len(calls) == before
        member.background.held = False
        member.background.run()
        assert len(calls) == before + 1
        turns(world, member, 3)
        assert len(calls) > before + 1


class TestFaultsWithin:
    def test_a_fault_between_reading_and_writing_leaves_no_transaction_open(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(self: batch.Run, decoded: Sequence[arrivals.Decoded]) -> None:
            raise RuntimeError("of ours")

        world = World(kafka_with_orders(1))
        member = taken(world)
        monkeypatch.setattr(batch.Run, "run", broken)
        with pytest.raises(RuntimeError, match="of ours"):
            member.worker.turn()
        assert not member.database.in_transaction
        assert world.tables.journal == {}

    @pytest.mark.parametrize(
        ("place", "fault"),
        [("run_step", RecursionError), ("run_step", KeyboardInterrupt), ("publishable", RecursionError)],
    )
    def test_a_fault_of_ours_is_a_dead_letter_and_the_partition_goes_on(
        self, place: str, fault: type[BaseException], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = Order(1).subject

        if place == "run_step":
            run_step = step.run_step

            def failing(host: Host, request: StepRequest, tell: Telling | None) -> Outcome:
                if request.event.subject == broken:
                    raise fault("of ours")
                return run_step(host, request, tell)

            monkeypatch.setattr(batch, "run_step", failing)
        else:
            publishable = batch.Run._publishable

            def unpublishable(self: batch.Run, request: StepRequest, outcome: Outcome) -> object:
                if request.event.subject == broken:
                    raise fault("of ours")
                return publishable(self, request, outcome)

            monkeypatch.setattr(batch.Run, "_publishable", unpublishable)
        world = World(kafka_with_orders(3))
        world.start_alone()
        world.drain()
        rows = [row for row in world.tables.journal.values() if row.outcome == "dead_lettered"]
        assert [row.reason for row in rows] == ["STEP_FAULT"] * 4
        (first, *_) = [output for output in world.kafka.visible if output.topic == TOPICS.dead_letters]
        assert first.value == Order(1).record(0).value
        assert dict(first.headers)["dlq-error-class"] == fault.__name__.encode()
        assert len(world.tables.instances) == 2
        assert {one.status for one in world.tables.instances.values()} == {"done"}
