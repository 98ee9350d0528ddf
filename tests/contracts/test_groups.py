"""The port `Consumer`: membership, partitions that move, and what is read."""

import pytest

from tests.contracts.brokers import BATCH_BYTES_MAX, EVERY, Bench, Member, poll_until
from worker.core.records import Output
from worker.ports import KafkaUnavailable, OffsetUnavailable, Publisher


def share(first: Member, second: Member) -> None:
    """Have a second member come in, and wait until each has one partition."""
    second.consumer.join(second)
    poll_until(lambda: (len(first.owned), len(second.owned)) == (1, 1), first.poll, second.poll)


# The group


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_a_partition_is_given_back_before_another_gets_it(bench: Bench, member: Member) -> None:
    second = bench.member("second")
    share(member, second)
    (moved,) = second.owned
    assert [told for told in bench.log if told[2] == moved] == [
        ("first", "assigned", moved),
        ("first", "revoked", moved),
        ("second", "assigned", moved),
    ]
    assert member.owned | second.owned == {0, 1}


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_what_stays_is_not_told_again(bench: Bench, member: Member) -> None:
    second = bench.member("second")
    share(member, second)
    (kept,) = member.owned
    assert [told for told in bench.log if told[2] == kept] == [("first", "assigned", kept)]


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_while_a_partition_is_given_back_it_is_nobody_else_s(bench: Bench) -> None:
    first, second = bench.member("first"), bench.member("second")
    others_at_revoke: list[set[int]] = []
    first.at_revoke = lambda: others_at_revoke.append(set(second.owned))
    first.join()
    share(first, second)
    assert others_at_revoke == [set()]


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_who_leaves_gives_everything_back(bench: Bench, member: Member) -> None:
    second = bench.member("second")
    second.consumer.join(second)
    member.consumer.close()
    assert member.told("revoked") >= {0, 1}
    poll_until(lambda: second.owned == {0, 1}, second.poll)


def test_who_was_taken_for_dead_is_told_that_its_partitions_are_lost(bench: Bench) -> None:
    frail = bench.member("frail", frail=True)
    frail.join()
    poll_until(lambda: frail.owned == {0, 1}, frail.poll)
    bench.expel(frail)
    poll_until(lambda: frail.told("lost") == {0, 1}, frail.poll)
    assert frail.told("revoked") == set()
    poll_until(lambda: frail.owned == {0, 1}, frail.poll)


def test_another_goes_on_with_what_was_lost(bench: Bench) -> None:
    frail, heir = bench.member("frail", frail=True), bench.member("heir")
    frail.join()
    bench.expel(frail)
    heir.consumer.join(heir)
    poll_until(lambda: heir.owned == {0, 1}, heir.poll)
    assert frail.told("lost") == frail.told("revoked") == set(), "it did not poll, so it does not know"
    poll_until(lambda: frail.told("lost") == {0, 1}, frail.poll, heir.poll)


def test_a_membership_is_there_from_the_assignment_to_the_end(bench: Bench, member: Member) -> None:
    member.consumer.membership()
    member.consumer.close()


# Reading


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_an_assigned_partition_is_not_read_before_it_is_gone_on_with(bench: Bench, member: Member) -> None:
    bench.produce(0, b"1", b"2")
    assert [value for _ in range(5) for value in member.poll()] == []
    member.consumer.go_on(0, 0)
    assert member.read_values(2) == [b"1", b"2"]


def test_reads_from_where_it_is_told(bench: Bench, member: Member) -> None:
    bench.produce(0, *(b"%d" % number for number in range(6)))
    member.consumer.go_on(0, 4)
    assert member.read_values(2) == [b"4", b"5"]
    member.consumer.go_on(0, 1)
    records = member.read(5)
    assert [(one.partition, one.offset, one.value) for one in records] == [(0, n, b"%d" % n) for n in range(1, 6)]


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_a_paused_partition_is_not_read_and_goes_on_where_it_is_told(bench: Bench, member: Member) -> None:
    bench.produce(0, b"1", b"2", b"3")
    member.consumer.go_on(0, 0)
    assert len(member.read_values(3)) == 3
    member.consumer.pause([0])
    bench.produce(0, b"4")
    bench.produce(1, b"other")
    member.consumer.go_on(1, 0)
    assert member.read_values(1) == [b"other"], "the others are read on"
    member.consumer.go_on(0, 2)
    assert member.read_values(2) == [b"3", b"4"]


def test_no_more_records_than_asked_for(bench: Bench, member: Member) -> None:
    bench.produce(0, *(b"%d" % number for number in range(10)))
    member.consumer.go_on(0, 0)
    counts: list[int] = []
    values: list[bytes | None] = []

    def poll() -> None:
        records = member.consumer.poll(3, 0.1)
        counts.append(len(records))
        values.extend(record.value for record in records)

    poll_until(lambda: len(values) == 10, poll)
    assert max(counts) <= 3
    assert values == [b"%d" % number for number in range(10)]


def test_records_of_an_open_transaction_are_not_read(bench: Bench, member: Member, publisher: Publisher) -> None:
    member.consumer.go_on(0, 0)
    member.consumer.go_on(1, 0)
    publisher.send([Output(bench.input, b"key", b"pending", ())])
    bench.await_sent(bench.input, 1)
    publisher.send_offsets({0: 0}, member.consumer.membership())
    assert [value for _ in range(5) for value in member.poll()] == []
    publisher.commit()
    assert member.read_values(1) == [b"pending"]


def test_what_is_behind_an_open_transaction_waits_for_its_end(
    bench: Bench, member: Member, publisher: Publisher
) -> None:
    publisher.send([Output(bench.input, b"key", b"pending", ())])
    bench.await_sent(bench.input, 1)
    publisher.send_offsets({0: 0}, member.consumer.membership())
    bench.produce(0, b"behind")
    bench.produce(1, b"behind")
    member.consumer.go_on(0, 0)
    member.consumer.go_on(1, 0)
    (free,) = member.read_values(1)
    assert free == b"behind", "that of the other partition"
    assert [value for _ in range(5) for value in member.poll()] == []
    publisher.commit()
    assert member.read_values(2) == [b"pending", b"behind"]


def test_aborted_records_are_never_read(bench: Bench, member: Member, publisher: Publisher) -> None:
    publisher.send([Output(bench.input, b"key", b"aborted", ())])
    bench.await_sent(bench.input, 1)
    publisher.send_offsets({0: 0}, member.consumer.membership())
    publisher.replace(BATCH_BYTES_MAX)
    publisher.send([Output(bench.input, b"key", b"committed", ())])
    publisher.send_offsets({0: 0}, member.consumer.membership())
    publisher.commit()
    member.consumer.go_on(0, 0)
    member.consumer.go_on(1, 0)
    (record,) = member.read(1)
    assert record.value == b"committed"
    assert record.offset >= 2, "the aborted record and its marker have offsets too"


# Offsets and the topic


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_a_new_group_has_committed_nothing(bench: Bench, member: Member) -> None:
    standings = member.consumer.standings([0, 1])
    assert [(one.committed, one.first_offset) for one in standings.values()] == [(None, 0)] * 2
    assert {one.topic_id for one in standings.values()} == {member.consumer.topic_id()}


def test_the_first_offset_moves_when_records_are_deleted(bench: Bench, member: Member) -> None:
    bench.produce(0, b"1", b"2", b"3")
    bench.expire(0, 2)
    standings = member.consumer.standings([0, 1])
    assert [standings[partition].first_offset for partition in (0, 1)] == [2, 0]


@pytest.mark.parametrize("offset", [0, 1_000])
def test_an_offset_that_the_topic_does_not_have_is_told(bench: Bench, member: Member, offset: int) -> None:
    bench.produce(0, b"1", b"2", b"3")
    bench.expire(0, 2)
    member.consumer.go_on(0, offset)
    with pytest.raises(OffsetUnavailable) as raised:
        poll_until(lambda: False, lambda: member.consumer.poll(10, 0.1))
    assert raised.value.partition == 0
    member.consumer.go_on(0, 2)
    assert read_past_errors(member, 1) == [b"3"]


def test_the_end_of_the_topic_is_an_offset_that_it_has(bench: Bench, member: Member) -> None:
    bench.produce(0, b"1")
    member.consumer.go_on(0, 1)
    assert [value for _ in range(5) for value in member.poll()] == []
    bench.produce(0, b"2")
    assert member.read_values(1) == [b"2"]


def test_a_topic_made_anew_has_another_identity(bench: Bench, member: Member) -> None:
    before = member.consumer.topic_id()
    assert member.consumer.topic_id() == before
    bench.make_anew()
    found: set[str] = set()

    def ask() -> None:
        try:
            found.add(member.consumer.topic_id())
        except KafkaUnavailable:
            return

    poll_until(lambda: bool(found - {before}), ask)


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_anybody_may_ask_how_partitions_stand(bench: Bench, member: Member, publisher: Publisher) -> None:
    publisher.send([])
    publisher.send_offsets({0: 4}, member.consumer.membership())
    publisher.commit()
    assert bench.member("stranger").committed() == [4, None]


def read_past_errors(member: Member, count: int) -> list[bytes | None]:
    """Read though the client tells the same error once more."""
    values: list[bytes | None] = []

    def poll() -> None:
        try:
            values.extend(record.value for record in member.consumer.poll(10, 0.1))
        except OffsetUnavailable:
            return

    poll_until(lambda: len(values) >= count, poll)
    return values
