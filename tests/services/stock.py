"""Contracts and requests for the tests of services."""

from typing import Any

from pydantic import BaseModel

from worker.core.contracts import create_contract
from worker.core.events import Event, create_event

URI = "#/services/stock"
TYPE = "com.stock.take"
ORDER_MACHINE = "arvo.orc.order"
NOW = 1_767_323_045_678
NOW_TEXT = "2026-01-02T03:04:05.678+00:00"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TAKEN, MISSING, LATE = "evt.stock.take.taken", "evt.stock.take.missing", "evt.stock.take.late"
SYSTEM_ERROR = f"sys.{TYPE}.error"


class Take(BaseModel):
    sku: str
    qty: int = 1


class Taken(BaseModel):
    left: int


class Missing(BaseModel):
    reason: str


stock = create_contract(
    uri=URI,
    type=TYPE,
    versions={
        "1.0.0": {"accepts": Take, "emits": {TAKEN: Taken, MISSING: Missing}},
        "2.0.0": {"accepts": Take, "emits": {TAKEN: Taken, MISSING: Missing, LATE: Missing}},
        "10.0.0": {"accepts": dict[str, Any], "emits": {TAKEN: dict[str, Any]}},
    },
)
V1, V2, V10 = stock.version("1.0.0"), stock.version("2.0.0"), stock.version("10.0.0")


def request(data: dict[str, Any] | None = None, **changed: Any) -> Event:
    attributes = {
        "id": "request-1",
        "source": ORDER_MACHINE,
        "type": TYPE,
        "subject": "an order",
        "dataschema": f"{URI}/1.0.0",
        "data": {"sku": "lamp"} if data is None else data,
        "time": "2026-01-02T03:04:05+00:00",
    }
    return create_event(attributes | changed)
