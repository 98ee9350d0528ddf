"""Trips with their children and grandchildren: together, each refused or broken in turn, repeated, too late."""

from typing import Any

import pytest

from machines.travel import machines
from machines.travel.contracts import trip
from machines.travel.functions import why
from machines.travel.services import charge_card, hold_seat, reserve_room
from worker.core.contracts import ContractVersion
from worker.core.events import Event
from worker.core.instances import Status
from worker.core.outcomes import Failed, Ignored, IgnoredReason
from worker.core.subjects import decode_subject
from worker.testing import LocalBroker

SERVICES = (hold_seat, reserve_room, charge_card)
TRIP = {"trip_id": "t-1", "city": "Lyon", "nights": 2, "card": "4000"}
FAILURE = {"errorName": "Down", "errorMessage": "no power", "errorStack": None}

FLIGHT, HOTEL, PAYMENT = "arvo.orc.flight", "arvo.orc.hotel", "arvo.orc.payment"
SEATS, ROOMS, CARDS = "com.seat.hold", "com.room.reserve", "com.card.charge"


@pytest.fixture(params=[1, 2], ids=["delivered once", "delivered twice"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    """Give the four orchestrators, without any service."""
    return LocalBroker(*machines, copies=request.param)


def all_of(broker: LocalBroker, event_type: str) -> list[Event]:
    return [event for event in broker.published if event.type == event_type]


def only(broker: LocalBroker, event_type: str) -> Event:
    (event,) = all_of(broker, event_type)
    return event


def asked(broker: LocalBroker, event_type: str) -> Event:
    """Give the request of this type that nobody has answered yet."""
    (request,) = [event for event in broker.waiting() if event.type == event_type]
    return request


def hold(broker: LocalBroker) -> None:
    broker.reply(asked(broker, SEATS), "evt.seat.hold.success", seat="12A", price=120)


def pay(broker: LocalBroker) -> None:
    broker.reply(asked(broker, CARDS), "evt.card.charge.success", receipt="r-1")


def reserve(broker: LocalBroker) -> Event:
    return broker.reply(asked(broker, ROOMS), "evt.room.reserve.success", room="101", price=160)


def break_contract(broker: LocalBroker, request_type: str, reply_type: str) -> None:
    """Answer with nothing of what the contract asks for: whoever asked fails."""
    broker.reply(asked(broker, request_type), reply_type, {})


def states(broker: LocalBroker, event: Event) -> tuple[str, ...]:
    instance = broker.instance(event)
    assert instance is not None
    return instance.snapshot.configuration


def assert_trip(broker: LocalBroker, start: Event, status: str, **expected: Any) -> None:
    completion = broker.completion(start)
    nothing: dict[str, Any] = {
        "trip_id": "t-1",
        "status": status,
        "flight": None,
        "hotel": None,
        "price": 0,
        "problems": [],
    }
    assert completion.data == nothing | expected
    assert (completion.subject, completion.to) == (start.subject, start.source)
    assert (broker.errors, broker.dead_letters) == ((), ())


# All together


def test_a_trip_is_booked(broker: LocalBroker) -> None:
    broker.add(*SERVICES)
    start = broker.start(trip, TRIP)
    assert_trip(broker, start, "booked", flight="seat-t-1", hotel="room-t-1", price=280)
    assert broker.domains == ("default",)
    assert broker.redeliver() == ()
    # Four starts, three requests with an answer each, four completions.
    assert len({event.id for event in broker.published}) == 4 + 2 * 3 + 4


@pytest.mark.parametrize(
    ("data", "status", "expected"),
    [
        ({"city": "Nowhere"}, "partly", {"hotel": "room-t-1", "price": 160, "problems": ["no flight goes to Nowhere"]}),
        (
            {"city": "Fully"},
            "partly",
            {"flight": "seat-t-1", "price": 120, "problems": ["all hotels of Fully are full"]},
        ),
        ({"card": "empty"}, "partly", {"hotel": "room-t-1", "price": 160, "problems": ["the card is declined"]}),
    ],
)
def test_what_is_refused_is_missing(
    broker: LocalBroker, data: dict[str, Any], status: str, expected: dict[str, Any]
) -> None:
    broker.add(*SERVICES)
    assert_trip(broker, broker.start(trip, TRIP, **data), status, **expected)


# Subjects


def assert_child(broker: LocalBroker, start: Event, parent: Event, name: str) -> None:
    """Hold a child's start and completion against its parent's."""
    subject = decode_subject(start.subject)
    parent_source = decode_subject(parent.subject).name
    assert (start.source, start.to, start.redirectto) == (parent_source, name, parent_source)
    assert (subject.name, subject.version, subject.initiator) == (name, "1.0.0", parent_source)
    assert subject.meta == {"redirectto": parent_source}
    assert start.data["parentSubject$$"] == parent.subject
    instance = broker.instance(start)
    assert instance is not None
    assert (instance.parent_subject, instance.status) == (parent.subject, Status.DONE)
    completion = broker.completion(start)
    assert (completion.subject, completion.source, completion.to) == (parent.subject, name, parent_source)


def test_every_level_answers_the_one_above(broker: LocalBroker) -> None:
    broker.add(*SERVICES)
    start = broker.start(trip, TRIP)
    flight, hotel, payment = (only(broker, name) for name in (FLIGHT, HOTEL, PAYMENT))
    assert_child(broker, flight, start, FLIGHT)
    assert_child(broker, hotel, start, HOTEL)
    assert_child(broker, payment, flight, PAYMENT)
    assert only(broker, CARDS).subject == payment.subject
    assert len({event.subject for event in (start, flight, hotel, payment)}) == 4


# The join


def test_the_children_run_at_the_same_time_and_both_are_waited_for(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    assert {event.type for event in broker.waiting()} == {SEATS, ROOMS}
    assert {"awaiting_flight", "awaiting_hotel"} < set(states(broker, start))
    reserve(broker)
    assert {"awaiting_flight", "hotel_settled"} < set(states(broker, start))
    hold(broker)
    pay(broker)
    assert_trip(broker, start, "booked", flight="12A", hotel="101", price=280)


def test_the_flight_may_be_the_first_to_be_there(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    hold(broker)
    pay(broker)
    assert {"awaiting_hotel", "flight_settled"} < set(states(broker, start))
    reserve(broker)
    assert_trip(broker, start, "booked", flight="12A", hotel="101", price=280)


# Services that fail: an answer one level up


@pytest.mark.parametrize("request_type", [SEATS, CARDS])
def test_a_service_of_the_flight_fails(broker: LocalBroker, request_type: str) -> None:
    start = broker.start(trip, TRIP)
    reserve(broker)
    if request_type == CARDS:
        hold(broker)
    broker.reply(asked(broker, request_type), f"sys.{request_type}.error", FAILURE)
    assert_trip(broker, start, "partly", hotel="101", price=160, problems=["no power"])


def test_both_are_refused(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    broker.reply(asked(broker, SEATS), "evt.seat.hold.failure", reason="no seat")
    broker.reply(asked(broker, ROOMS), f"sys.{ROOMS}.error", FAILURE)
    assert_trip(broker, start, "failed", problems=["no seat", "no power"])


# Children that fail: a system error, and the parent decides


def assert_failed(broker: LocalBroker, child: Event, parent: Event) -> None:
    """See that a child failed, once, that its parent was told, and that the child could go on."""
    errors = [
        one.outcome.emitted.event
        for one in broker.deliveries
        if isinstance(one.outcome, Failed) and one.event.subject == child.subject
    ]
    (error,) = errors
    told = (error.type, error.subject, error.to)
    assert told == (f"sys.{child.type}.error", parent.subject, decode_subject(parent.subject).name)
    assert error.data["errorName"] == "ContractViolation"
    instance = broker.instance(child)
    assert instance is not None
    assert instance.status is Status.ACTIVE


def test_a_flight_that_fails_is_not_tried_again(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    reserve(broker)
    break_contract(broker, SEATS, "evt.seat.hold.success")
    assert_failed(broker, only(broker, FLIGHT), start)
    (problem,) = broker.completion(start).data["problems"]
    assert "seat" in problem
    assert_trip(broker, start, "partly", hotel="101", price=160, problems=[problem])


def test_a_grandchild_that_fails_is_a_flight_that_could_not_be_booked(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    reserve(broker)
    hold(broker)
    break_contract(broker, CARDS, "evt.card.charge.success")
    flight = only(broker, FLIGHT)
    assert_failed(broker, only(broker, PAYMENT), flight)
    assert broker.completion(flight).data["booking"] is None
    (problem,) = broker.completion(start).data["problems"]
    assert "receipt" in problem
    assert all_of(broker, f"sys.{FLIGHT}.error") == []


def test_a_hotel_that_fails_is_started_once_more(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    break_contract(broker, ROOMS, "evt.room.reserve.success")
    first, second = all_of(broker, HOTEL)
    assert_failed(broker, first, start)
    assert first.subject != second.subject
    assert decode_subject(second.subject).initiator == "arvo.orc.trip"
    reserve(broker)
    hold(broker)
    pay(broker)
    assert_trip(broker, start, "booked", flight="12A", hotel="101", price=280)


def test_a_hotel_that_fails_again_is_done_without(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    break_contract(broker, ROOMS, "evt.room.reserve.success")
    break_contract(broker, ROOMS, "evt.room.reserve.success")
    hold(broker)
    pay(broker)
    (problem,) = broker.completion(start).data["problems"]
    assert "room" in problem
    assert_trip(broker, start, "partly", flight="12A", price=120, problems=[problem])
    assert len(all_of(broker, HOTEL)) == 2


def test_a_child_that_failed_and_was_corrected_answers_too_late(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    first_request = asked(broker, ROOMS)
    break_contract(broker, ROOMS, "evt.room.reserve.success")
    reserve(broker)
    settled = broker.instance(start)
    broker.reply(first_request, "evt.room.reserve.success", room="late", price=1)
    assert broker.completion(all_of(broker, HOTEL)[0]).data["booking"] == "late"
    assert broker.instance(start) == settled
    hold(broker)
    pay(broker)
    assert_trip(broker, start, "booked", flight="12A", hotel="101", price=280)


def test_an_answer_to_a_child_that_has_ended_is_ignored(broker: LocalBroker) -> None:
    start = broker.start(trip, TRIP)
    request = asked(broker, ROOMS)
    reserve(broker)
    again = broker.reply(request, "evt.room.reserve.failure", reason="full after all")
    outcome = next(one.outcome for one in broker.deliveries if one.event == again)
    assert outcome == Ignored(IgnoredReason.ENDED)
    assert "hotel_settled" in states(broker, start)


# Each alone, as services of somebody else


@pytest.mark.parametrize("contract", [machine.contract for machine in machines[1:]])
def test_a_child_can_be_started_by_anybody(broker: LocalBroker, contract: ContractVersion) -> None:
    broker.add(*SERVICES)
    data = {"trip_id": "t-1", "city": "Lyon", "nights": 1, "card": "4000", "reference": "r", "amount": 1}
    start = broker.start(
        contract, {name: data[name] for name in contract.accepts.declared.model_fields if name in data}
    )
    completion = broker.completion(start)
    assert (completion.subject, completion.to) == (start.subject, start.source)


@pytest.mark.parametrize(
    ("event_type", "data", "expected"),
    [
        ("sys.com.seat.hold.error", {"errorMessage": "no power", "reason": "other"}, "no power"),
        ("evt.seat.hold.failure", {"reason": "no seat"}, "no seat"),
    ],
)
def test_why(event_type: str, data: dict[str, Any], expected: str) -> None:
    assert why(event_type, data) == expected
