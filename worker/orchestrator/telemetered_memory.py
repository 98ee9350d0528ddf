"""A memory that tells what it does: a span for each operation, around a memory of any kind."""

from collections.abc import Sequence
from typing import cast

from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.outcomes import DomainedEvent
from worker.core.snapshots import encode_snapshot
from worker.orchestrator.memory import ConsumedEvent, DeduplicatingMemory, MachineMemory, check_memory
from worker.tracing import Traced


class TelemeteredMachineMemory:
    """Put a span around each operation of another memory: how long it took, what it found, whether it failed.

    The spans are children of the execution's, with one name for each operation and the subject as an attribute,
    `arvo.memory.id`. Where nothing is recorded, the operation alone is done. Around a memory that deduplicates it
    deduplicates too. Source: TelemeteredSimpleMachineMemory of arvo-xstate.
    """

    def __new__(cls, memory: MachineMemory) -> "TelemeteredMachineMemory":  # noqa: PYI034 - it may be a subclass.
        """Take the class that has the memory's methods. Raises: SetupError, for what is no memory."""
        check_memory(memory)
        if cls is TelemeteredMachineMemory and isinstance(memory, DeduplicatingMemory):
            return object.__new__(_TelemeteredDeduplicatingMemory)
        return object.__new__(cls)

    def __init__(self, memory: MachineMemory) -> None:
        self._memory = memory

    def read(self, subject: str) -> Instance | None:
        """Read, and tell whether there is an instance."""
        with self._traced("Read Machine Memory", subject) as span:
            instance = self._memory.read(subject)
            span.set({"arvo.memory.found": instance is not None})
        return instance

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        """Write, and tell how large the snapshot is."""
        with self._traced("Write Machine Memory", subject) as span:
            _measure(span, instance)
            self._memory.write(subject, instance, previous)

    def lock(self, subject: str) -> bool:
        """Lock, and tell whether the lock was had."""
        with self._traced("Lock Machine Memory", subject) as span:
            acquired = self._memory.lock(subject)
            span.set({"arvo.memory.acquired": bool(acquired)})
        return acquired

    def unlock(self, subject: str) -> bool:
        """Unlock."""
        with self._traced("Unlock Machine Memory", subject):
            return self._memory.unlock(subject)

    def _traced(self, name: str, subject: str) -> Traced:
        return Traced(name, {"arvo.memory.id": subject, "arvo.memory.type": type(self._memory).__name__})


class _TelemeteredDeduplicatingMemory(TelemeteredMachineMemory):
    def seen(self, event: Event) -> ConsumedEvent | None:
        """Look an event up, and tell whether it was consumed before."""
        with self._traced("Look Up Event In Machine Memory", event.subject) as span:
            consumed = cast("DeduplicatingMemory", self._memory).seen(event)
            span.set({"arvo.memory.found": consumed is not None})
        return consumed

    def consumed(
        self,
        event: Event,
        emitted: Sequence[DomainedEvent],
        instance: Instance | None,
        previous: Instance | None,
    ) -> None:
        """Keep that an event is consumed, and tell how large the snapshot is that was written."""
        with self._traced("Consume Event In Machine Memory", event.subject) as span:
            if instance is not None:
                _measure(span, instance)
            cast("DeduplicatingMemory", self._memory).consumed(event, emitted, instance, previous)


def _measure(span: Traced, instance: Instance) -> None:
    if span.is_recording:
        span.set({"arvo.memory.record.bytes": len(encode_snapshot(instance.snapshot))})
