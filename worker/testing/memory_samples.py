"""What the memories' suites write: odd values, and subjects, instances and events that are new in each run."""

from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from pydantic import BaseModel

from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.engine.api import Snapshot
from worker.core.events import Event, create_event
from worker.core.instances import Instance, Status
from worker.core.machines import setup_machine
from worker.core.outcomes import DomainedEvent
from worker.core.subjects import root_subject
from worker.orchestrator import MachineMemory, Orchestrator, create_orchestrator

SOURCE: Final = "arvo.orc.conformance"
STARTER: Final = "com.conformance.starter"
SERVICE: Final = "com.conformance.service"


def _nested(levels: int) -> Any:
    value: Any = "end"
    for level in range(levels):
        value = {"in": value} if level % 2 else [value, level]
    return value


ODD_VALUES: Final[dict[str, Any]] = {
    "texts": ["", " ", "ü ß ẞ İ", "\U0001f600", "\u2028\u2029", "\x01\x1f\x7f", "\\u0000", "'\";--", "null", "1e+22"],
    "keys": {"": 1, " ": 2, "a.b": 3, "$a": 4, "A": 5, "a": 6, "\U0001f600": 7, "é": 8, "e\u0301": 9, "__proto__": 10},
    "integers": [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1],
    "floats": [0.0, 1.0, -1.5, 0.1 + 0.2, 1e-7, 1e15, 1e16, 1e22, -1.5e300, 1.7976931348623157e308, 5e-324],
    "numbers that are equal and not the same": [1, 1.0, True, 0, 0.0, False],
    "nothings": [None, False, 0, "", [], {}, [[]], [{}], {"a": None}],
    "deep": _nested(100),
    "wide": {f"key-{number}": number for number in range(5_000)},
    "large": "x" * 1_000_000,
}
"""JSON values that a memory has to give back as they were."""

UNKEEPABLE_VALUES: Final[dict[str, Any]] = {
    "no JSON": object(),
    "a set": {1},
    "NaN": float("nan"),
    "a key that is no text": {1: 2, (3,): 4},
    "an integer beyond 64 bits": 2**70,
    "U+0000": "a\0b",
    "a lone surrogate": "\ud800",
}
"""Values that no step leaves behind. A memory may refuse or keep them, each wholly."""


class _Start(BaseModel):
    n: int


class _Added(BaseModel):
    by: int


_CONTRACT: Final = create_orchestrator_contract(
    uri="#/conformance/orchestrator", name="conformance", versions={"1.0.0": {"init": _Start, "complete": _Start}}
)
_SERVICE_CONTRACT: Final = create_contract(
    uri="#/conformance/service",
    type=SERVICE,
    versions={"1.0.0": {"accepts": _Start, "emits": {"evt.conformance.added": _Added}}},
)
_CHART: Final = f"""
statechart:
  name: conformance
  preamble: n = init["n"]
  root state:
    name: root
    on entry: |
      emit("{SERVICE}", {{"n": n}})
    initial: counting
    states:
      - name: counting
        transitions:
          - event: evt.conformance.added
            guard: event.data["by"] != 13
            action: |
              n = n + event.data["by"]
              emit("{SERVICE}", {{"n": n}}, domains=["default", "analytics"])
              emit("com.conformance.seen", {{"n": n}}, domains=["analytics"], extensions={{"weight": 0.5}})
          - event: evt.conformance.added
            guard: event.data["by"] == 13
            action: n = n / 0
"""


def new_subject(id_: str | None = None) -> str:
    """Give a subject that no other test has."""
    return root_subject(name=SOURCE, version="1.0.0", initiator=STARTER, execution_id=id_ or uuid4().hex)


def snapshot_of(n: int) -> Snapshot:
    """Give a snapshot that has a number in each part: one of two writes is none."""
    return Snapshot(("root", f"state-{n}"), {"n": n}, {"n": 0}, output={"n": n})


def new_instance(subject: str | None = None, n: int = 1) -> Instance:
    """Give an instance after its first step."""
    return Instance(
        subject=subject or new_subject(),
        source=SOURCE,
        version="1.0.0",
        status=Status.ACTIVE,
        snapshot=snapshot_of(n),
        init_event_id="start",
        parent_subject=None,
        now=1_767_323_045_678,
        revision=1,
    )


def next_instance(instance: Instance, **parts: Any) -> Instance:
    """Give the instance after another step."""
    revision = instance.revision + 1
    after = replace(instance, snapshot=snapshot_of(revision), revision=revision, now=instance.now + 1)
    return replace(after, **parts)


def new_event(subject: str | None = None) -> Event:
    """Give an event that no other test has."""
    return create_event(
        {
            "id": uuid4().hex,
            "source": SERVICE,
            "type": "evt.conformance.added",
            "subject": subject or new_subject(),
            "data": {"by": 1},
            "time": "2026-01-02T03:04:05.678+00:00",
            "to": SOURCE,
        }
    )


def emitted_by(event: Event) -> list[DomainedEvent]:
    """Give two events of which one goes to two domains."""
    first = replace(event, id=f"{event.id[:40]}-1", parentid=event.id, executionunits=0.5)
    second = replace(event, id=f"{event.id[:40]}-2", data={"deep": [{"ü": [1, 1.0, None]}]})
    return [DomainedEvent(first, ("analytics", "default")), DomainedEvent(second, ("default",))]


def start_of(subject: str) -> Event:
    """Give the event that starts an instance of `counting_orchestrator`; the same each time."""
    data = {"parentSubject$$": None, "n": 1}
    return replace(new_event(subject), id="start", source=STARTER, type=SOURCE, data=data)


def reply_of(subject: str, by: int) -> Event:
    """Give a new reply of its service."""
    return replace(new_event(subject), data={"by": by})


def counting_orchestrator(memory: MachineMemory) -> Orchestrator:
    """Make an orchestrator that counts up, emits to two domains, and fails at 13."""
    machine = setup_machine(
        contract=_CONTRACT.version("1.0.0"), services=[_SERVICE_CONTRACT.version("1.0.0")], statechart=_CHART
    )
    return create_orchestrator(machines=[machine], memory=memory)
