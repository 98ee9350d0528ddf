"""Sample services that answer the order machine: inventory, approval, payment.

What they answer can be read off the order:

    an item of the sku `out-of-stock`    the inventory refuses
    an amount above 1000                 the approval is denied
    a total above 500                    the payment is declined
"""

from typing import Any, Final

from worker.demo.contracts import (
    Approval,
    Approve,
    Charge,
    Charged,
    Refusal,
    Reserve,
    Reserved,
    approval,
    inventory,
    payment,
)
from worker.demo.rules import APPROVAL_LIMIT, DECLINED_REASON, OUT_OF_STOCK, OUT_OF_STOCK_REASON, PAYMENT_LIMIT, price
from worker.services.request import Request
from worker.services.service import Service, service


@service(inventory.version("1.0.0"))
def reserve(order: Reserve) -> Reserved | Refusal:
    """Set the items aside."""
    if any(item.sku == OUT_OF_STOCK for item in order.items):
        return Refusal(reason=OUT_OF_STOCK_REASON)
    return Reserved(total=sum(price(item.sku, item.qty) for item in order.items), warehouse="Utrecht")


@service(approval.version("1.0.0"), domain="external")
def approve(order: Approve) -> Approval:
    """Stand in for a person who decides."""
    return Approval(approved=order.amount <= APPROVAL_LIMIT, by="sample approver")


@service(payment.version("1.0.0"))
def charge(order: Charge, request: Request) -> Charged | Refusal:
    """Charge the card; the request's key keeps a second delivery from a second charge."""
    if order.amount > PAYMENT_LIMIT:
        return Refusal(reason=DECLINED_REASON)
    return Charged(charge_id=f"ch-{request.key[:8]}")


SAMPLE_SERVICES: Final[tuple[Service[..., Any], ...]] = (reserve, approve, charge)
