"""Which engine runs the charts of a test: the worker's own, or one that is named."""

from collections.abc import Callable

import pytest

from machines.order import machine as order
from worker import CompiledEngine, Engine, Machine, Program, SetupError, SismicEngine
from worker.core.engine.chart import Chart
from worker.settings import Settings
from worker.testing import LocalBroker, Scenario

RESERVED = "evt.inventory.reserve.success"


class WatchedEngine:
    """Sismic's engine, and what it compiled."""

    name = "watched"

    def __init__(self) -> None:
        self.compiled: list[Chart] = []

    def compile(self, chart: Chart) -> Program:
        self.compiled.append(chart)
        return SismicEngine().compile(chart)


def in_a_scenario(machine: Machine, engine: Engine | None) -> object:
    run = Scenario(machine, engine=engine).given(order_id="A-1", amount=40)
    return run.when(RESERVED, total=80, warehouse="Utrecht").then(state="approving", context={"total": 80}).context


def at_a_broker(machine: Machine, engine: Engine | None) -> object:
    broker = LocalBroker(machine, engine=engine)
    started = broker.start(machine, order_id="A-1", amount=40)
    (asked,) = broker.waiting()
    broker.reply(asked, RESERVED, total=80, warehouse="Utrecht")
    instance = broker.instance(started)
    assert instance is not None
    return dict(instance.snapshot.context)


@pytest.mark.parametrize("run", [in_a_scenario, at_a_broker])
class TestEngines:
    def test_it_may_be_named(self, run: Callable[[Machine, Engine | None], object]) -> None:
        engine = WatchedEngine()
        assert run(order, engine) == run(order, CompiledEngine()) == run(order, None)
        assert engine.compiled == [order.chart]

    def test_the_worker_s_is_taken_otherwise(
        self, run: Callable[[Machine, Engine | None], object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert Settings.model_fields["engine"].default == CompiledEngine.name
        compiled: list[object] = []
        compile_ = CompiledEngine.compile

        def watched(engine: CompiledEngine, chart: object) -> Program:
            compiled.append(chart)
            return compile_(engine, chart)

        monkeypatch.setattr(CompiledEngine, "compile", watched)
        run(order, None)
        assert compiled == [order.chart]

    def test_a_class_is_none(self, run: Callable[[Machine, Engine | None], object]) -> None:
        with pytest.raises(SetupError, match="The engine is the class SismicEngine; give an instance of it"):
            run(order, SismicEngine)  # type: ignore[arg-type]
