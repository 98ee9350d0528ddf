"""The demo's own judgement: it must see what is wrong."""

from collections.abc import Iterator, Mapping

import pytest

from worker.adapters.kafka.tailing import Received
from worker.core.codec import encode_record
from worker.core.events import Event, create_event
from worker.core.records import Record
from worker.core.routing import Topics
from worker.demo.orders import Ending, Order, make_orders
from worker.demo.watching import COMPLETION, SYSTEM_ERROR, Watch

TOPICS = Topics("orchestrator")
NOW = 1_700_000_000_000


@pytest.fixture
def watch() -> Watch:
    names = [TOPICS.input, TOPICS.dead_letters, TOPICS.domain("default")]
    return Watch(make_orders(40, NOW), TOPICS, names)


def completion(order: Order, ending: Ending | None = None) -> Received:
    end = ending or order.ending
    data = {"order_id": order.order_id, "status": end.status, "total": None, "charge_id": None, "reason": end.reason}
    return received("default", reply_to(order.event, COMPLETION, data))


def system_error(event: Event) -> Received:
    data = {"errorName": "ContractViolation", "errorMessage": "no", "errorStack": None}
    return received("default", reply_to(event, SYSTEM_ERROR, data))


def reply_to(event: Event, event_type: str, data: Mapping[str, object]) -> Event:
    attributes = {
        "id": f"{event.id}-{event_type}",
        "source": "arvo.orc.order",
        "type": event_type,
        "subject": event.subject,
        "data": data,
        "time": event.time,
        "to": event.source,
    }
    return create_event(attributes)


def received(topic: str, event: Event) -> Received:
    encoded = encode_record(event)
    return Received(TOPICS.domain(topic), Record(0, 0, NOW, encoded.key, encoded.value, encoded.headers))


def dead_letter(value: bytes) -> Received:
    headers = (("dlq-reason", b"INVALID_EVENT"), ("dlq-topic", b"orchestrator.input"))
    return Received(TOPICS.dead_letters, Record(0, 0, NOW, None, value, headers))


def all_right(watch: Watch) -> Iterator[Received]:
    yield dead_letter(watch.orders.broken)
    yield system_error(watch.orders.faulty)
    for order in watch.orders.orders:
        yield completion(order)


def test_everything_right_is_complete_and_without_fault(watch: Watch) -> None:
    for one in all_right(watch):
        assert not watch.is_complete
        watch.take(one)
    assert watch.is_complete
    assert watch.faults() == []
    assert watch.total == 42


def test_orders_of_all_kinds_are_made(watch: Watch) -> None:
    assert {order.ending.status for order in watch.orders.orders} == {"completed", "rejected", "failed"}


def test_a_second_end_is_a_fault(watch: Watch) -> None:
    for one in all_right(watch):
        watch.take(one)
    watch.take(completion(watch.orders.orders[3]))
    (fault,) = watch.faults()
    assert watch.orders.orders[3].order_id in fault


def test_another_end_is_a_fault(watch: Watch) -> None:
    first, *others = [one for one in all_right(watch) if one.topic == TOPICS.domain("default")][1:]
    del first
    for one in (dead_letter(watch.orders.broken), system_error(watch.orders.faulty), *others):
        watch.take(one)
    watch.take(completion(watch.orders.orders[0], Ending("rejected")))
    (fault,) = watch.faults()
    assert "rejected" in fault


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_what_does_not_come_is_a_fault(watch: Watch, lacking: int) -> None:
    for number, one in enumerate(all_right(watch)):
        if number != lacking:
            watch.take(one)
    assert not watch.is_complete
    assert len(watch.faults()) == 1


def test_a_dead_letter_of_an_order_is_a_fault(watch: Watch) -> None:
    for one in all_right(watch):
        watch.take(one)
    encoded = encode_record(watch.orders.orders[0].event)
    headers = (*encoded.headers, ("dlq-reason", b"NO_MACHINE"))
    watch.take(Received(TOPICS.dead_letters, Record(0, 1, NOW, encoded.key, encoded.value, headers)))
    (fault,) = watch.faults()
    assert "NO_MACHINE" in fault


def test_records_of_others_are_counted_and_left_alone(watch: Watch) -> None:
    other = make_orders(1, NOW)
    watch.take(completion(other.orders[0]))
    watch.take(dead_letter(other.broken))
    watch.take(system_error(other.faulty))
    assert watch.total == 3
    assert (watch.ended, watch.dead_letters, watch.system_errors) == (0, [], [])
