"""Sample services that set colleagues up, and undo it.

What they answer can be read off the data:

a floor above 9       there is no desk
the floor 0           booking a desk breaks
the employee `bob`    his licence can't be released
"""

from typing import Final

from worker import service

from .contracts import (
    AccountCreated,
    AssignLicence,
    BookDesk,
    CreateAccount,
    DeskBooked,
    LicenceAssigned,
    Refusal,
    Undo,
    Undone,
    account_creation,
    account_removal,
    desk_booking,
    desk_release,
    licence_assignment,
    licence_release,
)

TOP_FLOOR: Final = 9
UNLUCKY: Final = "bob"


@service(account_creation.version("1.0.0"))
def create_account(request: CreateAccount) -> AccountCreated:
    """Create an account."""
    return AccountCreated(account=f"{request.employee}@example.com")


@service(account_removal.version("1.0.0"))
def remove_account(request: Undo) -> Undone:
    """Remove an account, if there is one."""
    return Undone(employee=request.employee)


@service(licence_assignment.version("1.0.0"))
def assign_licence(request: AssignLicence) -> LicenceAssigned:
    """Assign a licence."""
    return LicenceAssigned(licence=f"{request.product}-{request.employee}")


@service(licence_release.version("1.0.0"))
def release_licence(request: Undo) -> Undone:
    """Release a licence, if there is one."""
    if request.employee == UNLUCKY:
        raise RuntimeError("the licence server does not answer")
    return Undone(employee=request.employee)


@service(desk_booking.version("1.0.0"))
def book_desk(request: BookDesk) -> DeskBooked | Refusal:
    """Book a desk."""
    if request.floor == 0:
        raise RuntimeError("the plan of the ground floor is lost")
    if request.floor > TOP_FLOOR:
        return Refusal(reason=f"there is no floor {request.floor}")
    return DeskBooked(desk=f"{request.floor}-01")


@service(desk_release.version("1.0.0"))
def free_desk(request: Undo) -> Undone:
    """Free a desk, if there is one."""
    return Undone(employee=request.employee)
