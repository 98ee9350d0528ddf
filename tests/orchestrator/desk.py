"""A counter to execute events on, and memories that tell what was asked of them, fail on demand, or deduplicate."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from tests.core.engine.charts import chart_text
from worker.core.contracts import ContractVersion, create_contract, create_orchestrator_contract
from worker.core.digests import content_digest
from worker.core.events import Event, create_event
from worker.core.instances import Instance
from worker.core.machines import Machine, setup_machine
from worker.core.outcomes import DomainedEvent
from worker.core.subjects import root_subject
from worker.orchestrator import (
    ConsumedEvent,
    MachineMemory,
    Orchestrator,
    SimpleMachineMemory,
    create_orchestrator,
)

COUNT = "arvo.orc.count"
USER = "com.test.user"
ADDED = "evt.add.call.success"
SKIPPED = "evt.add.call.skipped"
ADD_FAILED = "sys.com.add.call.error"


class Start(BaseModel):
    n: int = 0


class Count(BaseModel):
    n: int


class By(BaseModel):
    by: int


count_contract = create_orchestrator_contract(
    uri="#/orc/count",
    name="count",
    versions={version: {"init": Start, "complete": Count} for version in ("1.0.0", "2.0.0")},
)


def add_contract(*emits: str) -> ContractVersion:
    return create_contract(
        uri="#/svc/add",
        type="com.add.call",
        versions={"1.0.0": {"accepts": Count, "emits": dict.fromkeys(emits, By)}},
    ).version("1.0.0")


COUNTER = chart_text(
    f"""
    initial: counting
    states:
      - name: counting
        on entry: |
          emit("com.add.call", {{"n": n}})
        transitions:
          - event: {ADDED}
            guard: event.data["by"] > 0
            action: |
              n = n + lucky(event.data["by"])
              emit("com.add.call", {{"n": n}}, domains=["analytics", "default"])
              emit("com.trace.log", {{"n": n}}, domains=["analytics"])
          - event: {ADDED}
            guard: event.data["by"] == 0
            target: end
      - name: end
        type: final
        on entry: complete(n=n)
    """,
    'n = init["n"]',
)
"""Counts up, fails at 13, ends at 0, and waits for nothing below."""


def lucky(number: int) -> int:
    """Refuse 13."""
    if number == 13:
        raise ArithmeticError("13 brings bad luck")
    return number


def counter(version: str = "1.0.0", *, needs_lock: bool = False) -> Machine:
    """Make a counter; it needs the lock if its service has two kinds of reply."""
    emits = (ADDED, SKIPPED) if needs_lock else (ADDED,)
    contract = count_contract.version(version)
    services = [add_contract(*emits)]
    return setup_machine(contract=contract, services=services, statechart=COUNTER, functions={"lucky": lucky})


def counting(memory: MachineMemory, *, needs_lock: bool = False) -> Orchestrator:
    return create_orchestrator(machines=[counter(needs_lock=needs_lock)], memory=memory, executionunits=0.5)


def subject_of(name: str = COUNT, version: str = "1.0.0", execution_id: str = "x-1") -> str:
    return root_subject(name=name, version=version, initiator=USER, execution_id=execution_id)


def event_of(type_: str, data: dict[str, Any], **attributes: Any) -> Event:
    given = {
        "id": "e-1",
        "source": USER,
        "type": type_,
        "subject": subject_of(),
        "data": data,
        "time": "2026-01-01T00:00:00.000+00:00",
        "to": COUNT,
    }
    return create_event(given | attributes)


def start(**attributes: Any) -> Event:
    return event_of(COUNT, {"parentSubject$$": None, "n": 0}, **attributes)


def added(by: Any = 1, id_: str = "e-2", **attributes: Any) -> Event:
    return event_of(attributes.pop("type", ADDED), {"by": by}, id=id_, **{"source": "com.add.call"} | attributes)


def add_failed(id_: str = "e-2") -> Event:
    """Give a reply that the contract knows, and that nothing in the chart waits for."""
    return event_of(ADD_FAILED, {"errorName": "Error", "errorMessage": "down", "errorStack": None}, id=id_)


class RecordingMemory(SimpleMachineMemory):
    """Keep what was asked, in order; an operation in `faults` raises."""

    def __init__(self, **faults: BaseException) -> None:
        super().__init__()
        self.faults = faults
        self.operations: list[str] = []
        self.previous: list[Instance | None] = []

    def read(self, subject: str) -> Instance | None:
        self._begin("read")
        return super().read(subject)

    def write(self, subject: str, instance: Instance, previous: Instance | None = None) -> None:
        self._begin("write")
        self.previous.append(previous)
        super().write(subject, instance, previous)

    def lock(self, subject: str) -> bool:
        self._begin("lock")
        return super().lock(subject)

    def unlock(self, subject: str) -> bool:
        self._begin("unlock")
        return super().unlock(subject)

    def taken(self) -> Sequence[str]:
        """Give the operations since this was last asked."""
        operations, self.operations = self.operations, []
        return operations

    def _begin(self, operation: str) -> None:
        self.operations.append(operation)
        if operation in self.faults:
            raise self.faults[operation]


class OnceMemory(RecordingMemory):
    """Know also what was consumed."""

    def __init__(self, **faults: BaseException) -> None:
        super().__init__(**faults)
        self._consumed: dict[tuple[str, str, str], ConsumedEvent] = {}

    def seen(self, event: Event) -> ConsumedEvent | None:
        self._begin("seen")
        return self._consumed.get((event.subject, event.source, event.id))

    def consumed(
        self,
        event: Event,
        emitted: Sequence[DomainedEvent],
        instance: Instance | None,
        previous: Instance | None,
    ) -> None:
        self._begin("consumed")
        self._consumed[event.subject, event.source, event.id] = ConsumedEvent(content_digest(event), tuple(emitted))
        if instance is not None:
            SimpleMachineMemory.write(self, event.subject, instance, previous)

    def forget(self) -> None:
        self._consumed.clear()
