"""One batch: what is decoded, and what becomes of outputs that no broker would take."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.strategies import JSON_VALUES, events
from tests.runtime.world import LIMITS, TOPICS, World, append, kafka_with_orders
from tests.workload import Order
from worker.core.codec import ContentMode, encode_record
from worker.core.events import Event
from worker.core.json import dumps
from worker.core.outcomes import DeadLetterReason
from worker.core.records import Record
from worker.ports import JournalRow
from worker.runtime.arrivals import Addressed, Broken, decode, wanted
from worker.runtime.batch import Limits

NAMES = st.sampled_from(["content-type", "ce_id", "ce_type", "ce_data", "ce_subject", "ce_specversion", "Ce_Id", "x"])
VALUES = st.sampled_from([b"application/cloudevents+json", b"application/json", b"1.0", b"a.b.c"]) | st.binary(
    max_size=8
)
HEADERS = st.lists(st.tuples(NAMES, VALUES | st.none()), max_size=5).map(tuple)
BYTES = st.none() | st.binary(max_size=40) | JSON_VALUES.map(dumps)


def record_of(value: bytes | None, headers: tuple[tuple[str, bytes | None], ...] = ()) -> Record:
    return Record(0, 0, 0, None, value, headers)


class TestDecoding:
    @given(BYTES, HEADERS)
    @example(b"[" * 100_000, ())
    @example(b'{"specversion":"1.0","data":' + b'{"a":' * 1_000 + b"1" + b"}" * 1_001, ())
    @example(b"1" * 10_000, (("ce_id", b"1"),))
    def test_whatever_the_bytes_are_the_record_has_an_outcome(
        self, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...]
    ) -> None:
        decoded = decode(record_of(value, headers))
        assert isinstance(decoded, Broken)
        assert decoded.outcome.reason in {DeadLetterReason.INVALID_EVENT, DeadLetterReason.INVALID_SUBJECT}

    @given(events(), st.sampled_from(ContentMode))
    def test_an_event_whose_subject_says_nothing_is_known_by_its_id(self, event: Event, mode: ContentMode) -> None:
        encoded = encode_record(event, mode)
        decoded = decode(record_of(encoded.value, encoded.headers))
        assert isinstance(decoded, Broken)
        assert decoded.outcome.reason is DeadLetterReason.INVALID_SUBJECT
        assert decoded.event is not None
        assert decoded.event.id == event.id

    def test_what_a_batch_locks_and_reads_is_asked_for_once(self) -> None:
        first, second = (decode(record_of(one.value, one.headers)) for one in (Order(1).record(0), Order(1).record(1)))
        asked = wanted([first, second, first, decode(record_of(b"garbage"))], {0: 5})
        assert isinstance(first, Addressed)
        assert isinstance(second, Addressed)
        assert (asked.digests, asked.event_keys) == ([first.digest], [first.key, second.key])
        assert asked.next_offsets == {0: 5}


def test_a_record_that_could_not_be_read_whole_is_no_event() -> None:
    encoded = Order(1).record(0)
    decoded = decode(Record(0, 0, 0, encoded.key, encoded.value, (), fault="The headers can't be read."))
    assert isinstance(decoded, Broken)
    assert decoded.event is None
    assert decoded.outcome.reason is DeadLetterReason.INVALID_EVENT
    assert decoded.outcome.error_message == "The headers can't be read."


def rows_of(world: World) -> list[JournalRow]:
    world.start_alone()
    world.drain()
    return list(world.tables.journal.values())


def limited(**limits: int | None) -> Limits:
    topics = {**LIMITS.record_bytes_max, **{f"orc.{name}": size for name, size in limits.items()}}
    return Limits({topic: size for topic, size in topics.items() if size is not None})


class TestLimits:
    def test_a_topic_that_is_not_there_makes_a_dead_letter_and_the_instance_stays(self) -> None:
        world = World(kafka_with_orders(1, steps=2), limits=limited(external=None))
        rows = rows_of(world)
        assert [(row.outcome, row.reason) for row in rows] == [("advanced", None), ("dead_lettered", "NO_TOPIC")]
        assert "orc.external" in (rows[1].error_message or "")
        assert not rows[1].consumed
        (instance,) = world.tables.instances.values()
        assert (instance.revision, instance.snapshot.context["warehouse"]) == (1, None)

    def test_an_event_too_large_for_its_topic_fails_the_step(self) -> None:
        world = World(kafka_with_orders(1, steps=2), limits=limited(external=900))
        rows = rows_of(world)
        assert [(row.outcome, row.error_name) for row in rows] == [("advanced", None), ("failed", "EventTooLarge")]
        assert rows[1].consumed
        assert b"sys.arvo.orc.order.error" in (world.kafka.visible[-1].value or b"")
        assert [one.revision for one in world.tables.instances.values()] == [1]

    def test_where_the_failure_is_too_large_too_it_is_a_dead_letter(self) -> None:
        world = World(kafka_with_orders(1, steps=1), limits=limited(default=10))
        (row,) = rows_of(world)
        assert (row.outcome, row.reason, row.error_name) == ("dead_lettered", "NO_TOPIC", "EventTooLarge")
        assert world.tables.instances == {}

    @pytest.mark.parametrize("size", [100, 100_000])
    def test_a_dead_letter_too_large_for_its_topic_leaves_its_bytes_in_the_journal(self, size: int) -> None:
        world = World(kafka_with_orders(0), limits=limited(dlq=10_000))
        value = b"x" * size
        append(world.kafka, 0, b"key", value, ())
        (row,) = rows_of(world)
        (output,) = world.kafka.visible
        assert row.record.value == value
        assert output.topic == TOPICS.dead_letters
        digest = dict(output.headers).get("dlq-value-sha256")
        if size == 100:
            assert (output.value, digest) == (value, None)
        else:
            assert (output.value, digest) == (None, hashlib.sha256(value).hexdigest().encode())
