"""Every path through the order's chart, on the engine, with data that the contracts took."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from machines.order import machine
from machines.order.functions import refusal
from worker.core.engine.api import Emission, StepInput, StepResult
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.events import Event

PROGRAM = SismicEngine().compile(machine.chart)
ITEMS = [{"sku": "s-1", "qty": 2}]
INIT = {
    "parentSubject$$": None,
    "order_id": "o-1",
    "amount": 12.5,
    "customer": "Ada",
    "currency": "CHF",
    "items": ITEMS,
}

RESERVED = ("evt.inventory.reserve.success", {"total": 14, "warehouse": "w-1"})
APPROVED = ("evt.approval.request.success", {"approved": True, "by": "Grace"})
CHARGED = ("evt.payment.charge.success", {"charge_id": "c-1"})

Reply = tuple[str, Mapping[str, Any]]


def step(type_: str, data: Mapping[str, Any]) -> StepInput:
    validated = machine.inputs[type_].schema.validate(data)
    event = Event(
        id="e-1", source="com.test", type=type_, subject="s", data=data, time="2026-01-02T03:04:05Z", to=machine.source
    )
    return StepInput(event, validated, "s", datetime(2026, 1, 2, tzinfo=UTC), lambda: "id")


def run(*replies: Reply, init: Mapping[str, Any] | None = None) -> tuple[StepResult, list[Emission]]:
    """Start an order and give it these replies; what it emits and completes with must fit its contracts."""
    result = PROGRAM.start(step(machine.source, INIT if init is None else init))
    emitted = list(result.emissions)
    for reply in replies:
        result = PROGRAM.resume(result.snapshot, step(*reply))
        assert result.expected
        emitted += result.emissions
    for emission in emitted:
        assert machine.outputs[emission.type].schema.validate(emission.data) == emission.data
    if result.done:
        output = result.snapshot.output or {}
        assert machine.outputs["arvo.orc.order.done"].schema.validate(output) == output
    return result, emitted


def error(type_: str) -> Reply:
    return (f"sys.{type_}.error", {"errorName": "Down", "errorMessage": "no power", "errorStack": None})


def test_an_order_completes() -> None:
    result, emitted = run(RESERVED, APPROVED, CHARGED)
    assert result.done
    assert result.snapshot.output == {
        "order_id": "o-1",
        "status": "completed",
        "total": 14,
        "charge_id": "c-1",
        "reason": None,
    }
    assert [(one.type, one.data, one.domains) for one in emitted] == [
        ("com.inventory.reserve", {"order_id": "o-1", "items": ITEMS}, None),
        ("com.approval.request", {"order_id": "o-1", "amount": 12.5}, ("external",)),
        ("com.payment.charge", {"order_id": "o-1", "amount": 14}, None),
    ]
    assert result.snapshot.context == {
        "order_id": "o-1",
        "amount": 12.5,
        "customer": "Ada",
        "currency": "CHF",
        "items": ITEMS,
        "total": 14,
        "warehouse": "w-1",
        "approved_by": "Grace",
        "charge_id": "c-1",
        "reason": None,
        "visited": ["reserving", "approving", "charging", "completed"],
    }


def test_defaults_of_the_contract_reach_the_chart() -> None:
    result, emitted = run(init={"parentSubject$$": None, "order_id": "o-1", "amount": 0})
    context = result.snapshot.context
    assert (context["customer"], context["currency"], context["items"]) == ("", "EUR", [])
    assert emitted[0].data == {"order_id": "o-1", "items": []}


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
    result, emitted = run(*replies)
    assert result.done
    assert result.snapshot.output == {
        "order_id": "o-1",
        "status": status,
        "total": total,
        "charge_id": None,
        "reason": reason,
    }
    assert result.snapshot.context["visited"][-1] == status
    assert result.snapshot.context["reason"] == reason
    assert len(emitted) == len(replies)


def test_a_reply_that_nobody_asked_for_changes_nothing() -> None:
    started, _ = run()
    result = PROGRAM.resume(started.snapshot, step(*CHARGED))
    assert not result.expected
    assert result.snapshot == started.snapshot
    assert PROGRAM.expected(started.snapshot) == (
        "evt.inventory.reserve.failure",
        "evt.inventory.reserve.success",
        "sys.com.inventory.reserve.error",
    )


def test_every_reply_is_awaited_somewhere() -> None:
    assert {machine.source, *machine.chart.awaited_events} == set(machine.inputs)


@pytest.mark.parametrize(
    ("event_type", "data", "expected"),
    [
        ("sys.com.payment.charge.error", {"errorMessage": "no power", "reason": "other"}, "no power"),
        ("evt.payment.charge.declined", {"reason": "no cover"}, "no cover"),
    ],
)
def test_refusal(event_type: str, data: dict[str, Any], expected: str) -> None:
    assert refusal(event_type, data) == expected
