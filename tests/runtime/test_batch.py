"""One batch: what is decoded, and what becomes of outputs that no broker would take."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from machines.order import machine as order
from tests.core.strategies import JSON_VALUES, events
from tests.runtime.world import HOST, LIMITS, ROUTER, TOPICS, World, append, kafka_with_orders
from tests.simulation.servers import FakeClock
from tests.workload import Order
from worker.core.codec import ContentMode, decode_record, encode_control, encode_record
from worker.core.control import Command, Control
from worker.core.digests import content_digest
from worker.core.events import Event
from worker.core.instances import Status
from worker.core.json import dumps
from worker.core.outcomes import DeadLetterReason, Outcome
from worker.core.progress import Telling
from worker.core.records import Output, Record
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import root_subject
from worker.ports import JournalRow
from worker.runtime import batch
from worker.runtime.arrivals import Addressed, Broken, Decoded, decode, wanted
from worker.runtime.batch import Found, Limits, Run, Setting
from worker.runtime.stages import Stages

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


LIMITED = Limits({"orc.small": 300, "orc.large": 600})
TEXTS = st.none() | st.binary(max_size=400)
OUTPUTS = st.lists(
    st.builds(
        Output,
        st.sampled_from(["orc.small", "orc.large"]) | st.just("orc.missing"),
        TEXTS,
        TEXTS,
        st.lists(st.tuples(st.text(max_size=5), TEXTS), max_size=2).map(tuple),
    ),
    max_size=3,
)


@given(OUTPUTS)
@example([])
@example([Output("orc.small", None, b"x" * 172, ())])
@example([Output("orc.small", None, b"x" * 173, ())])
def test_outputs_have_a_size_or_a_refusal(outputs: list[Output]) -> None:
    size = LIMITED.bytes_of(outputs)
    assert (size is None) is (LIMITED.refusal(outputs) is not None)
    assert size in (None, sum(output.size() for output in outputs))


def run_of(decoded: list[Decoded], clock: FakeClock, stages: Stages, step_seconds_max: float = 0.0) -> Run:
    setting = Setting(HOST, ROUTER, clock, stages, 10**9, step_seconds_max)
    run = Run(setting, LIMITS, Found([], {}), lambda *_: False)
    run.run(decoded)
    return run


class LimitedClock(FakeClock):
    """A clock that knows when it would end the process."""

    ends_at = 0.0
    times_set = 0

    def limit(self, seconds: float) -> None:
        super().limit(seconds)
        self.ends_at = self.seconds + seconds
        self.times_set += 1


def test_a_step_has_its_time_from_its_beginning_and_an_eighth_more_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    durations, left = [0.25] * 9 + [7.5, 0.5, 0.25, 1.0, 1.0, 0.0, 8.0, 0.25], list[float]()
    clock, stages = LimitedClock(), Stages()

    def lasting(host: Host, request: StepRequest, tell: Telling | None) -> Outcome:
        left.append(clock.ends_at - clock.seconds)
        clock.advance(durations[len(left) - 1])
        return run_step(host, request, tell)

    monkeypatch.setattr(batch, "run_step", lasting)
    monkeypatch.setattr(batch, "perf_counter", clock.monotonic)
    orders = [Order(number).record(0) for number in range(len(durations))]
    run_of([decode(record_of(one.value, one.headers)) for one in orders], clock, stages, step_seconds_max=8.0)
    assert len(left) == len(durations)
    assert (min(left), max(left)) == (8.25, 9.0)
    assert clock.times_set < len(durations)
    assert clock.limited == 0, "nothing is limited beyond the batch"
    assert (stages.seconds["step"], stages.seconds["encode"]) == (sum(durations), 0.0)


def event_of(step: int) -> Event:
    encoded = Order(1).record(step)
    return decode_record(encoded.value, encoded.headers)


def arrival(offset: int, event: Event | None) -> Decoded:
    """Give an event as it arrives; none: what is no event."""
    if event is None:
        return decode(replace(record_of(b"garbage"), offset=offset))
    encoded = encode_record(event)
    return decode(replace(record_of(encoded.value, encoded.headers), offset=offset))


def test_the_journal_tells_what_came_of_each_record() -> None:
    reserving, approving = ("order", "reserving"), ("order", "approving")
    start, reserved, approved = (event_of(step) for step in range(3))
    elsewhere = root_subject(name="arvo.orc.else", version="1.0.0", initiator="com.a.b", execution_id="x")
    came = [
        start,
        approved,
        replace(reserved, id="bad", data={"total": "none"}),
        reserved,
        reserved,
        approved,
        replace(reserved, data={"total": 1, "warehouse": "south"}),
        replace(start, subject=elsewhere),
        replace(start, subject="nothing"),
        None,
    ]
    decoded = [arrival(offset, event) for offset, event in enumerate(came)]
    run = run_of(decoded, FakeClock(1_000), Stages())
    rows = run.writes({0: 0}).journal
    assert [(row.outcome, row.reason, row.error_name, row.consumed, len(row.outputs)) for row in rows] == [
        ("advanced", None, None, True, 1),
        ("unexpected", None, None, True, 0),
        ("failed", None, "ContractViolation", True, 1),
        ("advanced", None, None, True, 1),
        ("duplicate", None, None, False, 0),
        ("duplicate", None, None, False, 0),
        ("dead_lettered", "ID_CONFLICT", "IdConflict", False, 1),
        ("ignored", "NOT_HOSTED", None, False, 0),
        ("dead_lettered", "INVALID_SUBJECT", "InvalidSubjectError", False, 1),
        ("dead_lettered", "INVALID_EVENT", "InvalidEventError", False, 1),
    ]
    assert [(row.states_before, row.states_after, row.revision) for row in rows] == [
        (None, reserving, 1),
        (reserving, None, None),
        (reserving, None, None),
        (reserving, approving, 2),
        *[(approving, None, None)] * 2,
        *[(None, None, None)] * 4,
    ]
    assert [row.definition_hash for row in rows if row.outcome == "advanced"] == [order.definition_hash] * 2
    assert {row.definition_hash for row in rows if row.outcome != "advanced"} == {None}
    assert {row.error_message for row in rows if row.outcome in ("advanced", "duplicate", "ignored")} == {None}
    assert rows[1].error_message == (
        "nothing waits for this event; expected: evt.inventory.reserve.failure, evt.inventory.reserve.success, "
        "sys.com.inventory.reserve.error"
    )
    for one, event, row in zip(decoded, came, rows, strict=True):
        named = (event.source, event.id, event.type) if event else (None, None, None)
        assert (row.record, row.event_source, row.event_id, row.event_type) == (one.record, *named)
        addressed = (one.digest, one.key, content_digest(one.event)) if isinstance(one, Addressed) else (None,) * 3
        assert (row.subject_digest, row.event_key, row.content_digest) == addressed
        assert row.now == (1_000 if row.outcome == "dead_lettered" else 0)
    assert run.next_offsets == {0: len(came)}
    assert run.applied == [one.record for one in decoded]


def test_a_cancelled_instance_is_written_and_whoever_started_it_is_told() -> None:
    start, reserved = (event_of(step) for step in range(2))
    control = encode_control(Control("c-1", start.subject, Command.CANCEL, "ann", "2026-01-01T00:00:00Z"))
    record = Record(0, 1, 0, control.key, control.value, control.headers)
    run = run_of(
        [arrival(0, start), decode(record), decode(replace(record, offset=2)), arrival(3, reserved)],
        FakeClock(1_000),
        Stages(),
    )
    writes = run.writes({0: 0})
    assert [(row.outcome, row.reason, row.consumed, row.revision) for row in writes.journal] == [
        ("advanced", None, True, 1),
        ("cancelled", None, True, 2),
        ("duplicate", None, False, None),
        ("ignored", "ENDED", False, None),
    ]
    row = writes.journal[1]
    assert (row.event_source, row.event_id, row.event_type) == ("sys.control", "c-1", "sys.control.cancel")
    assert (row.error_name, row.error_message) == ("Cancelled", "The workflow was cancelled by ann")
    assert row.states_before == row.states_after == ("order", "reserving")
    ((_, instance),) = writes.created
    assert (instance.status, instance.revision) == (Status.CANCELLED, 2)
    (error,) = row.outputs
    assert (error.topic, decode_record(error.value, error.headers).type) == ("orc.default", "sys.arvo.orc.order.error")
