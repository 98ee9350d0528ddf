"""What happened in a broker, as values."""

from dataclasses import dataclass

from worker.core.events import Event
from worker.core.outcomes import DeadLetterReason, DomainedEvent, Outcome


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event that was given to one receiver.

    `outcome` is an orchestrator's; a handler has none. `published` is what the receiver published for it, in order.
    """

    event: Event
    receiver: str
    outcome: Outcome | None
    published: tuple[DomainedEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that the worker would put on its dead letter topic, with the reason."""

    event: Event
    reason: DeadLetterReason
    error_name: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with a delivery, and is no part of a workflow.

    A handler that raised, a memory that failed, an event that nobody receives, a domain that no machine declares.
    """

    event: Event
    receiver: str | None
    error: Exception
