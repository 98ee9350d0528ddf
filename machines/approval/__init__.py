"""A human approval: people answer in the `external` domain, and what is returned may be submitted again."""

from pathlib import Path

from worker.core.machines import setup_machine

from .contracts import approval, review, revision

machine = setup_machine(
    contract=approval.version("1.0.0"),
    services=[review.version("1.0.0"), revision.version("1.0.0")],
    statechart=Path(__file__).with_name("approval.yaml"),
)
