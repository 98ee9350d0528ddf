"""A memory that keeps every promise, and one that breaks each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any

from worker.core.digests import content_digest
from worker.core.errors import StaleWriteError
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.json import dumps, loads
from worker.core.outcomes import DomainedEvent
from worker.core.snapshots import decode_snapshot
from worker.orchestrator import ConsumedEvent


@dataclass
class Store:
    instances: dict[str, Instance] = field(default_factory=dict)
    consumed: dict[object, ConsumedEvent] = field(default_factory=dict)
    locks: dict[str, object] = field(default_factory=dict)
    guard: RLock = field(default_factory=RLock)


class StrictMemory:
    """Keep what is promised; objects of one store share it."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()

    def read(self, subject: str) -> Instance | None:
        return self.store.instances.get(self.key_of(subject))

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        with self.store.guard:
            self.check(subject, previous)
            self.store.instances[self.key_of(subject)] = self.kept(instance)

    def lock(self, subject: str) -> bool:
        with self.store.guard:
            return self.store.locks.setdefault(subject, lock := object()) is lock and self._own(subject)

    def unlock(self, subject: str) -> bool:
        with self.store.guard:
            if self.store.locks.get(subject) is self:
                del self.store.locks[subject]
        return True

    def seen(self, event: Event) -> ConsumedEvent | None:
        return self.store.consumed.get(self.name_of(event))

    def consumed(
        self, event: Event, emitted: Sequence[DomainedEvent], instance: Instance | None, previous: Instance | None
    ) -> None:
        with self.store.guard:
            if self.name_of(event) in self.store.consumed:
                raise StaleWriteError("consumed")
            self.check(event.subject, previous)
            if instance is not None:
                self.write(event.subject, instance, previous)
            self.remember(event, emitted)

    def close(self) -> None:
        for subject in [subject for subject, owner in self.store.locks.items() if owner is self]:
            self.unlock(subject)

    def check(self, subject: str, previous: Instance | None) -> None:
        if self.store.instances.get(self.key_of(subject)) != previous:
            raise StaleWriteError("moved")

    def kept(self, instance: Instance) -> Instance:
        snapshot = instance.snapshot
        text = dumps([snapshot.context, snapshot.init, snapshot.remembered, snapshot.output])
        context, init, remembered, output = loads(text)
        return replace(
            instance, snapshot=replace(snapshot, context=context, init=init, remembered=remembered, output=output)
        )

    def remember(self, event: Event, emitted: Sequence[DomainedEvent]) -> None:
        self.store.consumed[self.name_of(event)] = ConsumedEvent(content_digest(event), tuple(emitted))

    def key_of(self, subject: str) -> str:
        return subject

    def name_of(self, event: Event) -> object:
        return event.subject, event.source, event.id

    def _own(self, subject: str) -> bool:
        self.store.locks[subject] = self
        return True


class LacksUnlock:
    def __init__(self) -> None:
        strict = StrictMemory()
        self.read, self.write, self.lock = strict.read, strict.write, strict.lock


class LacksSeen(LacksUnlock):
    def __init__(self) -> None:
        super().__init__()
        strict = StrictMemory()
        self.unlock, self.consumed = strict.unlock, strict.consumed


class InventsInstances(StrictMemory):
    def read(self, subject: str) -> Instance | None:
        return super().read(subject) or next(iter(self.store.instances.values()), EMPTY)


class KeepsTheFirst(StrictMemory):
    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        if previous is None:
            super().write(subject, instance, previous)


class RoundsNumbers(StrictMemory):
    def kept(self, instance: Instance) -> Instance:
        kept = super().kept(instance)
        return replace(kept, snapshot=replace(kept.snapshot, context=rounded(kept.snapshot.context)))

    def remember(self, event: Event, emitted: Sequence[DomainedEvent]) -> None:
        rounds = [replace(one, event=replace(one.event, data=rounded(one.event.data))) for one in emitted]
        super().remember(event, rounds)


class ForgetsHistory(StrictMemory):
    def kept(self, instance: Instance) -> Instance:
        return replace(instance, snapshot=replace(super().kept(instance).snapshot, history={}))


class ReplacesTheSnapshotAlone(StrictMemory):
    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        super().write(subject, replace(previous, snapshot=instance.snapshot) if previous else instance, previous)


class FoldsCase(StrictMemory):
    def key_of(self, subject: str) -> str:
        return subject.lower()


class WritesBeforeItLooks(StrictMemory):
    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        self.store.instances[subject] = instance
        self.kept(instance)


class WritesInParts(StrictMemory):
    """Readers see the snapshot of the write before."""

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        super().write(subject, instance, previous)
        if previous is not None:
            self.store.instances[subject] = replace(instance, snapshot=previous.snapshot)

    def check(self, subject: str, previous: Instance | None) -> None:
        pass


class LastWins(StrictMemory):
    def check(self, subject: str, previous: Instance | None) -> None:
        pass


class LocksAlways(StrictMemory):
    def lock(self, subject: str) -> bool:
        return True


class UnlockTellsNothing(StrictMemory):
    def unlock(self, subject: str) -> bool:
        super().unlock(subject)
        return None  # type: ignore[return-value]


class OneLockForAll(StrictMemory):
    def lock(self, subject: str) -> bool:
        return super().lock("all")

    def unlock(self, subject: str) -> bool:
        return super().unlock("all")


class NeverCommits(StrictMemory):
    """What was written under a lock is gone with it."""

    def unlock(self, subject: str) -> bool:
        if self.store.locks.get(subject) is self:
            self.store.instances.pop(subject, None)
            self.store.consumed.clear()
        return super().unlock(subject)


class LocksAfterAFailure(StrictMemory):
    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        try:
            super().write(subject, instance, previous)
        except Exception:
            self.store.locks[subject] = "nobody"
            raise


class ReadsOld(LastWins):
    """Every other write is read from a replica that lags by one."""

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        late = self.store.instances.get("late", instance)
        super().write(subject, instance if previous is None else late, previous)
        self.store.instances["late"] = instance


class SharesNothing(StrictMemory):
    def __init__(self, store: Store | None = None) -> None:
        super().__init__()


class DiesWithItsObject(StrictMemory):
    def close(self) -> None:
        super().close()
        self.store.instances.clear()
        self.store.consumed.clear()


class LocksByObject(StrictMemory):
    def lock(self, subject: str) -> bool:
        return super().lock(f"{id(self)} {subject}")

    def unlock(self, subject: str) -> bool:
        return super().unlock(f"{id(self)} {subject}")


class FreesTheLocksOfOthers(StrictMemory):
    def unlock(self, subject: str) -> bool:
        self.store.locks.pop(subject, None)
        return True


class KeepsTheLocksOfTheDead(StrictMemory):
    def close(self) -> None:
        pass


class TellsAll(StrictMemory):
    def seen(self, event: Event) -> ConsumedEvent | None:
        return super().seen(event) or ConsumedEvent(content_digest(event), ())


class RemembersWithoutWriting(StrictMemory):
    def consumed(
        self, event: Event, emitted: Sequence[DomainedEvent], instance: Instance | None, previous: Instance | None
    ) -> None:
        super().consumed(event, emitted, None, previous)


class WritesWithoutRemembering(StrictMemory):
    """An event is remembered only with an instance."""

    def consumed(
        self, event: Event, emitted: Sequence[DomainedEvent], instance: Instance | None, previous: Instance | None
    ) -> None:
        if instance is not None:
            super().consumed(event, emitted, instance, previous)


class RemembersBeforeItWrites(StrictMemory):
    def consumed(
        self, event: Event, emitted: Sequence[DomainedEvent], instance: Instance | None, previous: Instance | None
    ) -> None:
        self.remember(event, emitted)
        if instance is not None:
            self.write(event.subject, instance, previous)


class SortsEmitted(StrictMemory):
    def remember(self, event: Event, emitted: Sequence[DomainedEvent]) -> None:
        super().remember(event, sorted(emitted, key=lambda one: one.event.id))


class ForgetsEmitted(StrictMemory):
    def remember(self, event: Event, emitted: Sequence[DomainedEvent]) -> None:
        super().remember(event, ())


class ForgetsExtensions(StrictMemory):
    def remember(self, event: Event, emitted: Sequence[DomainedEvent]) -> None:
        super().remember(event, [replace(one, event=replace(one.event, extensions={})) for one in emitted])


class TellsEventsById(StrictMemory):
    def name_of(self, event: Event) -> object:
        return event.id


class TellsEventsByContent(StrictMemory):
    def name_of(self, event: Event) -> object:
        return super().name_of(event), content_digest(event)


def rounded(value: Any) -> Any:
    """Make floats of all integers, as JavaScript does."""
    match value:
        case bool():
            return value
        case int():
            return float(value)
        case dict():
            return {key: rounded(item) for key, item in value.items()}
        case list():
            return [rounded(item) for item in value]
        case _:
            return value


EMPTY = Instance(
    subject="",
    source="",
    version="",
    status="active",  # type: ignore[arg-type]
    snapshot=decode_snapshot({"configuration": [], "context": {}, "init": {}}),
    init_event_id="",
    parent_subject=None,
    now=0,
    revision=1,
)
