"""Where the library keeps instances: what it asks of a memory, and the memory within one process."""

from threading import Lock
from typing import Protocol, runtime_checkable

from worker.core.events import Event
from worker.core.instances import Instance


@runtime_checkable
class MachineMemory(Protocol):
    """Keep instances by subject.

    All methods may block. Whatever one raises halts the execution as an `ArvoTransactionError`, and the same event
    may then be executed again. A memory that several orchestrators or processes share keeps its promises among all.
    """

    def read(self, subject: str) -> Instance | None:
        """Give the instance as it was last written, equal in all parts; nothing if it never was."""
        ...

    def write(self, subject: str, instance: Instance, previous: Instance | None) -> None:
        """Keep the instance, wholly or, if this raises, not at all; what is kept is read from then on.

        `previous` is what this execution read. A memory may raise if that is no longer what it holds: another
        execution came between, and its step would be lost.
        """
        ...

    def lock(self, subject: str) -> bool:
        """Take the subject's lock, or tell by false that another has it; wait for a bounded time at most.

        The lock is not re-entrant. A memory that outlives its process must free the locks of one that died.
        """
        ...

    def unlock(self, subject: str) -> bool:
        """Free the subject's lock, and tell whether it is free now; one that nobody has is.

        Called once after each `lock` that gave true. What it raises is logged, and changes no result.
        """
        ...


@runtime_checkable
class DeduplicatingMemory(MachineMemory, Protocol):
    """Know also which events were consumed, by subject, source and id; one that comes again then does nothing.

    Its result is empty: whoever executes must have published the first result, or the events in it are lost.
    """

    def seen(self, event: Event) -> bytes | None:
        """Give the digest (`content_digest`) of the event consumed under this one's subject, source and id."""
        ...

    def consumed(self, event: Event, instance: Instance | None, previous: Instance | None) -> None:
        """Remember that the event is consumed and, if there is an instance, `write` it: both, or neither.

        Called in place of `write`, and without an instance where the step left it as it was.
        """
        ...


class SimpleMachineMemory:
    """Keep instances in this process, for tests and small tools; they end with it. Threads may share one.

    Source: SimpleMachineMemory of arvo-xstate.
    """

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._locked: set[str] = set()
        self._guard = Lock()

    def read(self, subject: str) -> Instance | None:
        """Give the instance, or nothing. Raises: ValueError, without a subject."""
        _require_subject(subject, "read")
        return self._instances.get(subject)

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:  # noqa: ARG002
        """Keep the instance, whatever was there before. Raises: ValueError, without a subject or an instance."""
        _require_subject(subject, "write")
        if not isinstance(instance, Instance):
            raise ValueError(  # noqa: TRY004 - as for the subject: something required is missing.
                f"Data is required for write operation; expected an Instance, got {type(instance).__name__}."
            )
        self._instances[subject] = instance

    def lock(self, subject: str) -> bool:
        """Take the lock, or tell at once that it is taken. Raises: ValueError, without a subject."""
        _require_subject(subject, "lock")
        with self._guard:
            if subject in self._locked:
                return False
            self._locked.add(subject)
            return True

    def unlock(self, subject: str) -> bool:
        """Free the lock; one that nobody has is free. Raises: ValueError, without a subject."""
        _require_subject(subject, "unlock")
        with self._guard:
            self._locked.discard(subject)
        return True

    def clear(self, subject: str | None = None) -> None:
        """Forget one subject's instance and lock, or all."""
        with self._guard:
            if subject is None:
                self._instances.clear()
                self._locked.clear()
            else:
                self._instances.pop(subject, None)
                self._locked.discard(subject)


def _require_subject(subject: str, operation: str) -> None:
    if not subject:
        raise ValueError(f"Machine ID is required for {operation} operation; it is the instance's subject.")
