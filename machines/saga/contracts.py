"""What setting a colleague up takes and gives: three steps, what undoes each, and somebody to ask."""

from typing import Literal

from pydantic import BaseModel

from worker.core.contracts import create_contract, create_orchestrator_contract, create_simple_contract


class ProvisioningInit(BaseModel):
    """Who is to be set up, and where."""

    employee: str
    product: str
    floor: int


class ProvisioningComplete(BaseModel):
    """How it ended. `present` names the steps whose effects are there, or may be."""

    employee: str
    status: Literal["ready", "undone", "left over"]
    present: list[str]
    account: str | None
    licence: str | None
    desk: str | None
    reason: str | None


class CreateAccount(BaseModel):
    """Ask for an account."""

    employee: str


class AccountCreated(BaseModel):
    """The account is there."""

    account: str


class AssignLicence(BaseModel):
    """Ask for a licence of a product."""

    employee: str
    product: str


class LicenceAssigned(BaseModel):
    """The licence is there."""

    licence: str


class BookDesk(BaseModel):
    """Ask for a desk."""

    employee: str
    floor: int


class DeskBooked(BaseModel):
    """The desk is there."""

    desk: str


class Refusal(BaseModel):
    """Why a step was refused: nothing of it was done."""

    reason: str


class Undo(BaseModel):
    """Ask for a step to be undone; if there is nothing to undo, it is undone."""

    employee: str


class Undone(BaseModel):
    """Nothing of the step is left."""

    employee: str


class Problem(BaseModel):
    """Tell an operator what could not be undone."""

    employee: str
    present: list[str]
    problem: str


class Decision(BaseModel):
    """What the operator wants: undo once more, or leave what is there."""

    action: Literal["retry", "leave"]
    by: str


provisioning = create_orchestrator_contract(
    uri="#/machines/provisioning",
    name="provisioning",
    versions={"1.0.0": {"init": ProvisioningInit, "complete": ProvisioningComplete}},
)

account_creation = create_contract(
    uri="#/services/account/creation",
    type="com.account.create",
    versions={
        "1.0.0": {
            "accepts": CreateAccount,
            "emits": {"evt.account.create.success": AccountCreated, "evt.account.create.failure": Refusal},
        }
    },
)

licence_assignment = create_contract(
    uri="#/services/licence/assignment",
    type="com.licence.assign",
    versions={
        "1.0.0": {
            "accepts": AssignLicence,
            "emits": {"evt.licence.assign.success": LicenceAssigned, "evt.licence.assign.failure": Refusal},
        }
    },
)

desk_booking = create_contract(
    uri="#/services/desk/booking",
    type="com.desk.book",
    versions={
        "1.0.0": {
            "accepts": BookDesk,
            "emits": {"evt.desk.book.success": DeskBooked, "evt.desk.book.failure": Refusal},
        }
    },
)

# A simple contract has one reply: `desk.free` is asked for as `com.desk.free` and answered as `evt.desk.free.success`.
account_removal = create_simple_contract(
    uri="#/services/account/removal", type="account.remove", versions={"1.0.0": {"accepts": Undo, "emits": Undone}}
)

licence_release = create_simple_contract(
    uri="#/services/licence/release", type="licence.release", versions={"1.0.0": {"accepts": Undo, "emits": Undone}}
)

desk_release = create_simple_contract(
    uri="#/services/desk/release", type="desk.free", versions={"1.0.0": {"accepts": Undo, "emits": Undone}}
)

operator = create_simple_contract(
    uri="#/services/operator", type="operator.ask", versions={"1.0.0": {"accepts": Problem, "emits": Decision}}
)
