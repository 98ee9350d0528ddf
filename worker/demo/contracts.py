"""The order machine's contracts, from wherever the examples are: in the wheel, or beside the package."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
else:
    from importlib import import_module
    from importlib.util import find_spec

    # In the wheel the examples are below `worker`, and `machines` may be a package of the user's.
    _HOME = "worker.examples.machines" if find_spec("worker.examples") else "machines"
    _CONTRACTS = import_module(f"{_HOME}.order.contracts")

    def __getattr__(name: str) -> object:
        return getattr(_CONTRACTS, name)


__all__ = [
    "Approval",
    "Approve",
    "Charge",
    "Charged",
    "Refusal",
    "Reserve",
    "Reserved",
    "approval",
    "inventory",
    "payment",
]
