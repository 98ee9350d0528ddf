"""Orchestrators put together, rightly and wrongly."""

from typing import Any

import pytest

from tests.core.engine.charts import chart_text
from tests.core.test_registry import machine
from tests.orchestrator.desk import COUNTER, OnceMemory, counter, start
from worker.core.engine.api import Program, Snapshot, StepInput, StepResult
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import ExecutionFailure, SetupError
from worker.core.events import Event
from worker.core.machines import Machine, setup_machine
from worker.core.registry import Registry
from worker.orchestrator import Orchestrator, SimpleMachineMemory, create_orchestrator

MEMORY = SimpleMachineMemory()


def create(*machines: Machine, **others: Any) -> Orchestrator:
    return create_orchestrator(machines=machines, **{"memory": MEMORY} | others)


def parallel(version: str) -> Machine:
    chart = chart_text("parallel states:\n  - name: a\n  - name: b\n")
    return setup_machine(contract=counter(version).contract, statechart=chart)


@pytest.mark.parametrize(
    ("machines", "locks"),
    [
        ([counter()], False),
        ([counter(needs_lock=True)], True),
        ([counter("1.0.0"), counter("2.0.0")], False),
        ([counter("1.0.0"), counter("2.0.0", needs_lock=True)], True),
        ([counter("2.0.0"), parallel("1.0.0")], True),
    ],
)
def test_has_its_machines_source_and_locks_where_one_version_needs_it(machines: list[Machine], *, locks: bool) -> None:
    made = create(*machines)
    assert made.source == "arvo.orc.count"
    assert made.requires_resource_locking is locks


@pytest.mark.parametrize(
    ("machines", "message"),
    [
        ([], "At least one machine must be provided"),
        (None, "a registry's machines is None; expected a list"),
        ([machine("1.0.0", "a"), machine("1.0.0", "b")], "must have type 'arvo.orc.a'; got arvo.orc.a, arvo.orc.b"),
        ([machine("1.0.0", "b"), machine("1.0.0", "a")], "must have type 'arvo.orc.b'"),
        ([machine(), machine()], "two machines of version 1.0.0; an orchestrator must have unique machine versions"),
        ([machine("1.0.0"), machine("2.0.0", uri="#/orc/z")], "machines of two contracts"),
        ([machine().contract], "has a ContractVersion in it; expected machines, as setup_machine makes them."),
        ([COUNTER], "in it; expected machines, as setup_machine makes them."),
    ],
)
def test_refuses_machines_that_are_no_versions_of_one(machines: Any, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        create_orchestrator(machines=machines, memory=MEMORY)


class HalfMemory:
    def read(self, subject: str) -> None: ...

    write = None

    def lock(self, subject: str) -> bool:
        return True


class LacksConsumed(SimpleMachineMemory):
    def seen(self, event: Event) -> None: ...


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"memory": SimpleMachineMemory}, "The memory is the class SimpleMachineMemory; give an instance of it."),
        ({"memory": HalfMemory()}, "The memory, a HalfMemory, lacks write, unlock; see MachineMemory"),
        ({"memory": LacksConsumed()}, "The memory, a LacksConsumed, has seen but lacks consumed: it would not dedup"),
        ({"memory": None}, "The memory, a NoneType, lacks read, write, lock, unlock"),
        ({"executionunits": float("nan")}, "executionunits must be a finite number, received nan"),
        ({"executionunits": "1"}, "executionunits must be a finite number, received '1'"),
        ({"executionunits": True}, "executionunits must be a finite number, received True"),
    ],
)
def test_refuses_parts_that_would_fail_at_the_first_event(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        create(counter(), **parts)


@pytest.mark.parametrize("executionunits", [None, 0, 0.1, -1])
def test_takes_any_finite_execution_units(executionunits: float | None) -> None:
    result = create(counter(), memory=SimpleMachineMemory(), executionunits=executionunits).execute(start())
    assert result.events[0].executionunits == executionunits


class IdleProgram:
    """Start nothing."""

    def start(self, step: StepInput) -> StepResult:
        raise ExecutionFailure("Idle", f"{step.event.type} is not started here")

    def resume(self, snapshot: Snapshot, step: StepInput) -> StepResult:
        return self.start(step)

    def expected(self, snapshot: Snapshot) -> tuple[str, ...]:
        return ()


class IdleEngine:
    name = "idle"

    def __init__(self) -> None:
        self.compiled: list[object] = []

    def compile(self, chart: object) -> Program:
        self.compiled.append(chart)
        return IdleProgram()


def test_a_given_engine_runs_the_machines_in_place_of_the_registry_s() -> None:
    engine = IdleEngine()
    machines = [counter("1.0.0"), counter("2.0.0")]
    registry = Registry(machines, SismicEngine())
    made = Orchestrator(registry=registry, memory=SimpleMachineMemory(), execution_engine=engine)
    assert engine.compiled == [machine.chart for machine in machines]
    assert made.execute(start()).events[0].data["errorName"] == "Idle"


def test_an_engine_may_be_named_where_an_orchestrator_is_made() -> None:
    engine = IdleEngine()
    made = create_orchestrator(machines=[counter()], memory=SimpleMachineMemory(), execution_engine=engine)
    assert len(engine.compiled) == 1
    assert made.execute(start()).events[0].data["errorName"] == "Idle"
    with pytest.raises(SetupError, match="The execution_engine is the class IdleEngine; give an instance of it"):
        create_orchestrator(machines=[counter()], memory=SimpleMachineMemory(), execution_engine=IdleEngine)  # type: ignore[arg-type]


def test_a_deduplicating_memory_is_known_by_its_methods() -> None:
    memory = OnceMemory()
    create(counter(), memory=memory).execute(start())
    assert memory.taken() == ["read", "seen", "consumed"]
