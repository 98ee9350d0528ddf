"""A subscription in two versions, side by side."""

from pathlib import Path

from worker.core.machines import setup_machine

from . import functions
from .contracts import billing, coupons, subscription

machines = [
    setup_machine(
        contract=subscription.version("1.0.0"),
        services=[billing.version("1.0.0")],
        statechart=Path(__file__).with_name("subscription_1.yaml"),
        functions=functions,
    ),
    setup_machine(
        contract=subscription.version("2.0.0"),
        services=[billing.version("1.0.0"), coupons.version("1.0.0")],
        statechart=Path(__file__).with_name("subscription_2.yaml"),
        functions=functions,
    ),
]
