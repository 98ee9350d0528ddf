"""Workload W: orders and the services' answers, as real producers send them.

One instance is four input events (init, then the replies of inventory, approval and payment) and four outputs.
Every optional attribute that a real producer sets is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from worker.core.codec import EncodedRecord, encode_record
from worker.core.events import ARVO_CONTENT_TYPE, create_event
from worker.core.subjects import root_subject

SOURCE = "arvo.orc.order"
CLIENT = "com.example.shop"
OUTPUT_TYPES = ("com.inventory.reserve", "com.approval.request", "com.payment.charge", "arvo.orc.order.done")
STATES = ("reserving", "approving", "charging", "completed")


@dataclass(frozen=True, slots=True)
class Order:
    """One order of the workload: its number names everything."""

    number: int

    @property
    def id(self) -> str:
        return f"order-{self.number:06d}"

    @property
    def subject(self) -> str:
        execution = str(uuid5(NAMESPACE_URL, self.id))
        return root_subject(name=SOURCE, version="1.0.0", initiator=CLIENT, execution_id=execution)

    def record(self, step: int) -> EncodedRecord:
        """Give the record of an event: 0 starts the order, 1 to 3 are the replies."""
        type_, source, dataschema, data = self._events()[step]
        event = create_event(
            {
                "id": f"{self.id}-{step}",
                "source": source,
                "type": type_,
                "subject": self.subject,
                "datacontenttype": ARVO_CONTENT_TYPE,
                "dataschema": dataschema,
                "data": data,
                "time": "2026-01-01T00:00:00.000+00:00",
                "to": SOURCE,
                "accesscontrol": "role:shop",
                "executionunits": 0.5,
                "traceparent": f"00-{uuid5(NAMESPACE_URL, self.id).hex}-00f067aa0ba902b7-00",
                "parentid": f"{self.id}-{step}-request",
            }
        )
        return encode_record(event)

    def _events(self) -> tuple[tuple[str, str, str, dict[str, Any]], ...]:
        order = {
            "parentSubject$$": None,
            "order_id": self.id,
            "amount": 99.5,
            "customer": "Ada Lovelace",
            "currency": "EUR",
            "items": [{"sku": "book-1", "qty": 2}, {"sku": "pen-7", "qty": 1}],
        }
        inventory, approval, payment = (
            "#/services/inventory/1.0.0",
            "#/services/approval/1.0.0",
            "#/services/payment/1.0.0",
        )
        return (
            (SOURCE, CLIENT, "#/machines/order/1.0.0", order),
            (
                "evt.inventory.reserve.success",
                "com.inventory.reserve",
                inventory,
                {"total": 99.5, "warehouse": "north"},
            ),
            ("evt.approval.request.success", "com.approval.request", approval, {"approved": True, "by": "grace"}),
            ("evt.payment.charge.success", "com.payment.charge", payment, {"charge_id": f"charge-{self.number}"}),
        )


def records(orders: int) -> Iterator[EncodedRecord]:
    """Give all records: all inits first, then all first replies, and so on."""
    for step in range(len(STATES)):
        for number in range(orders):
            yield Order(number).record(step)
