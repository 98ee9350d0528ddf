"""Every path through the order's chart, event by event; and the whole of it, with services, twice."""

from collections.abc import Mapping
from typing import Any

import pytest

from machines.order import machine
from machines.order.functions import refusal
from worker.testing import LocalBroker, Run, Scenario

ITEMS = [{"sku": "s-1", "qty": 2}]
ORDER = {"order_id": "o-1", "amount": 12.5, "customer": "Ada", "currency": "CHF", "items": ITEMS}

RESERVED = ("evt.inventory.reserve.success", {"total": 14, "warehouse": "w-1"})
APPROVED = ("evt.approval.request.success", {"approved": True, "by": "Grace"})
CHARGED = ("evt.payment.charge.success", {"charge_id": "c-1"})

Reply = tuple[str, Mapping[str, Any]]


def order(*replies: Reply) -> Run:
    """Start an order and give it these replies."""
    run = Scenario(machine).given(ORDER)
    for reply in replies:
        run.when(*reply)
    return run


def error(type_: str) -> Reply:
    return (f"sys.{type_}.error", {"errorName": "Down", "errorMessage": "no power", "errorStack": None})


def test_an_order_completes() -> None:
    run = order()
    run.then(state="reserving", emitted=[("com.inventory.reserve", {"order_id": "o-1", "items": ITEMS})])
    run.then_emitted("com.inventory.reserve", domains=["default"])

    run.when(*RESERVED)
    run.then(state="approving", emitted=[("com.approval.request", {"order_id": "o-1", "amount": 12.5})])
    run.then_emitted("com.approval.request", domains=["external"])

    run.when(*APPROVED)
    run.then(state="charging", emitted=[("com.payment.charge", {"order_id": "o-1", "amount": 14})])
    run.then_emitted("com.payment.charge", domains=["default"])

    run.when(*CHARGED)
    run.then(state="completed", emitted=[])
    run.then_completed(order_id="o-1", status="completed", total=14, charge_id="c-1", reason=None)
    assert run.context == ORDER | {
        "total": 14,
        "warehouse": "w-1",
        "approved_by": "Grace",
        "charge_id": "c-1",
        "reason": None,
        "visited": ["reserving", "approving", "charging", "completed"],
    }


def test_defaults_of_the_contract_reach_the_chart() -> None:
    run = Scenario(machine).given(order_id="o-1", amount=0)
    run.then_context(customer="", currency="EUR", items=[])
    run.then_emitted("com.inventory.reserve", order_id="o-1", items=[])


@pytest.mark.parametrize("amount", [-1, "12", None])
def test_an_order_that_breaks_its_contract_does_not_start(amount: object) -> None:
    Scenario(machine).given(order_id="o-1", amount=amount).then_failed("ContractViolation", "amount")


NOT_COMPLETED: list[tuple[str, tuple[Reply, ...], str, int | None, str | None]] = [
    ("no items", (("evt.inventory.reserve.failure", {"reason": "sold out"}),), "failed", None, "sold out"),
    ("inventory down", (error("com.inventory.reserve"),), "failed", None, "no power"),
    (
        "not approved",
        (RESERVED, ("evt.approval.request.success", {"approved": False, "by": "Grace"})),
        "rejected",
        14,
        None,
    ),
    ("approval down", (RESERVED, error("com.approval.request")), "failed", 14, "no power"),
    (
        "declined",
        (RESERVED, APPROVED, ("evt.payment.charge.declined", {"reason": "no cover"})),
        "failed",
        14,
        "no cover",
    ),
    ("payment down", (RESERVED, APPROVED, error("com.payment.charge")), "failed", 14, "no power"),
]


@pytest.mark.parametrize(
    ("replies", "status", "total", "reason"),
    [case[1:] for case in NOT_COMPLETED],
    ids=[case[0] for case in NOT_COMPLETED],
)
def test_an_order_ends_otherwise(
    replies: tuple[Reply, ...], status: str, total: int | None, reason: str | None
) -> None:
    run = order(*replies)
    run.then(state=status, emitted=[], context={"reason": reason})
    run.then_completed(order_id="o-1", status=status, total=total, charge_id=None, reason=reason)
    assert run.context["visited"][-1] == status


def test_a_reply_that_nobody_asked_for_changes_nothing() -> None:
    run = order()
    before = run.instance
    run.when(*CHARGED).then_unexpected()
    assert run.instance == before
    run.then_waits_for("evt.inventory.reserve.failure", RESERVED[0], "sys.com.inventory.reserve.error")


def test_every_reply_is_awaited_somewhere() -> None:
    assert {machine.source, *machine.chart.awaited_events} == set(machine.inputs)


@pytest.mark.parametrize("copies", [1, 2])
def test_an_order_among_its_services(copies: int) -> None:
    broker = LocalBroker(machine, copies=copies)
    broker.stub("com.inventory.reserve", *RESERVED)
    broker.stub("com.payment.charge", *CHARGED)
    started = broker.start(machine, ORDER)
    (request,) = broker.waiting("external")
    broker.reply(request, *APPROVED)
    assert broker.completion(started).data["charge_id"] == "c-1"
    assert broker.redeliver() == ()
    assert (broker.errors, broker.dead_letters) == ((), ())


@pytest.mark.parametrize(
    ("event_type", "data", "expected"),
    [
        ("sys.com.payment.charge.error", {"errorMessage": "no power", "reason": "other"}, "no power"),
        ("evt.payment.charge.declined", {"reason": "no cover"}, "no cover"),
    ],
)
def test_refusal(event_type: str, data: dict[str, Any], expected: str) -> None:
    assert refusal(event_type, data) == expected
