"""What the order workflow accepts and emits, and what its services do."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from worker.core.contracts import Number, create_contract, create_orchestrator_contract


class Item(BaseModel):
    """A line of an order."""

    sku: str
    qty: Annotated[int, Field(ge=1)]


class OrderInit(BaseModel):
    """What starts an order."""

    order_id: str
    amount: Annotated[Number, Field(ge=0)]
    customer: str = ""
    currency: str = "EUR"
    items: list[Item] = []


class OrderComplete(BaseModel):
    """How an order ended. `total` is there once the items were reserved, `charge_id` once the charge was made."""

    order_id: str
    status: Literal["completed", "rejected", "failed"]
    total: Number | None
    charge_id: str | None
    reason: str | None


class Reserve(BaseModel):
    """Ask the inventory for items."""

    order_id: str
    items: list[Item]


class Reserved(BaseModel):
    """The items are set aside."""

    total: Number
    warehouse: str


class Approve(BaseModel):
    """Ask somebody to approve an order."""

    order_id: str
    amount: Number


class Approval(BaseModel):
    """Somebody's decision."""

    approved: bool
    by: str


class Charge(BaseModel):
    """Ask for the money."""

    order_id: str
    amount: Number


class Charged(BaseModel):
    """The charge was made."""

    charge_id: str


class Refusal(BaseModel):
    """Why a service refused."""

    reason: str


order = create_orchestrator_contract(
    uri="#/machines/order",
    name="order",
    versions={"1.0.0": {"init": OrderInit, "complete": OrderComplete}},
)

inventory = create_contract(
    uri="#/services/inventory",
    type="com.inventory.reserve",
    versions={
        "1.0.0": {
            "accepts": Reserve,
            "emits": {"evt.inventory.reserve.success": Reserved, "evt.inventory.reserve.failure": Refusal},
        }
    },
)

approval = create_contract(
    uri="#/services/approval",
    type="com.approval.request",
    versions={"1.0.0": {"accepts": Approve, "emits": {"evt.approval.request.success": Approval}}},
)

payment = create_contract(
    uri="#/services/payment",
    type="com.payment.charge",
    versions={
        "1.0.0": {
            "accepts": Charge,
            "emits": {"evt.payment.charge.success": Charged, "evt.payment.charge.declined": Refusal},
        }
    },
)
