"""A machine of any size: a ring of states that goes on at each event and asks for the next."""

from collections.abc import Iterator

from pydantic import BaseModel

from worker.core.codec import EncodedRecord, encode_record
from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.events import create_event
from worker.core.machines import Machine, setup_machine
from worker.core.subjects import root_subject

TYPE = "arvo.orc.growth"
REPLY = "evt.growth.tick.success"


class Init(BaseModel):
    """`load` stays in the snapshot."""

    load: str


class Complete(BaseModel):
    """Nothing says so: a ring has no end."""

    count: int


class Tick(BaseModel):
    """Ask for the next event."""

    count: int


class Ticked(BaseModel):
    """The next event; its `load` is looked at and not kept."""

    load: str


_GROWTH = create_orchestrator_contract(
    uri="#/machines/growth", name="growth", versions={"1.0.0": {"init": Init, "complete": Complete}}
)
_TICK = create_contract(
    uri="#/services/growth",
    type="com.growth.tick",
    versions={"1.0.0": {"accepts": Tick, "emits": {REPLY: Ticked}}},
)


def domain(number: int) -> str:
    return f"domain{number}"


def make_machine(states: int, domains: int) -> Machine:
    """Make a ring of so many states, which emits to so many domains in turn."""
    chart = "\n".join(_chart(states, domains))
    named = [domain(number) for number in range(domains)]
    return setup_machine(
        contract=_GROWTH.version("1.0.0"), services=[_TICK.version("1.0.0")], statechart=chart, domains=named
    )


def _chart(states: int, domains: int) -> Iterator[str]:
    yield "statechart:\n  name: growth\n  preamble: |\n    load = init['load']\n    count = 0"
    yield "  root state:\n    name: growth\n    initial: s0\n    states:"
    for number in range(states):
        yield f"      - name: s{number}"
        yield "        on entry: |"
        yield f"          emit('com.growth.tick', {{'count': count}}, domains=['domain' + str(count % {domains})])"
        yield "        transitions:"
        yield f"          - event: {REPLY}\n            target: s{(number + 1) % states}"
        yield "            action: count = count + 1"


def begin(instance: int, load_bytes: int) -> EncodedRecord:
    """Give the event that starts an instance, so many bytes heavier than need be."""
    data = {"parentSubject$$": None, "load": "x" * load_bytes}
    return _record(instance, "begin", TYPE, "#/machines/growth/1.0.0", data)


def reply(instance: int, number: int, load_bytes: int) -> EncodedRecord:
    """Give the event of this number for an instance."""
    return _record(instance, str(number), REPLY, "#/services/growth/1.0.0", {"load": "x" * load_bytes})


def _record(instance: int, name: str, type_: str, dataschema: str, data: dict[str, str | None]) -> EncodedRecord:
    event = create_event(
        {
            "id": f"{instance}-{name}",
            "source": "com.growth.tick",
            "type": type_,
            "subject": root_subject(
                name=TYPE, version="1.0.0", initiator="com.example.growth", execution_id=f"growth-{instance:08d}"
            ),
            "dataschema": dataschema,
            "data": data,
            "time": "2026-01-01T00:00:00.000+00:00",
            "to": TYPE,
        }
    )
    return encode_record(event)
