"""The sample services' answers."""

from typing import Any
from uuid import UUID

import pytest

from worker.core.events import Event, create_event
from worker.demo.services import ORDER_MACHINE, answer

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
        "dataschema": DATASCHEMAS.get(event_type),
        "data": data,
        "time": "2024-01-15T12:34:56.789+00:00",
        "redirectto": "arvo.orc.other",
        "accesscontrol": "xyz",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    }
    return create_event(attributes | changed)


@pytest.mark.parametrize(
    ("event_type", "data", "reply_type", "reply"),
    [
        ("com.inventory.reserve", {"items": [{"sku": "lamp", "qty": 2}]}, "success", {"total": 80.0}),
        ("com.inventory.reserve", {"items": [{"sku": "else", "qty": 3}]}, "success", {"total": 30.0}),
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
    event = answer(request(event_type, data), NOW)
    assert event is not None
    assert event.type == f"evt{event_type.removeprefix('com')}.{reply_type}"
    assert reply.items() <= event.data.items()


def test_an_answer_goes_back_to_the_instance_that_asked() -> None:
    asked = request("com.approval.request", {"amount": 1})
    event = answer(asked, NOW)
    assert event is not None
    assert (event.subject, event.to, event.parentid) == (asked.subject, asked.redirectto, asked.id)
    assert (event.source, event.dataschema) == (asked.type, asked.dataschema)
    assert (event.traceparent, event.accesscontrol) == (asked.traceparent, asked.accesscontrol)


def test_the_same_request_gives_the_same_answer() -> None:
    asked = request("com.payment.charge", {"amount": 1})
    first, second = answer(asked, NOW), answer(asked, NOW + 1)
    assert first is not None
    assert second is not None
    assert (first.id, first.data) == (second.id, second.data)
    assert UUID(first.id).version == 5
    other = answer(request("com.payment.charge", {"amount": 1}, id="request-2"), NOW)
    assert other is not None
    assert other.id != first.id


@pytest.mark.parametrize(
    "changed", [{"source": "arvo.orc.else"}, {"dataschema": "#/services/payment/2.0.0"}, {"type": "com.payment.refund"}]
)
def test_what_is_not_for_them_is_left_alone(changed: dict[str, Any]) -> None:
    assert answer(request("com.payment.charge", {"amount": 1}, **changed), NOW) is None
