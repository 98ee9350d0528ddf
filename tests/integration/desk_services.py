"""Services of the order machine that leave traces: which process answered what, and what was done to the world.

Copied beside the processes that run it. An order `held-…` holds the inventory up until the file `go` is there.
"""

import os
import time
from pathlib import Path

from machines.order.contracts import (
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
from worker import Request, service

FOLDER = Path(os.environ["WORKER_TEST_FOLDER"])
HOLD_SECONDS_MAX = 60.0


def done(request: Request) -> None:
    """Have an effect, told by the request's key, and note which process tried."""
    (FOLDER / f"effect-{request.key}").touch()
    with (FOLDER / f"calls-{os.getpid()}").open("a") as calls:
        calls.write(f"{request.key}\n")


@service(inventory.version("1.0.0"))
def reserve(order: Reserve, request: Request) -> Reserved | Refusal:
    done(request)
    deadline = time.monotonic() + HOLD_SECONDS_MAX
    while order.order_id.startswith("held") and not (FOLDER / "go").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return Reserved(total=10, warehouse="Utrecht")


@service(approval.version("1.0.0"), domain="external")
def approve(order: Approve, request: Request) -> Approval:
    done(request)
    return Approval(approved=order.amount <= 1000, by="the desk")


@service(payment.version("1.0.0"))
def charge(_: Charge, request: Request) -> Charged:
    done(request)
    return Charged(charge_id=request.key)
