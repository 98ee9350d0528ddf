"""Faults on demand: events that come twice, memories that fail, events that go round in a circle."""

from itertools import count
from typing import Literal

import pytest

from machines.order import machine as order
from tests.core.lab import lab_machine
from tests.testing.parcels import label, parcel, print_label, send
from worker import ArvoTransactionError, Event, SimpleMachineMemory, create_event, create_orchestrator
from worker.core.outcomes import Duplicate
from worker.testing import BrokerError, LocalBroker, LocalMemory
from worker.testing.exchange import ATTEMPTS_MAX

RESERVED = {"total": 80, "warehouse": "Utrecht"}


def stubbed(broker: LocalBroker) -> LocalBroker:
    broker.stub("com.inventory.reserve", "evt.inventory.reserve.success", RESERVED)
    broker.stub("com.approval.request", "evt.approval.request.success", {"approved": True, "by": "Grace"}, "external")
    broker.stub("com.payment.charge", "evt.payment.charge.success", {"charge_id": "c-1"})
    return broker


# Twice


def test_services_and_machines_are_idempotent_when_all_is_delivered_again() -> None:
    broker = LocalBroker(parcel(), label(), print_label, send)
    started = broker.start(parcel(), city="Oslo")
    before = broker.instance(started)
    deliveries = len(broker.deliveries)
    assert broker.redeliver() == ()
    assert broker.instance(started) == before
    again = broker.deliveries[deliveries:]
    # The answers of the services were published, and so delivered, once more.
    assert len(again) == deliveries + 2
    assert {type(one.outcome) for one in again if one.outcome} == {Duplicate}


def test_stubs_are_idempotent() -> None:
    broker = stubbed(LocalBroker(order))
    broker.start(order, order_id="A-1", amount=40)
    assert broker.redeliver() == ()


def test_a_function_that_makes_its_ids_up_is_found_out() -> None:
    ids = count()

    def reserve(request: Event) -> Event:
        return create_event(
            {
                "id": f"answer-{next(ids)}",
                "source": request.type,
                "type": "evt.inventory.reserve.success",
                "subject": request.subject,
                "data": RESERVED,
                "time": request.time,
                "to": request.redirectto,
            }
        )

    broker = LocalBroker(order)
    broker.subscribe("com.inventory.reserve", reserve)
    broker.start(order, order_id="A-1", amount=40)
    assert [event.id for event in broker.redeliver()] == ["answer-1"]


def test_a_memory_that_forgets_what_was_consumed_is_found_out() -> None:
    """A chart that counts takes the same event twice, where nobody knows that it was there already."""
    counting = """
initial: w
states:
  - name: w
    transitions:
      - event: evt.one.call.success
        action: |
          result += 1
          emit("com.some.count", {"n": result})
  - name: end
    type: final
"""
    machine = lab_machine(root=counting)
    for broker, made in (
        (LocalBroker(create_orchestrator(machines=[machine], memory=SimpleMachineMemory())), [{"n": 2}]),
        (LocalBroker(create_orchestrator(machines=[machine], memory=LocalMemory())), []),
        (LocalBroker(machine), []),
    ):
        started = broker.start(machine)
        broker.publish(
            create_event(
                {
                    "id": "e-1",
                    "source": "com.one.call",
                    "type": "evt.one.call.success",
                    "subject": started.subject,
                    "data": {"y": 1},
                    "time": started.time,
                    "to": machine.source,
                }
            )
        )
        assert [event.data for event in broker.redeliver()] == made


def test_each_event_may_be_delivered_twice_from_the_start() -> None:
    once = stubbed(LocalBroker(order))
    twice = stubbed(LocalBroker(order, copies=2))
    for broker in (once, twice):
        broker.start(order, order_id="A-1", amount=40)
    assert {event.id for event in twice.published} == {event.id for event in once.published}
    delivered = [one.event.id for one in twice.deliveries]
    # Requests came twice and were answered twice; the second answers are no new events, and came once.
    assert {delivered.count(event.id) for event in twice.published if event.type.startswith("com.")} == {2}
    assert {delivered.count(event.id) for event in twice.published if event.type.startswith("evt.")} == {3}
    assert twice.completion(twice.published[0]) == once.completion(once.published[0])


# Failing memories


@pytest.mark.parametrize("operation", ["read", "write"])
def test_an_event_comes_again_while_the_memory_fails(operation: Literal["read", "write"]) -> None:
    broker = stubbed(LocalBroker(order))
    broker.memory.fail(operation, 2)
    started = broker.start(order, order_id="A-1", amount=40)
    assert broker.completion(started).data["status"] == "completed"
    assert [type(fault.error) for fault in broker.errors] == [ArvoTransactionError] * 2
    assert [fault.event for fault in broker.errors] == [started, started]
    assert f"the memory was told to fail to {operation}" in str(broker.errors[0].error)


def test_a_failing_lock_is_a_fault_where_one_is_taken() -> None:
    broker = LocalBroker(order)
    broker.memory.fail("lock")
    broker.start(order, order_id="A-1", amount=40)
    assert [fault.error.cause.value for fault in broker.errors if isinstance(fault.error, ArvoTransactionError)] == [
        "LOCK_MACHINE_MEMORY_FAILURE"
    ]


def test_a_memory_that_fails_for_long_leaves_the_event_unprocessed() -> None:
    broker = LocalBroker(order)
    broker.memory.fail("write", 100)
    started = broker.start(order, order_id="A-1", amount=40)
    assert len(broker.errors) == ATTEMPTS_MAX
    assert broker.instance(started) is None
    assert broker.deliveries[0].outcome is None
    assert broker.published == (started,)
    with pytest.raises(AssertionError, match="It never started: no instance has its subject"):
        broker.completion(started)


def test_a_failed_write_keeps_nothing() -> None:
    memory = LocalMemory()
    broker = LocalBroker(create_orchestrator(machines=[order], memory=memory))
    memory.fail("write", ATTEMPTS_MAX)
    started = broker.start(order, order_id="A-1", amount=40)
    assert memory.seen(started) is None
    assert memory.kept(started.subject) is None
    broker.redeliver()
    assert memory.kept(started.subject) is not None


def test_looking_does_not_use_a_fault_up() -> None:
    broker = LocalBroker(order)
    started = broker.start(order, order_id="A-1", amount=40)
    broker.memory.fail("read")
    assert broker.instance(started) is not None


def test_a_memory_fails_at_what_it_does() -> None:
    with pytest.raises(ValueError, match="can't fail to 'unlock'; expected one of read, write, lock"):
        LocalMemory().fail("unlock")  # type: ignore[arg-type]


# Bounds


def test_events_that_go_round_in_a_circle_are_stopped_and_shown() -> None:
    broker = LocalBroker(deliveries_max=50)
    broker.subscribe("com.ping.ping", lambda event: _to("com.pong.pong", event))
    broker.subscribe("com.pong.pong", lambda event: _to("com.ping.ping", event))
    first = create_event(
        {"id": "1", "source": "com.test.user", "type": "com.ping.ping", "subject": "s", "data": {}, "time": TIME}
    )
    with pytest.raises(BrokerError) as caught:
        broker.publish(first)
    text = str(caught.value)
    assert text.startswith("After 50 deliveries 1 are still due: the events go round in a circle")
    assert "(the last 30; 20 came before)" in text
    assert "50. com.pong.pong {}\n       to com.pong.pong\n       + [default] com.ping.ping" in text


TIME = "2026-01-01T00:00:00Z"


def _to(event_type: str, event: Event) -> Event:
    return create_event(
        {
            "id": f"{event.id}+",
            "source": "com.test.user",
            "type": event_type,
            "subject": "s",
            "data": {},
            "time": TIME,
        }
    )


def test_the_bound_on_deliveries_is_the_tests_to_set() -> None:
    with pytest.raises(BrokerError, match="After 3 deliveries 1 are still due"):
        stubbed(LocalBroker(order, deliveries_max=3)).start(order, order_id="A-1", amount=40)


def test_the_queue_is_bounded_from_outside_too() -> None:
    broker = LocalBroker(order, queue_max=1)
    started = LocalBroker(order).start(order, order_id="A-1", amount=40)
    with pytest.raises(BrokerError, match=r"Event queue is full \(max size: 1\)"):
        broker.publish(started, started)
