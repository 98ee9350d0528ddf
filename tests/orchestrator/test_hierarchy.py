"""Orchestrators above orchestrators, two levels deep, with nothing between them but `to`."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from tests.core.engine.charts import chart_text
from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.events import Event
from worker.core.factories import emits_event, init_event, system_error_data, system_error_event
from worker.core.instances import Status
from worker.core.machines import Machine, setup_machine
from worker.core.subjects import decode_subject
from worker.orchestrator import SimpleMachineMemory, create_orchestrator

CLIENT = "com.test.client"
TIME = "2026-01-01T00:00:00.000+00:00"
STEPS_MAX = 100


class Trip(BaseModel):
    cities: list[str]


class City(BaseModel):
    city: str


class Price(BaseModel):
    price: int


PRICES = {"rome": 30, "oslo": 50}

trip = create_orchestrator_contract(
    uri="#/orc/trip", name="trip", versions={"1.0.0": {"init": Trip, "complete": Price}}
).version("1.0.0")
stay = create_orchestrator_contract(
    uri="#/orc/stay", name="stay", versions={"1.0.0": {"init": City, "complete": Price}}
).version("1.0.0")
room = create_orchestrator_contract(
    uri="#/orc/room", name="room", versions={"1.0.0": {"init": City, "complete": Price}}
).version("1.0.0")
price = create_contract(
    uri="#/svc/price",
    type="com.price.get",
    versions={"1.0.0": {"accepts": City, "emits": {"evt.price.get.success": Price}}},
).version("1.0.0")

TRIP = chart_text(
    """
    initial: staying
    states:
      - name: staying
        on entry: |
          for _city in init["cities"]:
              emit("arvo.orc.stay", {"parentSubject$$": subject, "city": _city})
        transitions:
          - event: arvo.orc.stay.done
            action: |
              total += event.data["price"]
              stays += 1
          - event: sys.arvo.orc.stay.error
            target: left
            action: total = -1
          - guard: stays == len(init["cities"])
            target: left
      - name: left
        type: final
        on entry: complete(price=total)
    """,
    "total = 0\nstays = 0",
)


def asking(type_: str, success: str, error: str, parent: str) -> str:
    """Give a chart that asks one service, and completes with twice its price; its error makes the chart fail."""
    return chart_text(
        f"""
        initial: asking
        states:
          - name: asking
            on entry: |
              emit("{type_}", {{{parent}"city": init["city"]}})
            transitions:
              - event: {success}
                target: answered
                action: price = event.data["price"]
              - event: {error}
                action: fail(event.data["errorMessage"])
          - name: answered
            type: final
            on entry: complete(price=2 * price)
        """,
        "price = 0",
    )


STAY = asking("arvo.orc.room", "arvo.orc.room.done", "sys.arvo.orc.room.error", '"parentSubject$$": subject, ')
ROOM = asking("com.price.get", "evt.price.get.success", "sys.com.price.get.error", "")


def fail(message: str) -> None:
    raise LookupError(message)


MACHINES = [
    setup_machine(contract=trip, services=[stay], statechart=TRIP),
    setup_machine(contract=stay, services=[room], statechart=STAY, functions={"fail": fail}),
    setup_machine(contract=room, services=[price], statechart=ROOM, functions={"fail": fail}),
]


def answer(event: Event) -> Event:
    """Answer as the price service does."""
    city = event.data["city"]
    attributes: dict[str, Any] = {
        "id": f"{event.id}-answer",
        "source": price.type,
        "subject": event.subject,
        "to": event.redirectto,
        "time": TIME,
        "parentid": event.id,
        "accesscontrol": event.accesscontrol,
    }
    if city in PRICES:
        attributes |= {"type": "evt.price.get.success", "data": {"price": PRICES[city]}}
        return emits_event(price, attributes, execution_id="")
    attributes |= {"data": system_error_data("LookupError", f"no room in {city}")}
    return system_error_event(price, attributes, execution_id="")


class Broker:
    """Bring each event to whom it is for, until all are with somebody who does not answer."""

    def __init__(self, *machines: Machine) -> None:
        self.memory = SimpleMachineMemory()
        self.handlers: Mapping[str, Callable[[Event], tuple[Event, ...]]] = {
            price.type: lambda event: (answer(event),),
            **{machine.source: self._executing(machine) for machine in machines},
        }
        self.delivered: list[Event] = []
        self.left_over: list[Event] = []

    def run(self, first: Event) -> None:
        queue = deque([first])
        while queue:
            event = queue.popleft()
            self.delivered.append(event)
            assert len(self.delivered) <= STEPS_MAX
            handler = self.handlers.get(event.to or "")
            if handler is None:
                self.left_over.append(event)
            else:
                queue.extend(handler(event))

    def statuses(self) -> set[Status]:
        found = [self.memory.read(subject) for subject in {event.subject for event in self.delivered}]
        return {instance.status for instance in found if instance is not None}

    def _executing(self, machine: Machine) -> Callable[[Event], tuple[Event, ...]]:
        orchestrator = create_orchestrator(machines=[machine], memory=self.memory, executionunits=1)
        return lambda event: orchestrator.execute(event).domained_events["all"]


def trip_to(*cities: str, **attributes: Any) -> Event:
    data = {"parentSubject$$": None, "cities": list(cities)}
    given = {"id": "e-1", "source": CLIENT, "to": trip.type, "time": TIME, "data": data, "accesscontrol": "a"}
    return init_event(trip, given | attributes, execution_id="trip-1")


def run(first: Event) -> Broker:
    broker = Broker(*MACHINES)
    broker.run(first)
    return broker


def of_type(broker: Broker, type_: str) -> list[Event]:
    return [event for event in broker.delivered if event.type == type_]


def test_completions_come_back_up_over_two_levels() -> None:
    broker = run(trip_to("rome", "oslo"))
    (done,) = broker.left_over
    assert (done.type, done.to, done.data) == ("arvo.orc.trip.done", CLIENT, {"price": 4 * 80})
    assert len(broker.delivered) == 1 + 2 * 6 + 1
    assert broker.statuses() == {Status.DONE}


def test_each_execution_has_a_subject_of_its_own_below_its_parent_s() -> None:
    first = trip_to("rome", "oslo", redirectto="com.test.office")
    broker = run(first)
    stays, rooms = of_type(broker, "arvo.orc.stay"), of_type(broker, "arvo.orc.room")
    assert len({event.subject for event in (first, *stays, *rooms)}) == 5
    for above, events in ((trip, stays), (stay, rooms)):
        for event in events:
            content = decode_subject(event.subject)
            assert (content.name, content.version, content.initiator) == (event.type, "1.0.0", above.type)
            assert content.meta == {"redirectto": above.type}
    assert {event.data["parentSubject$$"] for event in stays} == {first.subject}
    assert {event.data["parentSubject$$"] for event in rooms} == {event.subject for event in stays}
    assert {event.subject for event in of_type(broker, "arvo.orc.stay.done")} == {first.subject}
    assert {event.subject for event in of_type(broker, "arvo.orc.room.done")} == {event.subject for event in stays}
    assert [event.to for event in broker.left_over] == ["com.test.office"]


def test_access_control_and_the_chain_of_causes_reach_the_end() -> None:
    broker = run(trip_to("rome"))
    by_id = {event.id: event for event in broker.delivered}
    assert {event.accesscontrol for event in broker.delivered} == {"a"}
    chain = broker.left_over
    while (parent := chain[-1].parentid) is not None:
        chain = [*chain, by_id[parent]]
    assert [event.type for event in reversed(chain)] == [
        "arvo.orc.trip",
        "arvo.orc.stay",
        "arvo.orc.room",
        "com.price.get",
        "evt.price.get.success",
        "arvo.orc.room.done",
        "arvo.orc.stay.done",
        "arvo.orc.trip.done",
    ]


def test_a_failure_below_comes_up_as_each_level_s_own() -> None:
    broker = run(trip_to("atlantis"))
    errors = [event for event in broker.delivered if event.type.startswith("sys.")]
    assert [(event.type, event.to) for event in errors] == [
        ("sys.com.price.get.error", "arvo.orc.room"),
        ("sys.arvo.orc.room.error", "arvo.orc.stay"),
        ("sys.arvo.orc.stay.error", "arvo.orc.trip"),
    ]
    assert {event.data["errorMessage"] for event in errors} == {"no room in atlantis"}
    (stay_error,) = of_type(broker, "sys.arvo.orc.stay.error")
    assert stay_error.subject == broker.delivered[0].subject
    (done,) = broker.left_over
    assert done.data == {"price": -1}


@pytest.mark.parametrize("cities", [("rome",), ("oslo", "rome"), ("atlantis",)])
def test_the_same_start_gives_the_same_events(cities: tuple[str, ...]) -> None:
    one, other = run(trip_to(*cities)), run(trip_to(*cities))
    assert [(event.id, event.subject) for event in one.delivered] == [(e.id, e.subject) for e in other.delivered]
