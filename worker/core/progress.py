"""How far a step has come: what it tells whoever looks on, who alone has a clock."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.core.errors import ExecutionFailure
from worker.core.events import Event
from worker.core.machines import Machine


@dataclass(frozen=True, slots=True)
class Resolving:
    """The machine of the subject's name and version is looked up from here on."""


@dataclass(frozen=True, slots=True)
class Validating:
    """The event is held against the machine's contracts from here on."""

    machine: Machine


@dataclass(frozen=True, slots=True)
class Executing:
    """The chart takes the event from here on."""

    machine: Machine


@dataclass(frozen=True, slots=True)
class Emitting:
    """What the chart emitted is made into events from here on."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event was made."""

    event: Event


@dataclass(frozen=True, slots=True)
class Failing:
    """What began last has failed; the system error event is made from here on."""

    machine: Machine
    failure: ExecutionFailure


Progress = Resolving | Validating | Executing | Emitting | Emitted | Failing

Telling = Callable[[Progress], None]
