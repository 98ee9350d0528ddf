"""What one event can come to. Outcomes are values; the shells match them exhaustively."""

from dataclasses import dataclass, field
from enum import StrEnum

from worker.core.events import Event
from worker.core.instances import Instance


class DeadLetterReason(StrEnum):
    """Say why a record can't be processed."""

    INVALID_EVENT = "INVALID_EVENT"
    INVALID_CONTROL = "INVALID_CONTROL"
    INVALID_SUBJECT = "INVALID_SUBJECT"
    ID_CONFLICT = "ID_CONFLICT"
    NO_INSTANCE = "NO_INSTANCE"
    ALREADY_STARTED = "ALREADY_STARTED"
    NO_MACHINE = "NO_MACHINE"
    NO_CONTRACT = "NO_CONTRACT"
    NO_TOPIC = "NO_TOPIC"
    OUTPUT_REFUSED = "OUTPUT_REFUSED"
    STEP_FAULT = "STEP_FAULT"
    STORAGE_REFUSED = "STORAGE_REFUSED"
    CRASHED = "CRASHED"


class IgnoredReason(StrEnum):
    """Say why an event is none of this worker's business, or a command has nothing to be done for."""

    NOT_HOSTED = "NOT_HOSTED"
    ENDED = "ENDED"
    FOREIGN = "FOREIGN"
    ABSENT = "ABSENT"
    CHANGED = "CHANGED"


@dataclass(frozen=True, slots=True)
class DomainedEvent:
    """An emitted event and the domains it goes to, in order of first appearance, at least one.

    `data_text` is the event's data as JSON, where that was written already: it spares writing it again.
    """

    event: Event
    domains: tuple[str, ...]
    data_text: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Advanced:
    """The machine took the event: the instance as it is now, and what it emitted in order."""

    before: Instance | None
    instance: Instance
    emitted: tuple[DomainedEvent, ...]


@dataclass(frozen=True, slots=True)
class Unexpected:
    """The event is valid but nothing in the active states takes it; `expected` is what would be."""

    instance: Instance
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The workflow failed on this event: one system error event, and the instance as it was."""

    before: Instance | None
    emitted: DomainedEvent
    error_name: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An operator ended the workflow: the instance as it is now, and one system error event."""

    before: Instance
    instance: Instance
    emitted: DomainedEvent
    error_name: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The event was consumed before; `emitted` is what it emitted then, where that is kept for whoever asks again."""

    emitted: tuple[DomainedEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event is left alone, and counted."""

    reason: IgnoredReason


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The record can't be processed and is kept with its reason."""

    reason: DeadLetterReason
    error_name: str
    error_message: str


Outcome = Advanced | Unexpected | Failed | Cancelled | Duplicate | Ignored | DeadLettered

CONSUMING = (Advanced, Unexpected, Failed, Cancelled)
"""The outcomes that make a second coming of the event a duplicate."""
