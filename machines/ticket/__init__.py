"""A support ticket: its events go to the `priority` and `analytics` domains beside `default`."""

from pathlib import Path

from worker.core.machines import setup_machine

from . import functions
from .contracts import statistics, support, ticket

machine = setup_machine(
    contract=ticket.version("1.0.0"),
    services=[support.version("1.0.0"), statistics.version("1.0.0")],
    statechart=Path(__file__).with_name("ticket.yaml"),
    functions=functions,
    domains=["priority"],
)
