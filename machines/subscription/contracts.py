"""What a subscription takes and gives, in two versions, and what its services do."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from worker.core.contracts import Number, create_contract, create_orchestrator_contract

Plan = Literal["basic", "full"]


class SubscriptionInit(BaseModel):
    """What starts a subscription."""

    account: str
    plan: Plan


class SubscriptionComplete(BaseModel):
    """How it ended, and what was paid."""

    account: str
    status: Literal["active", "refused"]
    paid: Number
    reason: str | None


class SubscriptionInit2(SubscriptionInit):
    """What starts a subscription, now with a coupon. Who knows nothing of it leaves it out."""

    coupon: str | None = None


class SubscriptionComplete2(SubscriptionComplete):
    """How it ended, what was paid, and how many percent less that was."""

    discount: int


class Charge(BaseModel):
    """Ask for the money."""

    account: str
    amount: Number


class Charged(BaseModel):
    """The charge was made."""

    receipt: str


class Redeem(BaseModel):
    """Ask what a coupon is worth, and use it up."""

    account: str
    coupon: str


class Redeemed(BaseModel):
    """What it is worth."""

    percent: Annotated[int, Field(ge=1, le=100)]


class Refusal(BaseModel):
    """Why a service refused."""

    reason: str


subscription = create_orchestrator_contract(
    uri="#/machines/subscription",
    name="subscription",
    versions={
        "1.0.0": {"init": SubscriptionInit, "complete": SubscriptionComplete},
        "2.0.0": {"init": SubscriptionInit2, "complete": SubscriptionComplete2},
    },
)

billing = create_contract(
    uri="#/services/billing",
    type="com.billing.charge",
    versions={
        "1.0.0": {
            "accepts": Charge,
            "emits": {"evt.billing.charge.success": Charged, "evt.billing.charge.declined": Refusal},
        }
    },
)

coupons = create_contract(
    uri="#/services/coupons",
    type="com.coupon.redeem",
    versions={
        "1.0.0": {
            "accepts": Redeem,
            "emits": {"evt.coupon.redeem.success": Redeemed, "evt.coupon.redeem.failure": Refusal},
        }
    },
)
