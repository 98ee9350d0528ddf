"""The sample services' answers."""

from typing import Any

import pytest

from worker.core.events import Event, create_event
from worker.demo.rules import ORDER_MACHINE
from worker.demo.services import SAMPLE_SERVICES

NOW = 1_700_000_000_000
DATASCHEMAS = {
    "com.inventory.reserve": "#/services/inventory/1.0.0",
    "com.approval.request": "#/services/approval/1.0.0",
    "com.payment.charge": "#/services/payment/1.0.0",
}


def request(event_type: str, data: dict[str, Any], **changed: Any) -> Event:
    attributes = {
        "id": "request-1",
        "source": ORDER_MACHINE,
        "type": event_type,
        "subject": "subject",
        "dataschema": DATASCHEMAS[event_type],
        "data": {"order_id": "o-1", **data},
        "time": "2024-01-15T12:34:56.789+00:00",
        "redirectto": "arvo.orc.other",
    }
    return create_event(attributes | changed)


def answer(asked: Event) -> Event:
    (answered,) = (one for service in SAMPLE_SERVICES for one in service.answer(asked, NOW))
    return answered.event


@pytest.mark.parametrize(
    ("event_type", "data", "reply_type", "reply"),
    [
        ("com.inventory.reserve", {"items": [{"sku": "lamp", "qty": 2}]}, "success", {"total": 80.0}),
        ("com.inventory.reserve", {"items": [{"sku": "else", "qty": 3}]}, "success", {"total": 30.0}),
        ("com.inventory.reserve", {"items": []}, "success", {"total": 0}),
        ("com.inventory.reserve", {"items": [{"sku": "out-of-stock", "qty": 1}]}, "failure", {}),
        ("com.approval.request", {"amount": 1000}, "success", {"approved": True}),
        ("com.approval.request", {"amount": 1000.5}, "success", {"approved": False}),
        ("com.payment.charge", {"amount": 500}, "success", {}),
        ("com.payment.charge", {"amount": 501}, "declined", {}),
    ],
)
def test_the_answer_is_in_the_order(
    event_type: str, data: dict[str, Any], reply_type: str, reply: dict[str, Any]
) -> None:
    event = answer(request(event_type, data))
    assert event.type == f"evt{event_type.removeprefix('com')}.{reply_type}"
    assert reply.items() <= event.data.items()
    assert event.to == "arvo.orc.other"


def test_a_card_is_charged_once_for_a_request() -> None:
    first, again = (answer(request("com.payment.charge", {"amount": 1})) for _ in range(2))
    other = answer(request("com.payment.charge", {"amount": 1}, id="request-2"))
    assert first == again
    assert other.data["charge_id"] != first.data["charge_id"]


def test_a_broken_request_is_told_of() -> None:
    assert answer(request("com.payment.charge", {"amount": "1"})).type == "sys.com.payment.charge.error"


def test_people_are_asked_in_a_domain_of_their_own() -> None:
    assert {one.source: one.domain for one in SAMPLE_SERVICES} == {
        "com.inventory.reserve": "default",
        "com.approval.request": "external",
        "com.payment.charge": "default",
    }
