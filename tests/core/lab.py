"""A laboratory: tiny machines around one chart, events for them, and steps of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from machines.order import machine as order_machine
from tests.core.engine.charts import chart_text
from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.events import Event, create_event
from worker.core.instances import Instance
from worker.core.machines import Machine, setup_machine
from worker.core.outcomes import Advanced, DeadLettered, DomainedEvent, Failed, Ignored, Outcome
from worker.core.registry import Registry
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject, root_subject

LAB = "arvo.orc.lab"
SHIP = "arvo.orc.ship"
USER = "com.test.user"
NOW = 1_767_323_045_678
EVENT_TIME = "2026-01-02T03:04:05.678+00:00"


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Call(BaseModel):
    x: int


class Reply(BaseModel):
    y: int


class Done(BaseModel):
    result: int = 0


class Ship(BaseModel):
    order: str = ""


class LooseShip(BaseModel):
    """Leaves the parent's subject unchecked."""

    parent: Any = Field(None, alias="parentSubject$$")


VERSIONS = ("1.0.0", "2.0.0", "10.0.0")
lab_contract = create_orchestrator_contract(
    uri="#/orc/lab", name="lab", versions={version: {"init": Anything, "complete": Done} for version in VERSIONS}
)
ship_contract = create_orchestrator_contract(
    uri="#/orc/ship",
    name="ship",
    versions={
        "1.0.0": {"init": Ship, "complete": Anything},
        "2.0.0": {"init": LooseShip, "complete": Anything},
    },
)
one_contract = create_contract(
    uri="#/svc/one",
    type="com.one.call",
    versions={
        "1.0.0": {"accepts": Call, "emits": {"evt.one.call.success": Reply, "evt.one.call.later": Reply}},
    },
)

WAITING = """
initial: w
states:
  - name: w
    on entry: |
{entry}
    transitions:
      - event: evt.one.call.success
        target: end
        action: result = check(event.data["y"])
      - event: sys.com.one.call.error
        target: end
  - name: end
    type: final
    on entry: complete(result=result)
"""


def check(y: int) -> int:
    """Refuse 13."""
    if y == 13:
        raise ArithmeticError("13 brings bad luck")
    return y


def lab_machine(
    entry: str = "pass",
    *,
    root: str = WAITING,
    version: str = "1.0.0",
    functions: Mapping[str, Callable[..., Any]] | None = None,
    domains: Sequence[str] = (),
    executionunits: float | None = None,
    ship: str = "1.0.0",
) -> Machine:
    """Make a machine that runs `entry` at its start, then waits for `com.one.call`'s success, and ends."""
    indented = "\n".join(f"      {line}" for line in entry.splitlines())
    return setup_machine(
        contract=lab_contract.version(version),
        services=[one_contract.version("1.0.0"), ship_contract.version(ship)],
        statechart=chart_text(root.replace("{entry}", indented), "result = 0"),
        functions={"check": check, **(functions or {})},
        domains=domains,
        executionunits=executionunits,
    )


def hosting(*machines: Machine, **options: Any) -> Host:
    """Host these machines, and the order workflow."""
    return Host(Registry([*machines, order_machine], SismicEngine()), **options)


def subject_of(
    name: str = LAB,
    version: str = "1.0.0",
    *,
    initiator: str = USER,
    meta: Mapping[str, str] | None = None,
    execution_id: str = "x-1",
) -> str:
    return root_subject(name=name, version=version, initiator=initiator, execution_id=execution_id, meta=meta)


def event_of(type_: str, data: Mapping[str, Any], **attributes: Any) -> Event:
    """Give an event as a caller or a service sends it."""
    given = {
        "id": "e-1",
        "source": USER,
        "type": type_,
        "subject": subject_of(),
        "data": data,
        "time": "2026-01-01T00:00:00.000+00:00",
        "to": LAB,
    }
    return create_event(given | attributes)


def init_of(**attributes: Any) -> Event:
    """Give the event that starts the laboratory."""
    data = {"parentSubject$$": attributes.pop("parent", None), **attributes.pop("data", {})}
    return event_of(LAB, data, dataschema=attributes.pop("dataschema", "#/orc/lab/1.0.0"), **attributes)


def reply_of(y: Any = 1, **attributes: Any) -> Event:
    """Give the service's answer."""
    given = {"id": "e-2", "source": "com.one.call", "dataschema": "#/svc/one/1.0.0"} | attributes
    return event_of(given.pop("type", "evt.one.call.success"), given.pop("data", {"y": y}), **given)


def step(host: Host, event: Event, instance: Instance | None = None, *, seen: bytes | None = None) -> Outcome:
    return run_step(host, StepRequest(event, decode_subject(event.subject), instance, seen, NOW))


def advanced(outcome: Outcome) -> Advanced:
    assert isinstance(outcome, Advanced), outcome
    return outcome


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def started(host: Host, **attributes: Any) -> Instance:
    """Start the laboratory and give the instance."""
    return advanced(step(host, init_of(**attributes))).instance


def emitted(entry: str, *, host_options: Mapping[str, Any] | None = None, **options: Any) -> tuple[DomainedEvent, ...]:
    """Start a laboratory that runs `entry`, and give what it emitted; options are split between machine and event."""
    event = options.pop("event", None) or init_of()
    return advanced(step(hosting(lab_machine(entry, **options), **(host_options or {})), event)).emitted


@dataclass(frozen=True)
class Request:
    """A reply to a waiting laboratory that is right in every way, to be made wrong in one or two."""

    host: Host = field(default_factory=lambda: hosting(lab_machine()))
    name: str = LAB
    version: str = "1.0.0"
    started: bool = True
    ended: bool = False
    seen: bytes | None = None
    type: str = "evt.one.call.success"
    dataschema: str | None = "#/svc/one/1.0.0"
    data: Mapping[str, Any] = field(default_factory=lambda: {"y": 1})
    to: str = LAB

    def outcome(self) -> Outcome:
        instance = None
        if self.started:
            instance = started(self.host)
            instance = replace(instance, source=self.name, version=self.version)
            if self.ended:
                instance = advanced(step(self.host, reply_of(), started(self.host))).instance
                instance = replace(instance, source=self.name, version=self.version)
        event = reply_of(
            id="e-3",
            type=self.type,
            subject=subject_of(self.name, self.version),
            dataschema=self.dataschema,
            data=self.data,
            to=self.to,
        )
        return step(self.host, event, instance, seen=self.seen)


def told(outcome: Outcome) -> str:
    """Name an outcome with what tells it from others of its kind."""
    match outcome:
        case DeadLettered(reason=reason) | Ignored(reason=reason):
            return f"{type(outcome).__name__} {reason}"
        case Failed(error_name=name, error_message=message):
            kinds = ("URI mismatch", "version mismatch", "does not fit")
            return " ".join(["Failed", name, *[kind for kind in kinds if kind in message]])
        case _:
            return type(outcome).__name__
