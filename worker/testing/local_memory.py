"""A memory that does within one process what PostgreSQL does for the worker, and that fails when it is told to."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from worker.core.digests import content_digest
from worker.core.errors import StaleWriteError
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.outcomes import DomainedEvent
from worker.orchestrator import ConsumedEvent, SimpleMachineMemory

Operation = Literal["read", "write", "lock"]

OPERATIONS: Final = ("read", "write", "lock")


class MemoryFault(Exception):
    """The memory was told to fail."""


class LocalMemory(SimpleMachineMemory):
    """Keep instances, and which events they consumed: a second coming of an event does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._consumed: dict[tuple[str, str, str], ConsumedEvent] = {}
        self._faults: Counter[str] = Counter()

    def fail(self, operation: Operation, times: int = 1) -> None:
        """Let the next uses of an operation fail; `lock` is used only where a machine requires it.

        Raises: ValueError, for another operation.
        """
        if operation not in OPERATIONS:
            raise ValueError(f"A memory can't fail to {operation!r}; expected one of {', '.join(OPERATIONS)}.")
        self._faults[operation] += times

    def read(self, subject: str) -> Instance | None:
        """Give the instance, or nothing. Raises: MemoryFault."""
        self._use("read")
        return super().read(subject)

    def kept(self, subject: str) -> Instance | None:
        """Give the instance to a test that looks: never fails."""
        return super().read(subject)

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        """Keep the instance. Raises: MemoryFault; StaleWriteError, if `previous` is not what is kept."""
        self._use("write")
        self._check_previous(subject, previous)
        super().write(subject, instance, previous)

    def lock(self, subject: str) -> bool:
        """Take the lock, or tell that it is taken. Raises: MemoryFault."""
        self._use("lock")
        return super().lock(subject)

    def seen(self, event: Event) -> ConsumedEvent | None:
        """Give what is kept of the event that was consumed under this one's subject, source and id."""
        return self._consumed.get(_identity(event))

    def consumed(
        self,
        event: Event,
        emitted: Sequence[DomainedEvent],
        instance: Instance | None,
        previous: Instance | None,
    ) -> None:
        """Keep that the event was consumed, and the instance if there is one. Raises: MemoryFault, StaleWriteError."""
        self._use("write")
        if _identity(event) in self._consumed:
            raise StaleWriteError("The event was consumed by another execution; execute it again for its events.")
        self._check_previous(event.subject, previous)
        if instance is not None:
            super().write(event.subject, instance, previous)
        self._consumed[_identity(event)] = ConsumedEvent(content_digest(event), tuple(emitted))

    def _check_previous(self, subject: str, previous: Instance | None) -> None:
        kept = super().read(subject)
        if (kept and kept.revision) != (previous and previous.revision):
            raise StaleWriteError("The instance is no longer what this execution read; execute the event again.")

    def _use(self, operation: Operation) -> None:
        if self._faults[operation] > 0:
            self._faults[operation] -= 1
            raise MemoryFault(f"the memory was told to fail to {operation}")


def _identity(event: Event) -> tuple[str, str, str]:
    return event.subject, event.source, event.id
