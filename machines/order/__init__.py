"""The order workflow: reserve, approve, charge."""

from pathlib import Path

from worker.core.machines import setup_machine

from . import functions
from .contracts import approval, inventory, order, payment

machine = setup_machine(
    contract=order.version("1.0.0"),
    services=[inventory.version("1.0.0"), approval.version("1.0.0"), payment.version("1.0.0")],
    statechart=Path(__file__).with_name("order.yaml"),
    functions=functions,
)
