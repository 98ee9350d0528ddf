"""What a support ticket takes and gives, who solves it, and who counts it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from worker.core.contracts import Number, create_contract, create_orchestrator_contract

Value = Annotated[Number, Field(ge=0)]


class TicketInit(BaseModel):
    """What opens a ticket. `value` is what the customer pays in a year."""

    ticket_id: str
    question: str
    value: Value


class TicketComplete(BaseModel):
    """How a ticket ended."""

    ticket_id: str
    status: Literal["solved", "failed"]
    answer: str | None
    by: str | None
    counted: bool
    reason: str | None


class Solve(BaseModel):
    """Ask for an answer."""

    ticket_id: str
    question: str
    value: Value


class Solved(BaseModel):
    """The answer."""

    answer: str
    by: str


class Escalated(BaseModel):
    """Somebody else has to look at it."""

    reason: str


class Fact(BaseModel):
    """Something to be counted."""

    ticket_id: str
    fact: Literal["opened", "escalated"]
    value: Value


ticket = create_orchestrator_contract(
    uri="#/machines/ticket",
    name="ticket",
    versions={"1.0.0": {"init": TicketInit, "complete": TicketComplete}},
)

support = create_contract(
    uri="#/services/support",
    type="com.ticket.solve",
    versions={
        "1.0.0": {
            "accepts": Solve,
            "emits": {"evt.ticket.solve.success": Solved, "evt.ticket.solve.escalated": Escalated},
        }
    },
)

# Nothing is answered; only a failure is told.
statistics = create_contract(
    uri="#/services/statistics",
    type="com.fact.count",
    versions={"1.0.0": {"accepts": Fact, "emits": {}}},
)
