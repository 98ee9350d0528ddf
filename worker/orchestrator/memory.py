"""Where the library keeps instances: what it asks of a memory, and the memory within one process."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol, runtime_checkable

from worker.core.errors import SetupError
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.outcomes import DomainedEvent

_MEMORY_METHODS: Final = ("read", "write", "lock", "unlock")
_DEDUPLICATION_METHODS: Final = ("seen", "consumed")


@runtime_checkable
class MachineMemory(Protocol):
    """Keep instances by subject.

    All methods may block. Whatever one raises halts the execution as an `ArvoTransactionError`, and the same event
    may then be executed again. A memory that several orchestrators or processes share keeps its promises among all.
    Subjects do not know each other. Of one subject, an execution calls `lock` (where a machine needs it), `read`,
    `write` (at most once, if the step changed something) and `unlock`, in this order and on one thread.

    `worker.testing.memories` has a suite that holds a memory against what is promised here.
    """

    def read(self, subject: str) -> Instance | None:
        """Give the instance as it was last written, equal in all parts; nothing if it never was.

        Numbers are what they were, 1 and 1.0 apart; the order of keys within an object is of no account.
        """
        ...

    def write(self, subject: str, instance: Instance, previous: Instance | None) -> None:
        """Keep the instance, wholly or, if this raises, not at all; what is kept is read from then on.

        `previous` is what this execution read. A memory may raise if that is no longer what it holds, best a
        `StaleWriteError`: another execution came between, and its step would be lost. It can tell by the revision,
        which every step raises. The parts of a snapshot are mappings, as `dict` takes them, but not always
        dictionaries. A memory that does not look leaves races to its lock, and to whoever executes the
        events of one instance at the same time though no machine asks for the lock.
        """
        ...

    def lock(self, subject: str) -> bool:
        """Take the subject's lock, or tell by false that another has it; wait for a bounded time at most.

        The lock is not re-entrant: who has it gets it no second time. It is held until `unlock` at the longest; a
        memory may free it together with a `write` of the subject, since the step is done then. A memory that outlives
        its process must free the locks of one that died.
        """
        ...

    def unlock(self, subject: str) -> bool:
        """Free the lock that this thread took, and tell whether it is free now; one that nobody has is.

        Called once after each `lock` that gave true, by the thread that took it. A lock that was taken through another
        memory object stays. What it raises is logged, and changes no result.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConsumedEvent:
    """What a memory keeps of one consumed event.

    `content_digest` is that of `worker.core.digests`, 16 bytes. `emitted` is what the event emitted, in order of
    emission; it is what an execution of the same event gives again.
    """

    content_digest: bytes
    emitted: tuple[DomainedEvent, ...]


@runtime_checkable
class DeduplicatingMemory(MachineMemory, Protocol):
    """Know also which events were consumed, by subject, source and id, and what each emitted.

    An event that comes again runs no step: its execution gives the first one's events again, the same in all parts.
    So whoever dies between an execution and the publishing of its events executes the event again, and has lost none.
    """

    def seen(self, event: Event) -> ConsumedEvent | None:
        """Give what is kept under this event's subject, source and id, whatever this one's content; or nothing.

        The emitted events are equal in all parts to those that were kept, in the same order. Another subject, source
        or id is another event.
        """
        ...

    def consumed(
        self,
        event: Event,
        emitted: Sequence[DomainedEvent],
        instance: Instance | None,
        previous: Instance | None,
    ) -> None:
        """Keep that the event is consumed, what it emitted and, if there is an instance, `write` it: all, or nothing.

        Called in place of `write`; without an instance where the step left it as it was. Must raise, best a
        `StaleWriteError`, if something is kept under the event's subject, source and id already: another execution of
        it came first, and its events are the ones to give. What is kept may be forgotten after a time that the memory
        names: an event that comes again later than that is run again.
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


def check_memory(memory: object) -> None:
    """Refuse what has not the methods of a memory. Raises: SetupError."""
    if isinstance(memory, type):
        raise SetupError(f"The memory is the class {memory.__name__}; give an instance of it.")
    missing = [name for name in _MEMORY_METHODS if not callable(getattr(memory, name, None))]
    if missing:
        lacking = f"The memory, a {type(memory).__name__}, lacks {', '.join(missing)}"
        raise SetupError(f"{lacking}; see MachineMemory for what each promises.")
    having = [name for name in _DEDUPLICATION_METHODS if callable(getattr(memory, name, None))]
    if len(having) == 1:
        (lacking,) = set(_DEDUPLICATION_METHODS) - set(having)
        raise SetupError(
            f"The memory, a {type(memory).__name__}, has {having[0]} but lacks {lacking}: it would not deduplicate. "
            "Give it both or neither; see DeduplicatingMemory for what each promises."
        )


def _require_subject(subject: str, operation: str) -> None:
    if not subject:
        raise ValueError(f"Machine ID is required for {operation} operation; it is the instance's subject.")
