"""The demo's orders: what is sent, and how each has to end."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from worker.core.codec import encode_record
from worker.core.events import Event, create_event
from worker.core.records import Output
from worker.core.subjects import root_subject
from worker.core.times import to_event_time
from worker.demo.rules import DECLINED_REASON, ORDER_MACHINE, OUT_OF_STOCK, OUT_OF_STOCK_REASON, price

SOURCE: Final = "com.example.shop"
VERSION: Final = "1.0.0"
DATASCHEMA: Final = f"#/machines/order/{VERSION}"

_CUSTOMERS: Final = ("Ada", "Alan", "Barbara", "Edsger", "Grace", "Tony")
_EVERYDAY: Final = (("lamp", 1), ("pen", 12), ("chair", 2), ("desk", 1), ("lamp", 3))
# The first of these that divides an order's number decides what it is about; the others complete.
_EVERY_SCARCE: Final = 20
_EVERY_DEAR: Final = 10
_EVERY_LARGE: Final = 19


@dataclass(frozen=True, slots=True)
class Ending:
    """How an order ends: the status and the reason of its completion."""

    status: str
    reason: str | None = None


COMPLETED: Final = Ending("completed")
NOT_APPROVED: Final = Ending("rejected")
REFUSED: Final = Ending("failed", OUT_OF_STOCK_REASON)
DECLINED: Final = Ending("failed", DECLINED_REASON)


@dataclass(frozen=True, slots=True)
class Order:
    """One order: the event that starts it, and how it has to end."""

    order_id: str
    event: Event
    ending: Ending


@dataclass(frozen=True, slots=True)
class Orders:
    """One run's orders, told from those of other runs by `run`.

    `faulty` is an event whose data breaks its contract; `broken` is bytes that are no event.
    """

    run: str
    orders: tuple[Order, ...]
    faulty: Event
    broken: bytes

    def outputs(self, topic: str) -> list[Output]:
        """Give the records to send, the two bad ones in the middle."""
        records = [_record(topic, order.event) for order in self.orders]
        bad = [_record(topic, self.faulty), Output(topic, None, self.broken, ())]
        middle = len(records) // 2
        return records[:middle] + bad + records[middle:]


@dataclass(frozen=True, slots=True)
class _Basket:
    sku: str
    qty: int
    ending: Ending = field(default=COMPLETED)

    @property
    def items(self) -> list[Mapping[str, Any]]:
        return [{"sku": self.sku, "qty": self.qty}]


def make_orders(count: int, now_ms: int) -> Orders:
    """Make orders of all kinds."""
    run = secrets.token_hex(3)
    return Orders(
        run=run,
        orders=tuple(_order(run, number, now_ms) for number in range(1, count + 1)),
        faulty=_event({"order_id": f"{run}-faulty", "amount": -5, "parentSubject$$": None}, now_ms),
        broken=f"{{\"this is no JSON, of the demo's run {run}".encode(),
    )


def _order(run: str, number: int, now_ms: int) -> Order:
    basket = _basket(number)
    order_id = f"{run}-{number:05}"
    data = {
        "order_id": order_id,
        "amount": price(basket.sku, basket.qty),
        "customer": _CUSTOMERS[number % len(_CUSTOMERS)],
        "items": basket.items,
        "parentSubject$$": None,
    }
    return Order(order_id, _event(data, now_ms), basket.ending)


def _basket(number: int) -> _Basket:
    if number % _EVERY_SCARCE == 0:
        return _Basket(OUT_OF_STOCK, 1, REFUSED)
    if number % _EVERY_DEAR == 0:
        return _Basket("chair", 5, DECLINED)
    if number % _EVERY_LARGE == 0:
        return _Basket("desk", 4, NOT_APPROVED)
    return _Basket(*_EVERYDAY[number % len(_EVERYDAY)])


def _event(data: dict[str, Any], now_ms: int) -> Event:
    subject = root_subject(name=ORDER_MACHINE, version=VERSION, initiator=SOURCE, execution_id=str(uuid4()))
    return create_event(
        {
            "id": str(uuid4()),
            "source": SOURCE,
            "type": ORDER_MACHINE,
            "subject": subject,
            "dataschema": DATASCHEMA,
            "data": data,
            "time": to_event_time(now_ms),
            "to": ORDER_MACHINE,
        }
    )


def _record(topic: str, event: Event) -> Output:
    encoded = encode_record(event)
    return Output(topic, encoded.key, encoded.value, encoded.headers)
