"""Registries and engines of one's own, given to an orchestrator."""

from collections.abc import Sequence

import pytest

from machines.order import machine
from worker import Orchestrator, Registry, SetupError, SimpleMachineMemory, SismicEngine, root_subject
from worker.core.engine.api import Program
from worker.core.events import create_event
from worker.core.machines import Machine
from worker.core.registry import Hosted

SUBJECT = root_subject(name="arvo.orc.order", version="0.0.0", initiator="com.test.user", execution_id="1")
INIT = create_event(
    {
        "id": "1",
        "source": "com.test.user",
        "type": "arvo.orc.order",
        "subject": SUBJECT,
        "to": "arvo.orc.order",
        "time": "2026-01-01T00:00:00.000+00:00",
        "data": {"parentSubject$$": None, "order_id": "A-1", "amount": 40},
    }
)


class CountingEngine:
    """Run charts as sismic does, and count what is compiled."""

    name = "counting"

    def __init__(self) -> None:
        self.compiled = 0

    def compile(self, chart: object) -> Program:
        self.compiled += 1
        return SismicEngine().compile(chart)


class AskedRegistry:
    """Note what is asked for."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._registry = Registry(machines, SismicEngine())
        self.machines = self._registry.machines
        self.sources = self._registry.sources
        self.asked: list[tuple[str, str]] = []

    def hosts(self, source: str) -> bool:
        return self._registry.hosts(source)

    def resolve(self, source: str, version: str) -> Hosted | None:
        self.asked.append((source, version))
        return self._registry.resolve(source, version)


def test_a_registry_is_asked_also_if_another_engine_runs_what_it_finds() -> None:
    registry, engine = AskedRegistry([machine]), CountingEngine()
    orchestrator = Orchestrator(registry=registry, memory=SimpleMachineMemory(), execution_engine=engine)
    result = orchestrator.execute(INIT)
    assert [event.type for event in result.events] == ["com.inventory.reserve"]
    assert registry.asked == [("arvo.orc.order", "0.0.0")]
    assert engine.compiled == 1


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            {"registry": object()},
            "The registry, a object, lacks machines, sources, hosts, resolve; see MachineRegistry",
        ),
        ({"registry": Registry}, "The registry is the class Registry; give an instance of it."),
        ({"execution_engine": "sismic"}, "The execution_engine, a str, lacks name, compile; see Engine"),
        ({"execution_engine": SismicEngine}, "The execution_engine is the class SismicEngine; give an instance of it."),
    ],
)
def test_parts_that_are_none_are_refused(parts: dict[str, object], told: str) -> None:
    given = {"registry": Registry([machine], SismicEngine()), "memory": SimpleMachineMemory(), **parts}
    with pytest.raises(SetupError) as failure:
        Orchestrator(**given)  # type: ignore[arg-type]
    assert told in str(failure.value)
