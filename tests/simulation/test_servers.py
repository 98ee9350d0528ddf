"""The simulated servers, called directly: what the simulation's verdicts rest on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.simulation.servers import (
    EMPTY,
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
from worker.core.records import Output, Record
from worker.ports import (
    BatchRefused,
    BatchTooLarge,
    Claim,
    Consumer,
    Database,
    DatabaseRefused,
    DatabaseUnavailable,
    JournalRow,
    KafkaUnavailable,
    MembershipRefused,
    OffsetUnavailable,
    Position,
    PositionMoved,
    Positions,
    PublicationUnknown,
    Publisher,
    RevisionMismatch,
    Wanted,
    Writes,
)

GONE = DatabaseUnavailable("gone")
UNKNOWN = PublicationUnknown("unknown")


@dataclass
class Told:
    """What a consumer told of its partitions."""

    events: list[tuple[str, list[int]]] = field(default_factory=list)

    def assigned(self, partitions: Sequence[int]) -> None:
        self.events.append(("assigned", list(partitions)))

    def revoked(self, partitions: Sequence[int]) -> None:
        self.events.append(("revoked", list(partitions)))

    def lost(self, partitions: Sequence[int]) -> None:
        self.events.append(("lost", list(partitions)))


def output(text: str, topic: str = "orc.default") -> Output:
    return Output(topic, b"key", text.encode(), ())


def row(offset: int, *outputs: Output) -> JournalRow:
    return JournalRow(Record(0, offset, 1, b"k", b"v", ()), "advanced", 1, outputs=tuple(outputs))


def texts(kafka: SimKafka) -> list[bytes | None]:
    return [one.value for one in kafka.visible]


class TestPostgres:
    def database(self, server: SimPostgres, owner: str = "owner-1") -> SimDatabase:
        database = SimDatabase(server, owner, Faults())
        _ports: tuple[Positions, Database] = (database, database)
        return database

    def begun(self) -> tuple[SimPostgres, SimDatabase]:
        server = SimPostgres()
        database = self.database(server)
        database.insert_positions([Position(0, "t", 0, 0, "owner-1", "tx-1")])
        return server, database

    def test_a_batch_is_there_once_it_is_committed(self) -> None:
        server, database = self.begun()
        database.lock("owner-1", Wanted({0: 0}, [b"1" * 32], [1]))
        database.write(Writes([], [], [row(0, output("a"))], {0: 1}, {0: 0}))
        assert (server.journal, server.positions[0].next_offset) == ({}, 0)
        database.commit()
        assert (list(server.journal), server.positions[0].next_offset) == ([(0, 0)], 1)
        assert [one.outputs for one in database.unpublished(0, 0, 9)] == [(output("a"),)]

    @pytest.mark.parametrize("happened", [True, False])
    def test_a_commit_of_unknown_fate_was_done_or_not(self, happened: bool) -> None:
        server = SimPostgres({0: Position(0, "t", 0, 0, "owner-1", "tx-1")})
        faults = Faults()
        database = SimDatabase(server, "owner-1", faults)
        database.lock("owner-1", Wanted({0: 0}, [], []))
        database.write(Writes([], [], [row(0)], {0: 1}, {0: 0}))
        faults.plan("commit", GONE, happened=happened)
        with pytest.raises(DatabaseUnavailable):
            database.commit()
        assert len(server.journal) == happened
        assert not database.in_transaction
        assert database.positions([0])[0].next_offset == happened

    def test_locks_are_held_until_the_transaction_ends(self) -> None:
        server, database = self.begun()
        server.positions[1] = Position(1, "t", 0, 0, "owner-2", "tx-2")
        other = self.database(server, "owner-2")
        database.lock("owner-1", Wanted({0: 0}, [b"1" * 32], []))
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            other.lock("owner-2", Wanted({1: 0}, [b"1" * 32], []))
        other.lock("owner-2", Wanted({1: 0}, [b"2" * 32], []))
        database.roll_back()
        other.roll_back()
        other.lock("owner-2", Wanted({1: 0}, [b"1" * 32], []))

    def test_a_claim_ends_the_session_that_holds_the_row_and_counts_a_death(self) -> None:
        server, database = self.begun()
        other = self.database(server, "owner-2")
        found = list(other.positions([0]).values())
        database.lock("owner-1", Wanted({0: 0}, [], []))
        other.claim(found, Claim("owner-2", "tx-2"))
        assert server.positions[0] == Position(0, "t", 0, 0, "owner-2", "tx-2", deaths=1, claims=1)
        with pytest.raises(DatabaseUnavailable):
            database.commit()
        with pytest.raises(PositionMoved):
            database.claim(found, Claim("owner-1", "tx-1"))
        with pytest.raises(PositionMoved):
            database.lock("owner-1", Wanted({0: 0}, [], []))

    def test_a_row_that_was_given_back_counts_no_death(self) -> None:
        server, database = self.begun()
        database.release("owner-2", {0: 9})
        assert server.positions[0].owner == "owner-1"
        database.release("owner-1", {0: 0})
        assert server.positions[0] == Position(0, "t", 0, 0, None, None)
        database.claim(list(database.positions([0]).values()), Claim("owner-2", "tx-2"))
        assert server.positions[0].deaths == 0

    def test_attempts_are_counted_until_the_partition_moves(self) -> None:
        server, database = self.begun()
        assert [database.note_attempt("owner-1", 0, 0) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(PositionMoved):
            database.note_attempt("owner-1", 0, 1)
        server.positions[0] = replace(server.positions[0], deaths=2)
        database.lock("owner-1", Wanted({0: 0}, [], []))
        database.write(Writes([], [], [row(0)], {0: 1}, {0: 0}))
        database.commit()
        assert (server.positions[0].attempts, server.positions[0].deaths) == (0, 0)

    def test_what_a_batch_holds_may_be_refused(self) -> None:
        server, database = self.begun()
        server.refuses = lambda one: "bad" if one.record.offset == 1 else None
        database.lock("owner-1", Wanted({0: 0}, [], []))
        with pytest.raises(BatchRefused):
            database.write(Writes([], [], [row(0), row(1)], {0: 2}, {0: 0}))
        server.locks_max = 1
        with pytest.raises(BatchTooLarge):
            database.lock("owner-1", Wanted({0: 0}, [b"1" * 32, b"2" * 32], []))
        database.lock("owner-1", Wanted({0: 0}, [], []))
        database.write(Writes([], [], [row(0)], {0: 1}, {0: 0}))
        database.commit()
        database.lock("owner-1", Wanted({0: 1}, [], []))
        with pytest.raises(DatabaseRefused, match="duplicate"):
            database.write(Writes([], [], [row(0)], {0: 2}, {0: 0}))

    def test_a_crash_drops_what_is_open_and_a_restore_goes_back(self) -> None:
        server, database = self.begun()
        backup = server.backup()
        database.lock("owner-1", Wanted({0: 0}, [], []))
        database.write(Writes([], [], [row(0)], {0: 1}, {0: 0}))
        server.crash()
        with pytest.raises(DatabaseUnavailable):
            database.commit()
        assert server.journal == {}
        database.lock("owner-1", Wanted({0: 0}, [], []))
        database.write(Writes([], [], [row(0)], {0: 1}, {0: 0}))
        database.commit()
        server.restore(backup)
        assert (server.journal, server.positions[0].next_offset) == ({}, 0)

    def test_a_version_that_another_brought_later_is_coming(self) -> None:
        server, database = self.begun()
        server.register("owner-1", [("a", "1.0.0")])
        assert not database.is_coming("a", "1.0.0")
        server.register("owner-2", [("a", "1.0.0"), ("a", "2.0.0")])
        assert database.is_coming("a", "2.0.0")
        assert not self.database(server, "owner-2").is_coming("a", "2.0.0")

    def test_an_instance_has_the_revision_that_is_expected(self) -> None:
        _, database = self.begun()
        database.lock("owner-1", Wanted({0: 0}, [], []))
        with pytest.raises(RevisionMismatch):
            database.write(Writes([], [(b"d", None, 3)], [], {0: 1}, {0: 0}))  # type: ignore[list-item]
        assert not database.in_transaction


class TestTransactions:
    def publisher(self, kafka: SimKafka, faults: Faults | None = None, name: str = "tx-1") -> SimPublisher:
        publisher = SimPublisher(kafka, name, faults or Faults())
        _port: Publisher = publisher
        publisher.replace(1_000)
        return publisher

    def publish(self, publisher: SimPublisher, *outputs: str, offset: int = 1) -> None:
        publisher.send([output(one) for one in outputs])
        publisher.send_offsets({0: offset}, EMPTY)
        publisher.commit()

    def test_outputs_and_offsets_are_there_together(self) -> None:
        kafka = SimKafka()
        publisher = self.publisher(kafka)
        publisher.send([output("a")])
        assert (texts(kafka), kafka.is_pending(0)) == ([], False)
        publisher.send_offsets({0: 1}, EMPTY)
        assert kafka.is_pending(0)
        publisher.commit()
        assert (texts(kafka), kafka.committed) == ([b"a"], {0: 1})
        self.publish(publisher, offset=2)
        assert kafka.committed == {0: 2}

    def test_a_commit_of_unknown_fate_ends_with_the_next_producer(self) -> None:
        kafka, faults = SimKafka(), Faults()
        publisher = self.publisher(kafka, faults)
        faults.plan("publish", UNKNOWN)
        with pytest.raises(PublicationUnknown):
            self.publish(publisher, "a")
        assert kafka.is_pending(0)
        with pytest.raises(PublicationUnknown):
            publisher.send([])
        publisher.replace(1_000)
        assert not kafka.open
        self.publish(publisher, "b")
        assert texts(kafka) == [b"b"]

    @pytest.mark.parametrize("happened", [True, False])
    def test_an_abort_of_unknown_fate_leaves_no_producer(self, happened: bool) -> None:
        kafka, faults = SimKafka(), Faults()
        publisher = self.publisher(kafka, faults)
        publisher.send([output("a")])
        faults.plan("abort", UNKNOWN, happened=happened)
        with pytest.raises(PublicationUnknown):
            publisher.abort()
        assert bool(kafka.open) is not happened
        with pytest.raises(PublicationUnknown):
            publisher.send([])

    def test_a_late_commit_hits_whatever_is_open_under_its_epoch(self) -> None:
        kafka, faults = SimKafka(), Faults()
        publisher = self.publisher(kafka, faults)
        faults.plan("publish", UNKNOWN)
        with pytest.raises(PublicationUnknown):
            self.publish(publisher, "a")
        kafka.commit("tx-1")
        assert (texts(kafka), kafka.committed) == ([b"a"], {0: 1})

    def test_a_fenced_producer_changes_nothing_more(self) -> None:
        kafka = SimKafka()
        first, second = self.publisher(kafka), self.publisher(kafka, name="tx-2")
        first.send([output("a")])
        second.fence("tx-1")
        with pytest.raises(PublicationUnknown, match="FENCED"):
            first.send_offsets({0: 1}, EMPTY)
        assert not kafka.open

    def test_readers_wait_for_markers_and_so_do_offsets_and_the_next_transaction(self) -> None:
        held: list[object] = []
        kafka = SimKafka(markers=held.append)
        publisher, faults = self.publisher(kafka), Faults()
        self.publish(publisher, "a")
        assert texts(kafka) == []
        consumer = SimConsumer(kafka, faults)
        with pytest.raises(KafkaUnavailable, match="UNSTABLE"):
            consumer.standings([0])
        publisher.send([output("b")])
        with pytest.raises(PublicationUnknown, match="CONCURRENT"):
            publisher.send_offsets({0: 2}, EMPTY)
        for write in held:
            write()  # type: ignore[operator]
        assert texts(kafka) == [b"a"]
        assert consumer.standings([0])[0].committed == 1

    def test_an_open_transaction_hides_what_comes_behind_it(self) -> None:
        kafka = SimKafka()
        first, second = self.publisher(kafka), self.publisher(kafka, name="tx-2")
        first.send([output("a"), output("a", "orc.other")])
        self.publish(second, "b")
        assert texts(kafka) == []
        kafka.time_out("tx-1")
        assert texts(kafka) == [b"b"]

    def test_outputs_to_the_input_topic_are_its_records(self) -> None:
        kafka = SimKafka()
        publisher = self.publisher(kafka)
        kafka.append(0, b"k", b"before")
        publisher.send([output("a", "orc.input")])
        kafka.append(0, b"k", b"behind")
        assert [one.value for one in kafka.readable(0, 0)] == [b"before"]
        publisher.send_offsets({0: 1}, EMPTY)
        publisher.commit()
        assert [(one.offset, one.value) for one in kafka.readable(0, 0)] == [(0, b"before"), (1, b"a"), (2, b"behind")]
        assert kafka.append(0, b"k", b"last").offset == 4, "the marker took an offset"

    def test_what_brokers_refuse_for_good_is_named(self) -> None:
        kafka = SimKafka(refused_topics={"orc.other": "denied"})
        publisher = self.publisher(kafka)
        publisher.send([output("a"), output("b", "orc.other")])
        publisher.send_offsets({0: 1}, EMPTY)
        with pytest.raises(PublicationUnknown) as raised:
            publisher.commit()
        assert raised.value.refused == {output("b", "orc.other"): "denied"}


class TestGroup:
    def member(self, kafka: SimKafka) -> tuple[SimConsumer, Told]:
        clock = FakeClock()
        consumer, told = SimConsumer(kafka, Faults(clock.advance)), Told()
        _port: Consumer = consumer
        consumer.join(told)
        return consumer, told

    def test_a_partition_is_given_back_before_it_is_another_s(self) -> None:
        kafka = SimKafka(2)
        first, told_first = self.member(kafka)
        kafka.give(0, first)
        kafka.give(1, first)
        first.poll(1, 0)
        second, told_second = self.member(kafka)
        kafka.give(1, second)
        second.poll(1, 0)
        assert told_second.events == []
        first.poll(1, 0)
        second.poll(1, 0)
        assert told_first.events == [("assigned", [0, 1]), ("revoked", [1])]
        assert told_second.events == [("assigned", [1])]

    def test_a_member_of_an_earlier_generation_is_refused(self) -> None:
        kafka = SimKafka()
        first, _ = self.member(kafka)
        kafka.give(0, first)
        stale = first.membership()
        publisher = SimPublisher(kafka, "tx-1", Faults())
        self.member(kafka)
        for membership, refusal in [(stale, "ILLEGAL_GENERATION"), (first.membership(), None), (EMPTY, None)]:
            publisher.replace(1_000)
            publisher.send([])
            if refusal is None:
                publisher.send_offsets({0: 1}, membership)
                publisher.commit()
            else:
                with pytest.raises(MembershipRefused, match=refusal):
                    publisher.send_offsets({0: 1}, membership)
                publisher.abort()

    def test_a_member_taken_for_dead_learns_that_when_it_polls(self) -> None:
        kafka = SimKafka()
        first, told = self.member(kafka)
        kafka.give(0, first)
        first.poll(1, 0)
        known = first.membership()
        kafka.expel(first)
        assert first.membership() == known
        assert kafka.group.refusal(known) is not None  # type: ignore[arg-type]
        first.hear()
        with pytest.raises(KafkaUnavailable):
            first.membership()
        first.poll(1, 0)
        assert told.events == [("assigned", [0]), ("lost", [0])]
        assert first.membership() != known
        assert kafka.owners == {}

    def test_partitions_are_spread_and_stay_where_they_are(self) -> None:
        kafka = SimKafka(5)
        kafka.group.automatic = range(5)
        members = [self.member(kafka)[0] for _ in range(2)]
        for _ in range(3):
            for one in members:
                one.poll(1, 0)
        assert sorted(len(one.assigned) for one in members) == [2, 3]
        kept = members[0].assigned
        members[1].close()
        members[0].poll(1, 0)
        assert members[0].assigned == set(range(5)) > kept

    def test_records_come_from_the_partitions_in_turn(self) -> None:
        kafka = SimKafka(2)
        for partition in (0, 0, 0, 1):
            kafka.append(partition, None, b"x")
        consumer, _ = self.member(kafka)
        for partition in (0, 1):
            kafka.give(partition, consumer)
        assert consumer.poll(9, 0) == []
        consumer.go_on(0, 0)
        consumer.go_on(1, 0)
        assert [(one.partition, one.offset) for one in consumer.poll(3, 0)] == [(0, 0), (1, 0), (0, 1)]
        consumer.pause([0])
        assert consumer.poll(3, 0) == []
        kafka.expire(0, 9)
        consumer.go_on(0, 2)
        with pytest.raises(OffsetUnavailable):
            consumer.poll(3, 0)


class TestBackground:
    def test_runs_at_once_or_when_it_is_let(self) -> None:
        calls: list[str] = []
        clock = FakeClock()
        background = FakeBackground(clock.advance)
        assert background.start(lambda: calls.append("a")).is_done
        background.held = True
        pending = background.start(lambda: calls.append("b"))
        assert not pending.is_done
        pending.result(1.0)
        assert calls == ["a", "b"]
        background.stuck = True
        pending = background.start(lambda: calls.append("c"))
        with pytest.raises(TimeoutError):
            pending.result(3.0)
        assert clock.seconds == 3.0

    def test_tells_what_a_call_raised(self) -> None:
        def fail() -> None:
            raise UNKNOWN

        def die() -> None:
            raise Killed

        pending = FakeBackground().start(fail)
        with pytest.raises(PublicationUnknown):
            pending.result(1.0)
        with pytest.raises(Killed):
            FakeBackground().start(die)
