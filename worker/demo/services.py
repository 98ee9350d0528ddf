"""Sample services that answer the order machine: inventory, approval, payment.

What they answer can be read off the order:

    an item of the sku `out-of-stock`    the inventory refuses
    an amount above 1000                 the approval is denied
    a total above 500                    the payment is declined

They answer at least once. An answer's id is derived from its request's, so the worker drops the second of two.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid5

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.producing import EventProducer
from worker.adapters.kafka.tailing import Start, TopicTail
from worker.core.codec import decode_record, encode_record
from worker.core.errors import InvalidEventError
from worker.core.events import Event, create_event
from worker.core.records import Output, Record
from worker.core.routing import Topics
from worker.core.times import to_event_time
from worker.ports import KafkaUnavailable

ORDER_MACHINE: Final = "arvo.orc.order"
DOMAINS: Final = ("default", "external")

OUT_OF_STOCK: Final = "out-of-stock"
APPROVAL_LIMIT: Final = 1000
PAYMENT_LIMIT: Final = 500
PRICES: Final[Mapping[str, float]] = {"pen": 2.5, "lamp": 40.0, "chair": 120.0, "desk": 280.0}
OTHER_PRICE: Final = 10.0

OUT_OF_STOCK_REASON: Final = "an item is out of stock"
DECLINED_REASON: Final = f"the card's limit is {PAYMENT_LIMIT}"

_NAMESPACE: Final = UUID("b8a3a0c4-98a5-5d0e-8d1c-6b5d8d0c2f41")
_READ_WAIT_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 1.0
_STOP_TIMEOUT_SECONDS: Final = 10.0


def total_price(items: list[Mapping[str, Any]]) -> float:
    """Give what items cost."""
    return float(sum(PRICES.get(item["sku"], OTHER_PRICE) * item["qty"] for item in items))


Reply = tuple[str, dict[str, Any]]
"""The type and the data of an answer."""


def _reserve(data: Mapping[str, Any], _: str) -> Reply:
    if any(item["sku"] == OUT_OF_STOCK for item in data["items"]):
        return "evt.inventory.reserve.failure", {"reason": OUT_OF_STOCK_REASON}
    return "evt.inventory.reserve.success", {"total": total_price(data["items"]), "warehouse": "Utrecht"}


def _approve(data: Mapping[str, Any], _: str) -> Reply:
    return "evt.approval.request.success", {"approved": data["amount"] <= APPROVAL_LIMIT, "by": "sample approver"}


def _charge(data: Mapping[str, Any], answer_id: str) -> Reply:
    if data["amount"] > PAYMENT_LIMIT:
        return "evt.payment.charge.declined", {"reason": DECLINED_REASON}
    return "evt.payment.charge.success", {"charge_id": f"ch-{answer_id[:8]}"}


@dataclass(frozen=True, slots=True)
class _Service:
    dataschema: str
    reply: Callable[[Mapping[str, Any], str], Reply]


_SERVICES: Final = {
    "com.inventory.reserve": _Service("#/services/inventory/1.0.0", _reserve),
    "com.approval.request": _Service("#/services/approval/1.0.0", _approve),
    "com.payment.charge": _Service("#/services/payment/1.0.0", _charge),
}


def answer(request: Event, now_ms: int) -> Event | None:
    """Answer a request of the order machine; anything else is not for these services."""
    service = _SERVICES.get(request.type)
    if service is None or request.source != ORDER_MACHINE or request.dataschema != service.dataschema:
        return None
    answer_id = str(uuid5(_NAMESPACE, request.id))
    reply_type, data = service.reply(request.data, answer_id)
    return create_event(
        {
            "id": answer_id,
            "source": request.type,
            "type": reply_type,
            "subject": request.subject,
            "dataschema": service.dataschema,
            "data": data,
            "time": to_event_time(now_ms),
            "to": request.redirectto or request.source,
            "accesscontrol": request.accesscontrol,
            "parentid": request.id,
            "traceparent": request.traceparent,
            "tracestate": request.tracestate,
        }
    )


class SampleServices:
    """Answer on a thread of their own for as long as the context lasts; brokers that are away are waited for."""

    def __init__(self, kafka: KafkaConfig, topics: Topics) -> None:
        self._kafka = kafka
        self._topics = topics
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sample-services", daemon=True)

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop after the requests in hand."""
        self._stopping.set()
        self._thread.join(_STOP_TIMEOUT_SECONDS)

    def _run(self) -> None:
        domains = [self._topics.domain(domain) for domain in DOMAINS]
        name = f"{self._topics.prefix}-sample-services"
        while not self._stopping.is_set():
            try:
                with TopicTail(self._kafka, domains, Start.COMMITTED, name) as tail:
                    self._serve(tail, EventProducer(self._kafka))
            except KafkaUnavailable:
                # What was read and not answered is read again.
                self._stopping.wait(_RETRY_SECONDS)

    def _serve(self, tail: TopicTail, producer: EventProducer) -> None:
        while not self._stopping.is_set():
            for received in tail.read(_READ_WAIT_SECONDS):
                reply = _answer_record(received.record)
                if reply is not None:
                    encoded = encode_record(reply)
                    producer.send(Output(self._topics.input, encoded.key, encoded.value, encoded.headers))
            producer.flush()
            tail.commit()


def _answer_record(record: Record) -> Event | None:
    try:
        request = decode_record(record.value, record.headers)
        return answer(request, time.time_ns() // 1_000_000)
    except (InvalidEventError, KeyError, TypeError):
        # Anybody may write to these topics; what is no request is nothing to answer.
        return None
