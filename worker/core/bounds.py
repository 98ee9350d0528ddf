"""Bounds of one step: what a machine may do before the step counts as failed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limit one step.

    Beyond a bound the step is an execution failure and the instance stays as it was.
    """

    microsteps_max: int = 1_000
    emissions_max: int = 1_000
    emission_bytes_max: int = 4 * 1024 * 1024
    context_bytes_max: int = 16 * 1024 * 1024


DEFAULT_BOUNDS = Bounds()
