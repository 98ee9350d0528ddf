"""A saga: three steps, undone in reverse order if a later one fails, and a person who is asked if that fails too."""

from pathlib import Path

from worker.core.machines import setup_machine

from . import contracts

machine = setup_machine(
    contract=contracts.provisioning.version("1.0.0"),
    services=[
        contracts.account_creation.version("1.0.0"),
        contracts.licence_assignment.version("1.0.0"),
        contracts.desk_booking.version("1.0.0"),
        contracts.desk_release.version("1.0.0"),
        contracts.licence_release.version("1.0.0"),
        contracts.account_removal.version("1.0.0"),
        contracts.operator.version("1.0.0"),
    ],
    statechart=Path(__file__).with_name("provisioning.yaml"),
)
