"""The port `Publisher`: outputs and offsets in one transaction, and who may still write."""

from collections.abc import Mapping

import pytest

from tests.contracts.brokers import BATCH_BYTES_MAX, EVERY, Bench, Member, poll_until
from worker.core.records import Output
from worker.ports import KafkaUnavailable, MembershipRefused, PublicationUnknown, Publisher

TRIES = 3


def output(bench: Bench, value: bytes = b"1", topic: str | None = None) -> Output:
    return Output(topic or bench.output, b"key", value, (("name", b"\x00\xff"), ("none", None)))


def publish(
    publisher: Publisher, member: Member, outputs: list[Output], next_offsets: Mapping[int, int] | None = None
) -> None:
    publisher.send(outputs)
    publisher.send_offsets(next_offsets or {0: 5}, member.consumer.membership())
    publisher.commit()


def ready(bench: Bench, name: str) -> Publisher:
    made = bench.publisher(name)
    made.replace(BATCH_BYTES_MAX)
    return made


# One transaction


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_outputs_and_offsets_come_together_with_the_commit(bench: Bench, member: Member, publisher: Publisher) -> None:
    publisher.send([output(bench, b"1"), output(bench, b"2")])
    bench.await_sent(bench.output, 2)
    assert bench.visible() == []
    publisher.send_offsets({0: 5, 1: 7}, member.consumer.membership())
    assert bench.visible() == []
    publisher.commit()
    assert bench.visible() == [b"1", b"2"]
    assert member.committed() == [5, 7]


def test_offsets_alone_are_published(bench: Bench, member: Member, publisher: Publisher) -> None:
    publish(publisher, member, [], {1: 3})
    assert (bench.visible(), member.committed()) == ([], [None, 3])


def test_one_transaction_after_the_other_keeps_the_order(bench: Bench, member: Member, publisher: Publisher) -> None:
    for number in range(5):
        publish(publisher, member, [output(bench, b"%d" % number)], {0: number + 1})
    assert bench.visible() == [b"0", b"1", b"2", b"3", b"4"]
    assert member.committed()[0] == 5


def test_an_offset_may_go_back(bench: Bench, member: Member, publisher: Publisher) -> None:
    # That is how a restored database has what it lost run again.
    publish(publisher, member, [], {0: 5})
    publish(publisher, member, [], {0: 2})
    assert member.committed()[0] == 2


def test_without_a_producer_nothing_is_published(bench: Bench, member: Member) -> None:
    with pytest.raises(PublicationUnknown):
        publish(bench.publisher("other"), member, [output(bench)])
    assert bench.visible() == []


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_brokers_do_not_ask_whose_a_partition_is(bench: Bench, publisher: Publisher) -> None:
    # Who sends offsets must see to that itself.
    first, second = two_members(bench)
    (theirs,) = second.owned
    publish(publisher, first, [], {theirs: 9})
    assert first.committed()[theirs] == 9


# The end of a transaction that was given up


@pytest.mark.parametrize("with_offsets", [False, True])
def test_a_fresh_producer_ends_what_was_open_under_its_id(
    bench: Bench, member: Member, publisher: Publisher, with_offsets: bool
) -> None:
    publish(publisher, member, [output(bench, b"before")], {0: 1})
    publisher.send([output(bench, b"given up")])
    # One record before it, and the marker of its transaction.
    bench.await_sent(bench.output, 3)
    if with_offsets:
        publisher.send_offsets({0: 2}, member.consumer.membership())
    publisher.replace(BATCH_BYTES_MAX)
    assert member.committed()[0] == 1, "nothing is pending, and nothing of it was taken"
    publish(publisher, member, [output(bench, b"after")], {0: 3})
    assert (bench.visible(), member.committed()[0]) == ([b"before", b"after"], 3)


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_what_is_pending_is_waited_for(bench: Bench, member: Member, publisher: Publisher) -> None:
    publisher.send([output(bench)])
    publisher.send_offsets({0: 2}, member.consumer.membership())
    with pytest.raises(KafkaUnavailable):
        member.committed()
    publisher.commit()
    assert member.committed()[0] == 2


def test_a_commit_that_was_done_stays_done_when_the_producer_is_replaced(
    bench: Bench, member: Member, publisher: Publisher
) -> None:
    publish(publisher, member, [output(bench)], {0: 2})
    publisher.replace(BATCH_BYTES_MAX)
    assert (bench.visible(), member.committed()[0]) == ([b"1"], 2)


def test_what_is_behind_an_open_transaction_is_seen_when_it_ends(
    bench: Bench, member: Member, publisher: Publisher
) -> None:
    publisher.send([output(bench, b"first")])
    bench.await_sent(bench.output, 1)
    publisher.send_offsets({0: 1}, member.consumer.membership())
    publish(ready(bench, "second"), member, [output(bench, b"second")], {1: 1})
    assert bench.visible() == []
    publisher.commit()
    assert bench.visible() == [b"first", b"second"]


@pytest.mark.slow
def test_a_transaction_that_outlives_its_time_is_aborted_and_its_producer_fenced(bench: Bench, member: Member) -> None:
    slow = bench.publisher("slow", is_short_lived=True)
    slow.replace(BATCH_BYTES_MAX)
    slow.send([output(bench)])
    bench.await_sent(bench.output, 1)
    slow.send_offsets({0: 1}, member.consumer.membership())
    bench.outlive("slow")
    poll_until(lambda: has_ended(member))
    with pytest.raises(PublicationUnknown):
        slow.commit()
    assert (bench.visible(), member.committed()[0]) == ([], None)
    slow.replace(BATCH_BYTES_MAX)
    publish(slow, member, [output(bench, b"again")], {0: 1})
    assert bench.visible() == [b"again"]


# Fencing


@pytest.mark.parametrize("bench", EVERY, indirect=True)
@pytest.mark.parametrize("with_offsets", [False, True])
def test_a_fenced_producer_writes_no_more(
    bench: Bench, member: Member, publisher: Publisher, with_offsets: bool
) -> None:
    zombie = ready(bench, "zombie")
    membership = member.consumer.membership()
    zombie.send([output(bench, b"from the zombie")])
    bench.await_sent(bench.output, 1)
    if with_offsets:
        zombie.send_offsets({0: 7}, membership)
    publisher.fence(bench.id("zombie"))
    assert member.committed()[0] is None, "its transaction has ended, so nothing is pending"
    publish(publisher, member, [output(bench, b"from the heir")], {0: 1})
    with pytest.raises(PublicationUnknown):
        zombie.commit() if with_offsets else zombie.send_offsets({0: 7}, membership)
    assert (bench.visible(), member.committed()[0]) == ([b"from the heir"], 1)


def test_a_producer_that_was_fenced_between_transactions_begins_none(
    bench: Bench, member: Member, publisher: Publisher
) -> None:
    zombie = ready(bench, "zombie")
    publish(zombie, member, [output(bench, b"before")], {0: 1})
    publisher.fence(bench.id("zombie"))
    with pytest.raises(PublicationUnknown):
        publish(zombie, member, [output(bench, b"after")], {0: 2})
    assert (bench.visible(), member.committed()[0]) == ([b"before"], 1)


def test_who_was_fenced_comes_back_under_the_same_id(bench: Bench, member: Member, publisher: Publisher) -> None:
    zombie = ready(bench, "zombie")
    publisher.fence(bench.id("zombie"))
    with pytest.raises(PublicationUnknown):
        publish(zombie, member, [output(bench)])
    zombie.replace(BATCH_BYTES_MAX)
    publish(zombie, member, [output(bench, b"again")], {0: 3})
    assert (bench.visible(), member.committed()[0]) == ([b"again"], 3)


def test_an_id_that_nobody_has_can_be_fenced(bench: Bench, publisher: Publisher) -> None:
    publisher.fence(bench.id("nobody"))


def test_fencing_others_leaves_the_own_producer(bench: Bench, member: Member, publisher: Publisher) -> None:
    publisher.send([output(bench)])
    publisher.fence(bench.id("zombie"))
    publisher.send_offsets({0: 1}, member.consumer.membership())
    publisher.commit()
    assert bench.visible() == [b"1"]


# Membership


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_a_membership_from_before_a_rebalance_is_refused_for_what_moved(bench: Bench, publisher: Publisher) -> None:
    # For what the member kept all the time, brokers from 4.2 on take it in groups whose partitions they share out.
    first = bench.member("first")
    first.join()
    poll_until(lambda: first.owned == {0, 1}, first.poll)
    stale = first.consumer.membership()
    second = bench.member("second")
    second.consumer.join(second)
    poll_until(lambda: bool(second.owned), first.poll, second.poll)
    (moved,) = second.owned
    publisher.send([output(bench)])
    with pytest.raises(MembershipRefused):
        publisher.send_offsets({moved: 5}, stale)
    publisher.replace(BATCH_BYTES_MAX)
    assert (bench.visible(), first.committed()) == ([], [None, None])


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_what_a_refused_membership_came_with_is_sent_again_by_the_same_producer(
    bench: Bench, publisher: Publisher
) -> None:
    first = bench.member("first")
    first.join()
    poll_until(lambda: first.owned == {0, 1}, first.poll)
    stale = first.consumer.membership()
    second = bench.member("second")
    second.consumer.join(second)
    poll_until(lambda: bool(second.owned), first.poll, second.poll)
    ((kept,), (moved,)) = first.owned, second.owned
    for _ in range(TRIES):
        publisher.send([output(bench, b"kept"), output(bench, b"moved")])
        with pytest.raises(MembershipRefused):
            publisher.send_offsets({kept: 5, moved: 5}, stale)
        publisher.abort()
        assert (bench.visible(), first.committed()) == ([], [None, None]), "nothing is pending"
    publish(publisher, first, [output(bench, b"kept")], {kept: 5})
    assert (bench.visible(), first.committed()[kept], first.committed()[moved]) == ([b"kept"], 5, None)


def test_an_aborted_transaction_leaves_nothing_behind(bench: Bench, member: Member, publisher: Publisher) -> None:
    publisher.send([output(bench, b"aborted"), output(bench, b"aborted", bench.other)])
    bench.await_sent(bench.output, 1)
    bench.await_sent(bench.other, 1)
    publisher.abort()
    publisher.send([])
    publisher.abort()
    publish(publisher, member, [output(bench, b"after")], {0: 3})
    assert (bench.visible(), bench.visible(bench.other), member.committed()[0]) == ([b"after"], [], 3)


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_while_partitions_are_given_back_their_offsets_are_taken_still(bench: Bench, publisher: Publisher) -> None:
    # What a callback's turn of the generation had refused is sent again before the partition goes.
    first, second = bench.member("first"), bench.member("second")
    first.join()
    poll_until(lambda: first.owned == {0, 1}, first.poll)
    published: list[int] = []

    def publish_all() -> None:
        publish(publisher, first, [output(bench)], {0: 5, 1: 5})
        published.append(len(first.owned))

    first.at_revoke = publish_all
    second.consumer.join(second)
    poll_until(lambda: bool(second.owned), first.poll, second.poll)
    assert (published, bench.visible(), second.committed()) == ([2], [b"1"], [5, 5])
    first.at_revoke = lambda: None


def test_a_fenced_producer_can_not_abort(bench: Bench, publisher: Publisher) -> None:
    zombie = ready(bench, "zombie")
    zombie.send([output(bench)])
    bench.await_sent(bench.output, 1)
    publisher.fence(bench.id("zombie"))
    with pytest.raises(PublicationUnknown):
        zombie.abort()


def test_a_membership_that_the_group_has_ended_is_refused(bench: Bench, publisher: Publisher) -> None:
    frail = bench.member("frail", frail=True)
    frail.join()
    stale = frail.consumer.membership()
    bench.expel(frail)
    publisher.send([output(bench)])
    with pytest.raises(PublicationUnknown):
        publisher.send_offsets({0: 5}, stale)
    publisher.replace(BATCH_BYTES_MAX)
    assert bench.visible() == []


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_there_is_no_membership_before_the_group_is_joined(bench: Bench) -> None:
    # An empty one would pass the brokers without a look.
    stranger = bench.member("stranger")
    with pytest.raises(KafkaUnavailable):
        stranger.consumer.membership()


@pytest.mark.parametrize("bench", EVERY, indirect=True)
def test_an_empty_membership_passes_the_brokers_without_a_look(
    bench: Bench, member: Member, publisher: Publisher
) -> None:
    # So no adapter may ever send one: offsets of whoever was taken for dead would be taken.
    publisher.send([])
    publisher.send_offsets({0: 8}, bench.empty_membership())
    publisher.commit()
    assert member.committed()[0] == 8


# Refusals


def test_outputs_that_the_brokers_refuse_are_told(bench: Bench, member: Member, publisher: Publisher) -> None:
    bench.refuse()
    small, large = output(bench, b"small", bench.other), output(bench, b"x" * 1_000)
    refused: Mapping[Output, str] = {}
    # Brokers refuse all records that come together, so it may take another try to tell which of them it is.
    for _ in range(TRIES):
        with pytest.raises(PublicationUnknown) as raised:
            publish(publisher, member, [small, large])
        publisher.replace(BATCH_BYTES_MAX)
        refused = raised.value.refused
        if refused:
            break
    assert list(refused) == [large]
    publish(publisher, member, [small], {0: 6})
    assert (bench.visible(), bench.visible(bench.other), member.committed()[0]) == ([], [b"small"], 6)


def test_a_fence_is_no_refusal_of_outputs(bench: Bench, member: Member, publisher: Publisher) -> None:
    zombie = ready(bench, "zombie")
    publisher.fence(bench.id("zombie"))
    with pytest.raises(PublicationUnknown) as raised:
        publish(zombie, member, [output(bench)])
    assert raised.value.refused == {}


def test_a_closed_publisher_leaves_its_transaction_to_who_fences_it(
    bench: Bench, member: Member, publisher: Publisher
) -> None:
    zombie = ready(bench, "zombie")
    zombie.send([output(bench, b"left behind")])
    bench.await_sent(bench.output, 1)
    zombie.send_offsets({0: 7}, member.consumer.membership())
    zombie.close()
    zombie.close()
    publisher.fence(bench.id("zombie"))
    assert (bench.visible(), member.committed()) == ([], [None, None])


def has_ended(member: Member) -> bool:
    """Tell whether nothing is pending."""
    try:
        member.committed()
    except KafkaUnavailable:
        return False
    return True


def two_members(bench: Bench) -> tuple[Member, Member]:
    """Let two members share the partitions."""
    first, second = bench.member("first"), bench.member("second")
    first.join()
    second.consumer.join(second)
    poll_until(lambda: (len(first.owned), len(second.owned)) == (1, 1), first.poll, second.poll)
    return first, second
